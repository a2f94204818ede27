"""Every key of params.yaml, found in the models that read it, each with a changed value.

A new setting is found here by itself. If no value that fits can be guessed for it, `changes` fails
and names it: then WITH says what must stand beside it, or VALUES which value to take.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from genmint.common.errors import ConfigError
from genmint.config import (
    AudioDataset,
    DriftRule,
    GANConfig,
    Gate,
    ImageDataset,
    Params,
    RNNConfig,
    TextDataset,
    VAEConfig,
    parse_params,
)

Entry = dict[str, Any]

_IMAGES = {"path": "data/own/images", "kind": "image", "resolution": 8, "labels": "folder"}
_CLIPS = {"path": "data/own/clips", "kind": "audio", "sample_rate": 8000, "seconds": 0.5}
_TEXTS = {"path": "data/own/texts", "kind": "text"}
DATASETS: dict[str, Entry] = {
    "images": _IMAGES,
    "images-2": {**_IMAGES, "resolution": 16},
    "clips": _CLIPS,
    "clips-2": {**_CLIPS, "seconds": 0.25},
    "texts": _TEXTS,
    "texts-2": {**_TEXTS, "min_count": 3},
}
_STEPS = {"steps": 8, "batch_size": 8}
_GATE = {
    "thresholds": {"elbo": {"min": -90.0}, "copied": {"max": 0.5}},
    "champion": {"superior": ["elbo"]},
}

# The models of params.yaml: the map that holds them, the type, and an entry to begin with.
KINDS: dict[str, tuple[str, type[BaseModel], Entry]] = {
    "image": ("datasets", ImageDataset, _IMAGES),
    "audio": ("datasets", AudioDataset, _CLIPS),
    "text": ("datasets", TextDataset, _TEXTS),
    "vae": ("models", VAEConfig, {"family": "vae", "dataset": "images", **_STEPS}),
    "gan": ("models", GANConfig, {"family": "gan", "dataset": "images", **_STEPS}),
    "rnn": ("models", RNNConfig, {"family": "rnn", "dataset": "texts", **_STEPS}),
    "gate": ("gates", Gate, _GATE),
    "drift": ("drift", DriftRule, {}),
}
_ADAM = {"lr": 1e-3, "beta2_schedule": {"end": 0.9}}
# What must stand beside a key, or beside all below it, so that it may have another value.
WITH: dict[str, Entry] = {
    "image.stack": {"stack": {"items": 90}, "mode": "grey"},
    "audio.split": {"windows": "all"},
    "vae.augment": {"augment": {"shift": 1}},
    "gan.augment": {"augment": {"shift": 1}},
    "vae.optimiser": {"optimiser": {"lr": 1e-3}},
    "gan.generator": {"generator": {"lr": 1e-3}},
    "gan.discriminator": {"discriminator": {"lr": 1e-3}},
    "rnn.optimiser": {"optimiser": {"lr": 1e-3}},
    "vae.kl_warmup": {"kl_warmup": {"steps": 4}},
    "vae.second_level": {"second_level": {"latent": 2}},
    "vae.attention": {"network": "conv"},
    "vae.hierarchy": {"network": "hierarchical"},
    "vae.sampling": {"network": "hierarchical"},
    "vae.codes": {"network": "vq"},
    "vae.code_width": {"network": "vq"},
    "vae.codebook_decay": {"network": "vq"},
    "vae.commitment": {"network": "vq"},
    "vae.restart_codes": {"network": "vq"},
    "vae.sampler": {"sampler": {"name": "gmm"}},
    "gan.blocks": {"network": "r3", "hidden": [16, 32]},
    "gan.group_width": {"network": "r3", "hidden": [16, 32]},
    "gan.penalty.weight_schedule": {"penalty": {"name": "r1", "weight_schedule": {"end": 0.1}}},
    "vae.ema_schedule": {"ema_schedule": {"end": 0.9}},
    "gan.ema_schedule": {"ema_schedule": {"end": 0.9}},
    "rnn.ema_schedule": {"ema_schedule": {"end": 0.9}},
    "vae.optimiser.beta2_schedule": {"optimiser": _ADAM},
    "rnn.optimiser.beta2_schedule": {"optimiser": _ADAM},
    "gan.generator.beta2_schedule": {"generator": _ADAM},
    "gan.discriminator.beta2_schedule": {"discriminator": _ADAM},
    "gan.attention": {"network": "dcgan"},
    "rnn.residual": {"layers": 2},
    "rnn.conditional": {"dataset": "images"},
    "rnn.variational_dropout": {"dropout": 0.5},
    "gate.memorisation": {"memorisation": {"max_copied": 0.5}},
    "gate.memorisation.max_copy_ratio": {
        "model": "rnn",
        "thresholds": {"bits_per_character": {"max": 3.0}},
        "champion": {"superior": ["bits_per_character"]},
        "memorisation": {"max_copied": 0.5},
    },
}
# Values that cannot be guessed from the type.
VALUES: dict[str, Any] = {
    "image.path": "data/own/other-images",
    "audio.path": "data/own/other-clips",
    "text.path": "data/own/other-texts",
    "image.filename_pattern": "(?P<person>[a-z])",
    "audio.filename_pattern": "(?P<person>[a-z])",
    "text.filename_pattern": "(?P<person>[a-z])",
    "image.reference.extractor": "efficientnet_lite0",
    "image.split": "position",
    "audio.split": "position",
    "text.split": "position",
    "gate.thresholds.elbo.baseline": "pixel_bernoulli",
    "gate.thresholds.copied.baseline": "noise",
    "gate.champion.superior": ["importance_weighted_bound"],
    "gate.champion.non_inferior": ["importance_weighted_bound"],
    "vae.sampling.temperature": 0.7,
    "vae.dataset": "images-2",
    "gan.dataset": "images-2",
    "rnn.dataset": "texts-2",
}
# Keys that have one value in an entry of their kind: another one makes it another kind of entry.
FIXED = {"kind", "family", "channels"}
# Keys that the entries here may not have: bounds against the direction of their metric, the skill
# of a likelihood and of a metric of memorisation, and named extractors of other kinds than images.
REFUSED = {
    "gate.thresholds.elbo.max",
    "gate.thresholds.copied.min",
    "gate.thresholds.elbo.skill",
    "gate.thresholds.copied.skill",
    "audio.reference.extractor",
    "text.reference.extractor",
}


@dataclass(frozen=True)
class Change:
    """An entry, and the same with another value of one key.

    Attributes:
        top: map of params.yaml that the entry is in.
        kind: of the entry, a key of KINDS.
        key: that changes, dotted.
        before: the entry.
        after: the entry with the other value.
    """

    top: str
    kind: str
    key: str
    before: Entry
    after: Entry

    @property
    def model(self) -> str:
        """Kind of the model that a gate is of."""
        return self.before.get("model", "vae")


def changes(kinds: tuple[str, ...] = tuple(KINDS)) -> list[Change]:
    """A change of every key of every kind of entry; fails for a key without a value that fits."""
    found, without = [], []
    for kind in kinds:
        top, model, entry = KINDS[kind]
        for path, annotation, default in _leaves(model, entry):
            change = _change(top, kind, entry, path, annotation, default)
            key = f"{kind}.{'.'.join(path)}"
            if key in REFUSED:
                assert change is None, f"{key} must be refused, and fits"
            elif change is None:
                without.append(key)
            else:
                found.append(change)
    assert not without, f"no other value fits: {without}; say one in WITH or VALUES"
    return found


def document(entries: dict[str, dict[str, Entry]]) -> dict[str, Any]:
    """A params.yaml of the given entries."""
    return copy.deepcopy({"datasets": {}, "models": {}, "gates": {}, "drift": {}} | entries)


def placed(change: Change, name: str, entry: Entry) -> dict[str, dict[str, Entry]]:
    """An entry under a name, with the model or data set of that name that it needs."""
    entry = {key: value for key, value in entry.items() if key != "model"}
    placed: dict[str, dict[str, Entry]] = {change.top: {name: entry}}
    if change.top == "gates":
        placed["models"] = {name: KINDS[change.model][2]}
    if change.top == "drift":
        placed["datasets"] = {name: _IMAGES}
    named = {model["dataset"] for model in placed.get("models", {}).values()}
    for dataset in named & set(DATASETS):
        placed["datasets"] = {dataset: DATASETS[dataset]}
    return placed


def fits(change: Change, entry: Entry) -> bool:
    """Whether params.yaml is accepted with the entry."""
    try:
        parse_params(json.dumps(document(placed(change, "e", entry))), Path("params.yaml"))
    except ConfigError:
        return False
    return True


def value_of(change: Change) -> Any:
    """The value that the key has afterwards."""
    return _get(change.after, tuple(change.key.split(".")), None)


def _leaves(
    model: type[BaseModel], entry: Entry, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for name, field in model.model_fields.items():
        if name in FIXED:
            continue
        inner = [
            part
            for part in _parts(field.annotation)
            if isinstance(part, type) and issubclass(part, BaseModel)
        ]
        # A map of names that a user chooses, such as thresholds by metric.
        keys = list(entry.get(name, {})) if _is_map(field.annotation) else [None]
        if not inner:
            yield (*path, name), field.annotation, field.default
        for nested in inner:
            for key in keys:
                below = (*path, name) if key is None else (*path, name, key)
                yield from _leaves(nested, {}, below)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from _parts(argument)


def _is_map(annotation: Any) -> bool:
    return any(get_origin(part) is dict for part in _parts(annotation))


def _change(
    top: str, kind: str, entry: Entry, path: tuple[str, ...], annotation: Any, default: Any
) -> Change | None:
    key = ".".join(path)
    full = f"{kind}.{key}"
    before = copy.deepcopy(entry)
    for count in range(1, len(path) + 1):
        before |= copy.deepcopy(WITH.get(".".join((kind, *path[:count])), {}))
    current = _get(before, path, default)
    known = [VALUES[full]] if full in VALUES else list(_candidates(annotation, current))
    for value in known:
        if value == current and type(value) is type(current):
            continue
        change = Change(top, kind, key, before, _set(before, path, value))
        if change.before != change.after and all(fits(change, e) for e in (before, change.after)):
            return change
    return None


def _get(entry: Entry, path: tuple[str, ...], default: Any) -> Any:
    for key in path:
        if not isinstance(entry, dict) or key not in entry:
            return default
        entry = entry[key]
    return entry


def _set(entry: Entry, path: tuple[str, ...], value: Any) -> Entry:
    changed = copy.deepcopy(entry)
    inside = changed
    for key in path[:-1]:
        inside = inside.setdefault(key, {})
    inside[path[-1]] = value
    return changed


def _candidates(annotation: Any, current: Any) -> Iterator[Any]:
    parts = list(_parts(annotation))
    literals = [v for part in parts if get_origin(part) is Literal for v in get_args(part)]
    if any(get_origin(part) is tuple for part in parts):
        yield from ([value] for value in literals)
        yield from ([4], [4, 4], [0.5, 0.9])
        return
    yield from literals
    if bool in parts:
        yield from (True, False)
    number = current if isinstance(current, int | float) and current is not True else 1
    if int in parts:
        yield from (number + 1, number * 2, number - 1, 2, 1, 16, 64)
    if float in parts:
        yield from (number + 0.5, number * 0.9, number + 0.05, 0.5, 0.05, 0.9, -1.0, 2.0)


def parsed(whole: dict[str, Any]) -> Params:
    """The typed form of a document."""
    return parse_params(json.dumps(whole), Path("params.yaml"))
