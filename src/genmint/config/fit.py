"""Checks that entries of params.yaml fit each other, before any stage runs.

Examples are a model that cannot be built on its data, or a gate on a metric that no such model has.
A later stage would detect these only after hours of training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from genmint.config.datasets import AudioDataset, Dataset, ImageDataset
from genmint.config.datasets.protocol import OWN
from genmint.config.gates import Gate
from genmint.config.models import families_that
from genmint.config.models.base import ModelConfig

if TYPE_CHECKING:
    from genmint.config.params import Params

_GRIDS = frozenset(
    {"precision", "recall", "density", "coverage", "copying_z", "near_duplicates", "authenticity"}
)
_CLASSES = frozenset({"confident", "classes", "class_imbalance", "class_kl", "label_accuracy"})
_SOUND = frozenset({"log_spectral_distance", "clipping", "silence", "in_tune"})
_WORDS = frozenset(
    {"words_in_held_out", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "repetition",
     "novel_4grams", "character_distance", "word_distance", "longest_copy", "copy_ratio"}
)  # fmt: skip
_TEXT_CODE = frozenset({"bits_per_character", "perplexity"})
_DISTANCES = ("frechet_", "kernel_")
_PUBLISHED = frozenset({"fid", "kid", "fd_dinov2"})
_LIKELIHOODS = _TEXT_CODE | {
    "elbo", "importance_weighted_bound", "active_units", "bits_per_dim", "bits_per_sample"
}  # fmt: skip


def grid_sides(dataset: Dataset) -> tuple[int, int] | None:
    """Return height and width of the grid view of an item; None for text, which has none."""
    if isinstance(dataset, ImageDataset):
        return dataset.resolution, dataset.resolution
    if isinstance(dataset, AudioDataset):
        return dataset.spectrogram.mels, dataset.frames_per_clip
    return None


def problems(params: Params) -> Iterator[str]:
    """Yield the problems with models and gates, one line each with the key and the remedy.

    Args:
        params: settings; entries that refer to missing data sets or models are skipped.
    """
    for name, model in params.models.items():
        dataset = params.datasets.get(model.dataset)
        if dataset is None:
            continue
        problem = _network_problem(name, model, dataset)
        if problem is not None:
            yield problem
        gate = params.gates.get(name)
        if gate is not None:
            yield from _gate_problems(name, gate, model, dataset)


def _network_problem(name: str, model: ModelConfig, dataset: Dataset) -> str | None:
    sides = grid_sides(dataset)
    if sides is None:
        return None
    possible = math.ceil(math.log2(max(sides)))
    if model.halvings <= possible:
        problem = model.grid_problem(*sides)
        return None if problem is None else f"models.{name}.{problem}"
    grid = f"{sides[0]}×{sides[1]} of {model.dataset} can be halved {possible} times"
    key = f"models.{name}.{model.halvings_key}"
    if model.halvings_key == "hidden":
        return (
            f"{key}: its widths halve the grid {model.halvings} times, and the {grid}: give at "
            f"least {model.halvings - possible} fewer, or use network: mlp"
        )
    return (
        f"{key}: {model.halvings + 1} resolutions halve the grid {model.halvings} times, and the "
        f"{grid}: give at most {possible + 1} numbers"
    )


def _gate_problems(name: str, gate: Gate, model: ModelConfig, dataset: Dataset) -> Iterator[str]:
    required = [(f"thresholds.{metric}", metric) for metric in gate.thresholds]
    required += [("champion.superior", metric) for metric in gate.champion.superior]
    required += [("champion.non_inferior", metric) for metric in gate.champion.non_inferior]
    required += [
        (key, metric)
        for key, metric, bound in (
            ("health.min_active_units", "active_units", gate.health.min_active_units),
            ("health.min_coverage", "coverage", gate.health.min_coverage),
        )
        if bound is not None
    ]
    if gate.memorisation is not None:
        bounds = gate.memorisation.model_dump(exclude_none=True)
        required += [(f"memorisation.{key}", key.partition("_")[2]) for key in bounds]
    for key, metric in required:
        why = _why_not(metric, model, dataset)
        if why is not None:
            yield f"gates.{name}.{key}: {name} has no metric {metric}: {why}; remove it"


def _why_not(metric: str, model: ModelConfig, dataset: Dataset) -> str | None:
    """Return why no model like this one has a metric; None if it has, or if it is unknown."""
    metric = metric.removesuffix("_stderr")
    reason = _why_not_by_kind(metric, model.dataset, dataset)
    if reason is not None:
        return reason
    if metric in _LIKELIHOODS:
        reason = _why_no_likelihood(metric, model, dataset)
        if reason is not None:
            return reason
    if metric == "in_tune" and model.view == "grid":
        able = families_that(lambda block: block.view == "sequence")
        return f"only family: {able} has it, and this is a {model.family}"
    if metric == "label_accuracy" and not model.conditional:
        return "only a model with conditional: true has it"
    return None


def _why_no_likelihood(metric: str, model: ModelConfig, dataset: Dataset) -> str | None:
    """Return why no model like this one has a metric of held-out likelihood; None if it has."""
    own = model.likelihood_metrics(dataset.kind)
    if metric in own:
        return None
    if metric == "bits_per_dim":
        if not own:
            return f"a {model.family} has no likelihood"
        return f"an {model.family} of {dataset.kind} has {own[0]}"
    able = families_that(lambda block: metric in block.likelihood_metrics(dataset.kind))
    return f"only family: {able} has it, and this is a {model.family}"


def _why_not_by_kind(metric: str, name: str, dataset: Dataset) -> str | None:
    reason = _why_no_distance(metric, name, dataset)
    if reason is not None:
        return reason
    if metric in _WORDS | _TEXT_CODE and dataset.kind != "text":
        return f"{name} is {dataset.kind}, and the metric is of text"
    if metric in _SOUND | {"bits_per_sample"} and dataset.kind != "audio":
        return f"{name} is {dataset.kind}, and the metric is of audio"
    if metric in _GRIDS | _CLASSES | {"bits_per_dim"} and dataset.kind == "text":
        return f"{name} is text, and the metric is of images and audio"
    if metric in _CLASSES and dataset.labels == "none":
        return f"{name} has no labels"
    return None


def _why_no_distance(metric: str, name: str, dataset: Dataset) -> str | None:
    """Return why a metric is no distance of a data set; None if it may be one, or is another."""
    if not metric.startswith(_DISTANCES) and metric not in _PUBLISHED:
        return None
    extractor = dataset.reference.extractor
    if extractor != OWN and metric in _PUBLISHED:
        return None
    own = name.replace("-", "_")
    if dataset.kind == "text":
        known = [f"frechet_{own}_rnn", f"kernel_{own}_rnn"]
    elif extractor == OWN:
        known = [f"frechet_{own}_cnn", f"frechet_{own}_cnn_infinite", f"kernel_{own}_cnn"]
    else:
        known = [f"frechet_{extractor}", f"kernel_{extractor}"]
    if metric in known:
        return None
    return f"the distances of {name} are {', '.join(known)}"
