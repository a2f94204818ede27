"""Stage reference: feature extractor, baselines and noise floors of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genmint.common.errors import DataError
from genmint.common.files import atomic_dir, sha256_file
from genmint.common.layout import EXTRACTOR
from genmint.common.project import Project
from genmint.config import Params, Protocol, ReferenceConfig
from genmint.config.metric_catalogue import frechet_infinite_name, frechet_name, kernel_name
from genmint.data import agreement
from genmint.data.prepared import Prepared, Split
from genmint.data.stacking import single_labels
from genmint.data.views import tensors
from genmint.evaluation.applicability import (
    BY_CLASS,
    Reasons,
    above_chance,
    by_feature,
    same_reason,
    words_left_out,
)
from genmint.evaluation.baselines import grid_baselines, merged, sequence_baselines
from genmint.evaluation.codecs import grid_codecs, sequence_codecs
from genmint.evaluation.extractor import (
    Extractor,
    ExtractorInfo,
    Task,
    number_of_classes,
    predict,
    save_extractor,
)
from genmint.evaluation.extractor_training import train_extractor
from genmint.evaluation.judge import (
    COMPARED_SAMPLES,
    GridJudge,
    Metrics,
    clip_metrics,
    grid_judge,
    text_judge,
)
from genmint.evaluation.noise_floor import distance_floors, share_floors
from genmint.evaluation.reference import FrozenExtractor, Reference, write_reference
from genmint.metrics.pitch import fundamentals, in_tune, reference_pitches
from genmint.metrics.resampling import Rows
from genmint.metrics.sound import log_spectral_distance
from genmint.metrics.words import as_text

# Minimum number of real items from which noise floors are drawn.
_POOL = 10_000
# Number of clips whose fundamental frequencies give the notes of a set; more do not change them.
_CLIPS = 2000
# Minimum share of real clips in tune. Below it the set has no fixed notes, and `in_tune` is left
# out.
_MUSICAL = 0.9


def run(project: Project, params: Params, name: str) -> None:
    """Write data/reference/NAME: feature extractor, trivial baselines, noise floors.

    Raises:
        DataError: the prepared set is damaged or was made with other settings, or the accuracy of
            the extractor is below `min_accuracy`.
    """
    block = params.datasets[name]
    prepared = Prepared(project.prepared(name))
    agreement.check_prepared(prepared, name, block)
    prepared.check()
    with atomic_dir(project.reference(name)) as folder:
        if prepared.meta.kind == "text":
            reference = _of_text(prepared, block.protocol)
        else:
            reference = _of_grids(prepared, block.protocol, block.reference, folder)
        write_reference(folder, reference.model_copy(update={"settings": block.reference}))
    print(_summary(name, reference))  # noqa: T201 - result of the stage


def _of_text(prepared: Prepared, protocol: Protocol) -> Reference:
    length = protocol.text_length
    spec = prepared.spec("sequence")
    stream = tensors.load(prepared, "validation", spec).numpy()
    if len(np.unique(prepared.array("train"))) <= 2:
        # One of at most two distinct tokens is the document boundary.
        raise DataError(
            f"datasets.{prepared.meta.dataset}: the training text repeats a single character: "
            "nothing can be learnt"
        )
    judge = text_judge(prepared)
    reasons = words_left_out(judge.test_text)
    judge = dataclasses.replace(judge, left_out=reasons)
    pieces = stream[: len(stream) // length * length].reshape(-1, length)
    texts = [as_text(piece, spec) for piece in pieces]
    floors = share_floors(
        lambda rows: judge.quality([texts[i] for i in rows]),
        len(texts),
        protocol.samples,
        seed=protocol.seed,
    )
    chosen = _spread(len(pieces), protocol.samples)
    real = judge.quality([texts[i] for i in chosen]) | judge.memorisation(pieces[chosen])
    return Reference(
        dataset=prepared.meta.dataset,
        data=prepared.sha256,
        protocol=protocol,
        extractor=None,
        baselines=merged(sequence_baselines(prepared), sequence_codecs(prepared)),
        noise_floor=floors,
        real=real,
        left_out=reasons,
    )


def _of_grids(
    prepared: Prepared, protocol: Protocol, config: ReferenceConfig, folder: Path
) -> Reference:
    dataset = prepared.meta.dataset
    spec = prepared.spec("grid")
    train = tensors.load(prepared, "train", spec)
    validation = tensors.load(prepared, "validation", spec)
    test = tensors.load(prepared, "test", spec)
    extractor, info, reasons = _extractor(prepared, config, train, test)
    save_extractor(folder, extractor, info)
    judge = grid_judge(prepared, extractor, info.task, protocol.seed, left_out=reasons)
    floors = _floors(judge, [train, validation], protocol)
    unseen = validation[torch.from_numpy(_spread(len(validation), protocol.samples))]
    real = judge.quality(unseen) | judge.memorisation(unseen)
    pitches = None
    if prepared.meta.kind == "audio":
        clip_floors, clip_real, pitches = _of_clips(prepared, protocol)
        floors, real = floors | clip_floors, real | clip_real
        if pitches is None:
            reasons["in_tune"] = "the clips of the test split play none of a few fixed notes"
    needed = 2 * extractor.features(test[:1]).shape[1]
    if judge.features_mean_something and min(protocol.samples, COMPARED_SAMPLES) < needed:
        reasons[frechet_infinite_name(dataset)] = (
            f"the extrapolation needs {needed} samples, twice as many as features: raise "
            f"protocol.samples (now {protocol.samples})"
        )
    return Reference(
        dataset=dataset,
        data=prepared.sha256,
        protocol=protocol,
        extractor=FrozenExtractor(
            name=info.name,
            task=info.task,
            accuracy=info.accuracy,
            sha256=sha256_file(folder / EXTRACTOR),
        ),
        baselines=merged(
            grid_baselines(judge, protocol),
            sequence_baselines(prepared),
            grid_codecs(test),
            sequence_codecs(prepared),
        ),
        noise_floor=floors,
        real=real,
        pitches=pitches,
        left_out=reasons,
    )


def _pool(items: int, protocol: Protocol) -> Tensor:
    """Return indices of the real grids for the noise floors, drawn with the protocol's seed."""
    enough = max(_POOL, 2 * protocol.samples)
    if items <= enough:
        return torch.arange(items)
    generator = torch.Generator().manual_seed(protocol.seed)
    return torch.randperm(items, generator=generator)[:enough]


def _extractor(
    prepared: Prepared, config: ReferenceConfig, train: Tensor, test: Tensor
) -> tuple[Extractor, ExtractorInfo, Reasons]:
    """Train the extractor; return it with its description and the metrics that are left out.

    The tasks are tried in order until the accuracy is above chance.
    """
    meta = prepared.meta
    reasons = _classes_left_out(prepared)
    tasks: list[Task] = ["rotation", "order"] if meta.kind == "image" else ["order"]
    if not reasons:
        tasks.insert(0, "labels")
    for task in tasks:
        extractor = _trained(prepared, config, train, task)
        labels = _labels(prepared, "test") if task == "labels" else None
        predicted, truth = predict(extractor, test, labels, task)
        reached = float((predicted == truth).mean())
        if reached < config.min_accuracy:
            raise DataError(
                f"datasets.{meta.dataset}.reference: the extractor classifies {reached:.1%} of the "
                f"test split correctly ({task}), below min_accuracy {config.min_accuracy:.1%}; "
                "distances in its features would not be meaningful. "
                "Raise epochs, check the labels, or lower min_accuracy."
            )
        is_above_chance = above_chance(
            predicted, truth, truth.size if task == "labels" else len(test)
        )
        if is_above_chance:
            break
        problem = (
            f"the extractor classifies {reached:.1%} correctly ({task}), no better than chance"
        )
        if task == "labels":
            reasons = same_reason(BY_CLASS, f"the labels cannot be predicted: {problem}")
    if not is_above_chance:
        reasons |= same_reason(
            by_feature(meta.dataset), f"the features are not meaningful: {problem}"
        )
    info = ExtractorInfo(
        name=f"{meta.dataset.replace('-', '_')}_cnn",
        task=task,
        shape=(train.shape[1], train.shape[2], train.shape[3]),
        classes=_answers(prepared, task),
        accuracy=reached,
        stacked=meta.stacked is not None,
    )
    return extractor, info, reasons


def _answers(prepared: Prepared, task: Task) -> int:
    return number_of_classes(task, prepared.meta.stacked or prepared.meta.labels)


def _trained(prepared: Prepared, config: ReferenceConfig, train: Tensor, task: Task) -> Extractor:
    meta = prepared.meta
    # Always on the CPU: the same data then give the same file on any machine.
    print(  # noqa: T201 - names the device first
        f"{meta.dataset}: the extractor ({task}) trains on the CPU, 1 thread, torch "
        f"{torch.__version__}",
        flush=True,
    )
    try:
        return train_extractor(
            train,
            _labels(prepared, "train") if task == "labels" else None,
            classes=_answers(prepared, task),
            task=task,
            epochs=config.epochs,
            seed=config.seed,
            stacked=meta.stacked is not None,
        )
    except DataError as error:
        raise DataError(f"datasets.{meta.dataset}: {error}") from None


def _classes_left_out(prepared: Prepared) -> Reasons:
    """Return the class metrics as left out if labels are missing or all equal; else nothing."""
    dataset, train_labels = prepared.meta.dataset, _labels(prepared, "train")
    if train_labels is None:
        return same_reason(BY_CLASS, f"datasets.{dataset} has no labels")
    for split, labels in (("training", train_labels), ("test", _labels(prepared, "test"))):
        assert labels is not None
        if len(labels.unique()) < 2:
            return same_reason(
                BY_CLASS,
                f"all items of the {split} split of datasets.{dataset} have one label, so there is "
                "nothing to distinguish; the set is treated as unlabelled",
            )
    return {}


def _labels(prepared: Prepared, split: Split) -> Tensor | None:
    """Return the targets of the extractor: one per item, or one per channel of a stack."""
    labels, meta = prepared.labels(split), prepared.meta
    if labels is None:
        return None
    if meta.stacked is not None:
        labels = single_labels(labels, len(meta.stacked), meta.shape[0])
    return torch.from_numpy(np.array(labels))


def _floors(judge: GridJudge, sets: Sequence[Tensor], protocol: Protocol) -> Metrics:
    """Return the noise floor of each metric of grids, computed from the grids of these sets."""
    pool, seed = _pool(sum(len(one) for one in sets), protocol), protocol.seed
    features = judge.extractor.features_at(sets, pool)
    probabilities = judge.extractor.probabilities_at(sets, pool) if judge.task == "labels" else None
    # Copying is possible because spectrograms are small, unlike images.
    sounds = None if judge.dynamic_range is None else torch.cat(list(sets))[pool]

    def scores(rows: Rows) -> Metrics:
        values = judge.shares(
            features[rows], None if probabilities is None else probabilities[rows]
        )
        if sounds is not None and judge.dynamic_range is not None:
            grids = sounds[torch.from_numpy(rows)]
            distance, _ = log_spectral_distance(grids, judge.test, judge.dynamic_range)
            values["log_spectral_distance"] = distance
        return values

    floors = share_floors(scores, len(pool), protocol.samples, seed=seed)
    if not judge.features_mean_something:
        return floors
    compared = min(protocol.samples, COMPARED_SAMPLES)
    frechet, infinite, kernel = distance_floors(features, judge.real, compared, seed=seed)
    floors[frechet_name(judge.dataset)] = frechet
    floors[kernel_name(judge.dataset)] = kernel
    if infinite is not None:
        floors[frechet_infinite_name(judge.dataset)] = infinite
    return floors


def _spread(items: int, samples: int) -> Rows:
    """Return evenly spaced indices of as many items as the protocol draws samples, or of all."""
    return np.linspace(0, items - 1, min(items, samples)).astype(np.int64)


def _of_clips(
    prepared: Prepared, protocol: Protocol
) -> tuple[Metrics, Metrics, tuple[float, ...] | None]:
    """Return noise floors of the clip metrics, their values for real clips, and the notes in Hz.

    The notes are those of the training clips; None if the test clips do not play them too.
    """
    rate = prepared.meta.sample_rate
    assert rate is not None
    train = prepared.array("train")
    known = np.array(train[_spread(len(train), _CLIPS)])
    pitches: list[float] | None = reference_pitches(fundamentals(known, rate))
    heard = fundamentals(np.array(prepared.array("test")), rate)
    if in_tune(heard, pitches or [])[0] < _MUSICAL:
        pitches = None
    floors = share_floors(
        lambda rows: clip_metrics(known[rows], rate, pitches),
        len(known),
        protocol.samples,
        seed=protocol.seed,
    )
    validation = prepared.array("validation")
    unseen = np.array(validation[_spread(len(validation), protocol.samples)])
    real = clip_metrics(unseen, rate, pitches)
    return floors, real, None if pitches is None else tuple(pitches)


def _summary(name: str, reference: Reference) -> str:
    parts = []
    if reference.extractor is not None:
        info = reference.extractor
        parts.append(f"{info.name} has accuracy {info.accuracy:.1%} ({info.task})")
    for metric, entries in reference.baselines.items():
        values = ", ".join(f"{key} {entry.value:.4g}" for key, entry in entries.items())
        parts.append(f"{metric}: {values}")
    for reason in dict.fromkeys(reference.left_out.values()):
        metrics = [key for key, value in reference.left_out.items() if value == reason]
        parts.append(f"left out: {', '.join(metrics)} ({reason})")
    return f"{name}: " + "; ".join(parts)
