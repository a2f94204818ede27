"""Reading and validation of params.yaml, with messages that explain each problem."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from genmint.common.errors import ConfigError
from genmint.common.reading import CONFIGURATION, decoded, parse_yaml, read_bytes, shortened
from genmint.config.base import Frozen, Key
from genmint.config.bounds import bound_problems
from genmint.config.datasets import AudioDataset, Dataset, ImageDataset, TextDataset
from genmint.config.drift import DriftRule
from genmint.config.fit import problems as fit_problems
from genmint.config.gates import Gate
from genmint.config.models import BLOCKS, AnyModel, families_that
from genmint.config.models.base import ModelConfig

# Maximum number of problems in one message.
_SHOWN = 20
# Maximum number of known names that an unknown one is compared with; more take seconds.
_COMPARED = 200

# A dot would collide with the journal's registered model (NAME.journal), a slash with paths.
ENTRY_NAME = r"^[a-z][a-z0-9-]{0,62}$"
EntryName = Annotated[Key, Field(pattern=ENTRY_NAME)]

_MAPS: dict[str, Mapping[str, type[BaseModel]]] = {
    "datasets": {"image": ImageDataset, "audio": AudioDataset, "text": TextDataset},
    "models": BLOCKS,
}


class Params(Frozen):
    """The whole of params.yaml."""

    datasets: dict[EntryName, Dataset] = Field(
        description="Data sets by name. Each entry becomes the stages ingest, validate, prepare "
        "and reference."
    )
    models: dict[EntryName, AnyModel] = Field(
        description="Models by name. Each entry becomes the stages train, evaluate and gate. "
        "A change in an entry trains that model again, and no other."
    )
    gates: dict[EntryName, Gate] = Field(
        description="Gates by the name of their model. A model without a gate is refused. "
        "Changing a gate decides again and trains nothing. See docs/gates.md."
    )
    # Optional, so that the params.yaml of older versions can still be read.
    drift: dict[EntryName, DriftRule] = Field(
        default_factory=dict,
        description="Drift rules by the name of their data set. "
        "The flow drift checks the data sets that have an entry. "
        "Changing an entry trains nothing. See docs/drift.md.",
    )


def load_params(path: Path) -> Params:
    """Read and validate params.yaml.

    Raises:
        ConfigError: the file is not readable or not YAML, a key is unknown, a value is invalid, or
            entries do not fit each other. For an unknown key the message names the nearest known
            one.
    """
    data = read_bytes(path, CONFIGURATION.bytes, error=ConfigError)
    return parse_params(decoded(data, str(path), error=ConfigError), path)


def parse_params(text: str, path: Path) -> Params:
    """Validate the text of a params.yaml; `path` is the name of the file in messages.

    Raises:
        ConfigError: as `load_params`.
    """
    document = parse_yaml(text, str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected the maps datasets, models and gates")
    try:
        params = Params.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise _refusal(path, map(_explain, error.errors())) from None
    problems = _cross_check(params)
    if problems:
        raise _refusal(path, problems)
    return params


def parse_model(entry: dict[str, Any]) -> ModelConfig:
    """Validate one entry of `models`, as stored in a model's config.json.

    Raises:
        ConfigError: it is not a valid model entry.
    """
    adapter: TypeAdapter[ModelConfig] = TypeAdapter(AnyModel)
    try:
        return adapter.validate_json(json.dumps(entry))
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(item) for item in error.errors())) from None


def _refusal(path: Path, problems: Iterable[str]) -> ConfigError:
    """Return an error with the first problems, one line each."""
    lines = list(itertools.islice(problems, _SHOWN + 1))
    if len(lines) > _SHOWN:
        lines[_SHOWN] = "and more problems"
    return ConfigError("\n".join(f"{path}: {line}" for line in lines))


def _cross_check(params: Params) -> list[str]:
    problems = []
    for name, model in params.models.items():
        dataset = params.datasets.get(model.dataset)
        if dataset is None:
            near = _nearest(model.dataset, params.datasets)
            problems.append(f"models.{name}.dataset: there is no data set {model.dataset!r}{near}")
        elif dataset.kind == "text" and model.view == "grid":
            able = families_that(lambda block: block.view == "sequence")
            problems.append(
                f"models.{name}.dataset: {model.dataset} is text, which a {model.family} cannot "
                f"take (it needs a grid); use family: {able}"
            )
        elif model.conditional and dataset.kind == "text":
            problems.append(
                f"models.{name}.conditional: {model.dataset} is text, one stream whose symbols "
                "have no labels; leave it out"
            )
        elif model.conditional and dataset.labels == "none":
            problems.append(
                f"models.{name}.conditional: {model.dataset} has no labels; say where they come "
                f"from in datasets.{model.dataset}.labels, or leave conditional out"
            )
    for name in params.gates:
        if name not in params.models:
            near = _nearest(name, params.models)
            problems.append(f"gates.{name}: there is no model {name!r}{near}")
        else:
            problems += bound_problems(name, params.gates[name], params.models[name].dataset)
    problems += fit_problems(params)
    problems += [problem for name in params.drift if (problem := _drift_problem(params, name))]
    return problems


def _drift_problem(params: Params, name: str) -> str | None:
    dataset = params.datasets.get(name)
    if dataset is None:
        near = _nearest(name, params.datasets)
        return f"drift.{name}: there is no data set {name!r}{near}"
    if isinstance(dataset, ImageDataset) and dataset.stack is not None:
        return (
            f"drift.{name}: new items are single images, and those of {name} are stacked: watch "
            "a data set of the same path without stack"
        )
    return None


def _explain(error: ErrorDetails) -> str:
    """Return one line with the key, the problem, and the nearest known key or the key's meaning."""
    location = [part for part in error["loc"] if part != "[key]"]
    if "[key]" in error["loc"]:
        key = ".".join(map(str, location))
        if error["type"] == "value_error":
            return f"{key}: {error['msg'].removeprefix('Value error, ')}"
        return (
            f"{key}: the name of an entry is lower-case letters, digits and hyphens, a letter first"
        )
    model: type[BaseModel] | None = Params
    if location and location[0] in BLOCKS:
        model = BLOCKS[str(location.pop(0))]
    elif len(location) > 2 and location[0] in _MAPS:
        # pydantic adds the tag of the union to the path; it is not part of the user's key.
        model = _MAPS[str(location[0])].get(str(location[2]))
        del location[2]
    elif len(location) > 1 and location[0] == "gates":
        model = Gate
    elif len(location) > 1 and location[0] == "drift":
        model = DriftRule
    key = ".".join(map(str, location))
    if error["type"] == "extra_forbidden":
        known = dict((_model_at(model, location) or Params).model_fields)
        return f"{key}: unknown key{_nearest(str(location[-1]), known)}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        message = "is missing"
    value = error["input"]
    shown = "" if isinstance(value, dict | list) else f" (found {shortened(value)})"
    return f"{key}: {message}{shown}{_what_it_is(model, location)}"


def _what_it_is(model: type[BaseModel] | None, location: list[int | str]) -> str:
    """Return the first sentence of the description of a key; empty if an entry itself is wrong."""
    below = location[2:] if location and location[0] in Params.model_fields else location
    # The last parts may be list indices or union members that pydantic adds.
    for end in range(len(below), 0, -1):
        holder = _model_at(model, below[:end])
        field = holder.model_fields.get(str(below[end - 1])) if holder else None
        if field is not None and field.description:
            return f". {field.description.partition('. ')[0].removesuffix('.')}"
    return ""


def _model_at(model: type[BaseModel] | None, location: list[int | str]) -> type[BaseModel] | None:
    """Return the model whose fields should include the last part of `location`."""
    field_model = model
    for part in location[:-1]:
        field = field_model.model_fields.get(str(part)) if field_model else None
        if field is None:
            continue
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                field_model = candidate
    return field_model


def _nearest(name: str, known: dict[str, Any]) -> str:
    match = difflib.get_close_matches(name, list(known)[:_COMPARED], n=1, cutoff=0.5)
    if match:
        return f"; did you mean {match[0]!r}?"
    return f"; known: {', '.join(sorted(known)[:_COMPARED])}" if known else ""
