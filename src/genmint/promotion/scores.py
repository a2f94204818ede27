"""Scores of challenger and champion under one protocol, read from files or measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from genmint.common.errors import GenmintError
from genmint.common.files import read_json, sha256_file
from genmint.common.project import Project
from genmint.data.arrays import load_array
from genmint.data.prepared import Prepared
from genmint.decision.comparison import Scores, Spread, incomparable
from genmint.models.shared import store
from genmint.models.shared.family import Family
from genmint.models.shared.record import CONFIG, WEIGHTS, ModelRecord


def protocol_path(project: Project, name: str) -> Path:
    """Return the path of the protocol file that the evaluate stage writes."""
    return project.metrics(name).with_name(f"{name}.protocol.json")


def challenger_scores(project: Project, name: str) -> Scores:
    """Read the scores that the evaluate stage wrote.

    Raises:
        GenmintError: a file is missing or unreadable.
    """
    way_out = f"Run `dvc repro gate@{name}`."
    return _read(project, name, read_protocol(project, name, way_out)["protocol"], way_out)


def read_protocol(project: Project, name: str, way_out: str = "") -> dict[str, Any]:
    """Read the protocol file of a model: hashes, and the evaluation protocol in `protocol`.

    Raises:
        GenmintError: the file is missing, unreadable or has no protocol.
    """
    path = protocol_path(project, name)
    measured = read_json(path, way_out)
    if not isinstance(measured, dict) or not isinstance(measured.get("protocol"), dict):
        raise GenmintError(f"{path}: does not say how {name} was measured. {way_out}".strip())
    return measured


def read_spread(project: Project, name: str) -> Spread | str:
    """Read the seed spread of a model, or return why it is unknown."""
    path = project.spread(name)
    way_out = f"run `genmint spread {name}`"
    if not path.is_file():
        return f"the spread between seeds is not known: {way_out}"
    try:
        found = Spread.model_validate_json(json.dumps(read_json(path)))
    except GenmintError:
        # The reason goes into the journal, which must not contain paths of this machine.
        return f"results/seed_spread/{name}.json is invalid (not valid JSON): {way_out}"
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        return f"results/seed_spread/{name}.json is invalid ({said}): {way_out}"
    if found.model != name:
        return f"results/seed_spread/{name}.json belongs to {found.model}: {way_out}"
    return found


def recorded_scores(
    name: str,
    weights: Path,
    evaluation: Path,
    metrics: Sequence[str],
    protocol: Mapping[str, Any],
) -> Scores | None:
    """Read the champion's scores; None if they were not measured under `protocol`.

    Args:
        name: name of the model.
        weights: folder with the champion's model.safetensors and config.json.
        evaluation: folder with the files of its evaluation, laid out as in a project.
        metrics: metrics to compare.
        protocol: protocol of the challenger.
    """
    recorded = _recorded(name, weights, evaluation)
    if recorded is None or any(
        incomparable(metric, recorded.protocol, protocol) for metric in metrics
    ):
        return None
    return recorded


def confirmation_scores(
    project: Project, name: str, folder: Path, metrics: Sequence[str]
) -> Scores | None:
    """Score a model on the confirmation split in `metrics`; None if the split is empty.

    Args:
        project: project with the prepared data and reference of the model's data set.
        name: name of the model.
        folder: folder with model.safetensors and config.json.
        metrics: names of the metrics to compute.

    Raises:
        GenmintError: the model cannot be measured on these data.
    """
    from genmint.evaluation.score import score_on

    model, record = _load(name, folder)
    dataset = record.model.dataset
    prepared = Prepared(project.prepared(dataset))
    if not prepared.meta.items.get("confirmation"):
        return None
    found, items, resamples = score_on(
        "confirmation", model, record, prepared, project.reference(dataset), metrics
    )
    return Scores(found, {}, _lists(items), resamples)


def measured_scores(project: Project, name: str, weights: Path) -> Scores:
    """Score the champion on the current data and reference, as the evaluate stage would.

    Args:
        project: project with the prepared data and the reference that the challenger was measured
            on.
        name: name of the model.
        weights: folder with the champion's model.safetensors and config.json.

    Raises:
        GenmintError: the champion's files are damaged, or it cannot be measured on these data.
    """
    from genmint.evaluation.score import score

    model, record = _load(name, weights)
    dataset = record.model.dataset
    found = score(model, record, Prepared(project.prepared(dataset)), project.reference(dataset))
    return Scores(found.metrics, found.protocol, _lists(found.items), found.resamples)


def _load(name: str, folder: Path) -> tuple[Family, ModelRecord]:
    model, record = store.load(folder)
    if record.name != name:
        raise GenmintError(f"the champion of {name} holds the weights of {record.name}")
    return model, record


def _recorded(name: str, weights: Path, evaluation: Path) -> Scores | None:
    """Read a registered evaluation; None unless its hashes match its files and the weights."""
    registered = Project(evaluation)
    metrics = registered.metrics(name)
    try:
        measured = read_protocol(registered, name)
        if measured["metrics"] != sha256_file(metrics):
            return None
        if measured["weights"] != sha256_file(weights / WEIGHTS):
            return None
        if measured["config"] != sha256_file(weights / CONFIG):
            return None
        items = registered.items(name)
        if measured["items"] != (sha256_file(items) if items.is_file() else None):
            return None
        if measured["resamples"] != sha256_file(registered.resamples(name)):
            return None
        return _read(registered, name, measured["protocol"])
    except (GenmintError, OSError, KeyError, TypeError):
        # Another genmint version registered it, or it is incomplete; the model is measured again.
        return None


def _read(project: Project, name: str, protocol: Mapping[str, Any], way_out: str = "") -> Scores:
    """Read the evaluation files of a model: metrics, items and resamples."""
    items: dict[str, list[float]] = {}
    if project.items(name).is_file():
        table = load_array(project.items(name), way_out)
        if table.ndim != 1 or any(
            table.dtype[name].kind != "f" for name in table.dtype.names or ()
        ):
            raise GenmintError(f"{project.items(name)}: not scores of items. {way_out}".strip())
        items = _lists({column: table[column] for column in table.dtype.names or ()})
    return Scores(
        metrics=_numbers(project.metrics(name), way_out),
        protocol=protocol,
        items=items,
        resamples=_numbers(project.resamples(name), way_out, lists=True),
    )


def _numbers(path: Path, way_out: str, *, lists: bool = False) -> dict[str, Any]:
    """Read a JSON file of numbers, or of lists of numbers, by metric."""
    found = read_json(path, way_out)
    values = list(found.values()) if isinstance(found, dict) else [None]
    if lists:
        values = [one for each in values for one in (each if isinstance(each, list) else [None])]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        raise GenmintError(f"{path}: not numbers by name of the metric. {way_out}".strip())
    return dict(found)


def _lists(items: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in items.items()}
