"""Stage reference: feature extractor, baselines and noise floors of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genmint.common.files import atomic_dir
from genmint.common.project import Project
from genmint.config import Params, Protocol, ReferenceConfig
from genmint.data import agreement
from genmint.data.prepared import Prepared, Split
from genmint.data.views import tensors
from genmint.evaluation.applicability import (
    Reasons,
)
from genmint.evaluation.baselines import grid_baselines, merged, sequence_baselines
from genmint.evaluation.codecs import grid_codecs, sequence_codecs
from genmint.evaluation.dataset_extractor import dataset_extractor
from genmint.evaluation.distance_names import DistanceNames
from genmint.evaluation.fitness import grid_fitness, unfit
from genmint.evaluation.judge import (
    COMPARED_SAMPLES,
    GridJudge,
    Metrics,
    clip_metrics,
    grid_judge,
)
from genmint.evaluation.noise_floor import distance_floors, share_floors
from genmint.evaluation.reference import (
    REFERENCE,
    Reference,
    write_reference,
)
from genmint.evaluation.text_reference import text_reference
from genmint.metrics.pitch import fundamentals, in_tune, reference_pitches
from genmint.metrics.resampling import Rows, evenly_spaced
from genmint.metrics.sound import log_spectral_distance

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
            reference = text_reference(prepared, block.protocol, block.reference, folder)
        else:
            reference = _of_grids(prepared, block.protocol, block.reference, folder, project)
        write_reference(folder, reference.model_copy(update={"settings": block.reference}))
    print(_summary(name, reference))  # noqa: T201 - result of the stage


def _of_grids(
    prepared: Prepared,
    protocol: Protocol,
    config: ReferenceConfig,
    folder: Path,
    project: Project,
) -> Reference:
    spec = prepared.spec("grid")
    train = tensors.load(prepared, "train", spec)
    validation = tensors.load(prepared, "validation", spec)
    test = tensors.load(prepared, "test", spec)
    grids: dict[Split, Tensor] = {"train": train, "validation": validation, "test": test}
    extractor, record, reasons = dataset_extractor(prepared, grids, config, folder, project)
    judge = grid_judge(prepared, extractor, record.task, protocol.seed, left_out=reasons)
    floors = _floors(judge, [train, validation], protocol)
    unseen = validation[torch.from_numpy(evenly_spaced(len(validation), protocol.samples))]
    real = judge.quality(unseen) | judge.memorisation(unseen)
    pitches = None
    if prepared.meta.kind == "audio":
        clip_floors, clip_real, pitches = _of_clips(prepared, protocol)
        floors, real = floors | clip_floors, real | clip_real
        if pitches is None:
            reasons["in_tune"] = "the clips of the test split play none of a few fixed notes"
    values, graded = grid_fitness(
        judge, validation, _item_labels(prepared, "validation"), protocol.samples
    )
    if judge.names.infinite not in reasons:
        reasons |= _extrapolation_left_out(judge, protocol)
    return Reference(
        dataset=prepared.meta.dataset,
        data=prepared.sha256,
        protocol=protocol,
        extractor=record,
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
        unfit=_unfit(judge.names, unfit(values, graded, floors)),
    )


def _extrapolation_left_out(judge: GridJudge, protocol: Protocol) -> Reasons:
    needed = 2 * judge.real.shape[1]
    if not judge.features_mean_something or min(protocol.samples, COMPARED_SAMPLES) >= needed:
        return {}
    reason = (
        f"the extrapolation needs {needed} samples, twice as many as features: raise "
        f"protocol.samples (now {protocol.samples})"
    )
    return {judge.names.infinite: reason}


def _unfit(names: DistanceNames, reasons: Reasons) -> Reasons:
    """Add the extrapolated distance, which is as fit as the distance itself."""
    reason = reasons.get(names.frechet)
    return reasons if reason is None else reasons | {names.infinite: reason}


def _item_labels(prepared: Prepared, split: Split) -> Tensor | None:
    labels = prepared.labels(split)
    return None if labels is None else torch.from_numpy(np.array(labels))


def _pool(items: int, protocol: Protocol, most: int) -> Tensor:
    """Return indices of the real grids for the noise floors, drawn with the protocol's seed."""
    enough = max(most, 2 * protocol.samples)
    if items <= enough:
        return torch.arange(items)
    generator = torch.Generator().manual_seed(protocol.seed)
    return torch.randperm(items, generator=generator)[:enough]


def _floors(judge: GridJudge, sets: Sequence[Tensor], protocol: Protocol) -> Metrics:
    """Return the noise floor of each metric of grids, computed from the grids of these sets."""
    items, seed = sum(len(one) for one in sets), protocol.seed
    pool = _pool(items, protocol, judge.extractor.pool)
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
    frechet, infinite, kernel = distance_floors(
        features,
        judge.real,
        compared,
        seed=seed,
        extrapolated=judge.extractor.extrapolates,
    )
    floors[judge.names.frechet] = frechet
    floors[judge.names.kernel] = kernel
    if infinite is not None:
        floors[judge.names.infinite] = infinite
    return floors


def _of_clips(
    prepared: Prepared, protocol: Protocol
) -> tuple[Metrics, Metrics, tuple[float, ...] | None]:
    """Return noise floors of the clip metrics, their values for real clips, and the notes in Hz.

    The notes are those of the training clips; None if the test clips do not play them too.
    """
    rate = prepared.meta.sample_rate
    assert rate is not None
    train = prepared.array("train")
    known = np.array(train[evenly_spaced(len(train), _CLIPS)])
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
    unseen = np.array(validation[evenly_spaced(len(validation), protocol.samples)])
    real = clip_metrics(unseen, rate, pitches)
    return floors, real, None if pitches is None else tuple(pitches)


def _summary(name: str, reference: Reference) -> str:
    parts = []
    if reference.extractor is not None:
        info = reference.extractor
        accuracy = "" if info.accuracy is None else f" has accuracy {info.accuracy:.1%}"
        parts.append(f"{info.name}{accuracy} ({info.task})")
    for metric, entries in reference.baselines.items():
        values = ", ".join(f"{key} {entry.value:.4g}" for key, entry in entries.items())
        parts.append(f"{metric}: {values}")
    if reference.unfit:
        parts.append(f"unfit: {', '.join(reference.unfit)} ({REFERENCE} says why)")
    for reason in dict.fromkeys(reference.left_out.values()):
        metrics = [key for key, value in reference.left_out.items() if value == reason]
        parts.append(f"left out: {', '.join(metrics)} ({reason})")
    return f"{name}: " + "; ".join(parts)
