"""Whether entries of params.yaml fit each other: what a later stage would refuse is refused here.

A model that cannot be built on its data, or a gate that asks for a metric which no such model has,
would else be found out after hours of training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from genmint.config.datasets import AudioDataset, Dataset, ImageDataset
from genmint.config.gates import Gate
from genmint.config.models import ModelConfig

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
_VAE = frozenset({"elbo", "importance_weighted_bound", "active_units"})


def grid_sides(dataset: Dataset) -> tuple[int, int] | None:
    """Height and width of the grid view of an item; None for text, which has none."""
    if isinstance(dataset, ImageDataset):
        return dataset.resolution, dataset.resolution
    if isinstance(dataset, AudioDataset):
        return dataset.spectrogram.mels, dataset.frames_per_clip
    return None


def problems(params: Params) -> Iterator[str]:
    """What of models and gates cannot work, a line each with the key and the way out.

    Args:
        params: whose models name data sets, and whose gates name models, that are there.
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
    if model.family == "rnn" or model.network == "mlp" or sides is None:
        return None
    halvings = math.ceil(math.log2(max(sides)))
    if len(model.hidden) <= halvings:
        return None
    return (
        f"models.{name}.hidden: {len(model.hidden)} widths halve the grid as many times, and the "
        f"{sides[0]}×{sides[1]} of {model.dataset} can be halved {halvings} times: give at most "
        f"{halvings} widths, or use network: mlp"
    )


def _gate_problems(name: str, gate: Gate, model: ModelConfig, dataset: Dataset) -> Iterator[str]:
    asked = [(f"thresholds.{metric}", metric) for metric in gate.thresholds]
    asked += [("champion.superior", metric) for metric in gate.champion.superior]
    asked += [("champion.non_inferior", metric) for metric in gate.champion.non_inferior]
    asked += [
        (key, metric)
        for key, metric, bound in (
            ("health.min_active_units", "active_units", gate.health.min_active_units),
            ("health.min_coverage", "coverage", gate.health.min_coverage),
        )
        if bound is not None
    ]
    if gate.memorisation is not None:
        bounds = gate.memorisation.model_dump(exclude_none=True)
        asked += [(f"memorisation.{key}", key.partition("_")[2]) for key in bounds]
    for key, metric in asked:
        why = _why_not(metric, model, dataset)
        if why is not None:
            yield f"gates.{name}.{key}: {name} has no metric {metric}: {why}; remove it"


def _why_not(metric: str, model: ModelConfig, dataset: Dataset) -> str | None:
    """Why no model like this one has a metric; None if it has, or if nothing is known of it."""
    metric = metric.removesuffix("_stderr")
    reason = _why_not_by_kind(metric, model.dataset, dataset)
    if reason is not None:
        return reason
    if metric in _VAE and model.family != "vae":
        return f"only family: vae has it, and this is a {model.family}"
    if metric == "bits_per_dim" and model.family == "gan":
        return "a gan has no likelihood"
    if metric == "bits_per_dim" and model.family == "rnn" and dataset.kind == "audio":
        return "an rnn of audio has bits_per_sample"
    if metric in ("bits_per_sample", "in_tune") and model.family != "rnn":
        return f"only family: rnn has it, and this is a {model.family}"
    if metric == "label_accuracy" and not model.conditional:
        return "only a model with conditional: true has it"
    return None


def _why_not_by_kind(metric: str, name: str, dataset: Dataset) -> str | None:
    if metric.startswith(("frechet_", "kernel_")) and dataset.kind == "text":
        return f"{name} is text, which has no features"
    if metric in _WORDS | _TEXT_CODE and dataset.kind != "text":
        return f"{name} is {dataset.kind}, and the metric is of text"
    if metric in _SOUND | {"bits_per_sample"} and dataset.kind != "audio":
        return f"{name} is {dataset.kind}, and the metric is of audio"
    if metric in _GRIDS | _CLASSES | {"bits_per_dim"} and dataset.kind == "text":
        return f"{name} is text, and the metric is of images and audio"
    if metric in _CLASSES and dataset.labels == "none":
        return f"{name} has no labels"
    return None
