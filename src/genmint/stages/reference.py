"""reference: what models of a data set are judged against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genmint.config import Params, Protocol, ReferenceConfig
from genmint.data import views
from genmint.data.prepared import Prepared, Split
from genmint.data.stacking import single_labels
from genmint.errors import DataError
from genmint.files import atomic_dir, sha256_file
from genmint.metrics.baselines import grid_baselines, merged, sequence_baselines
from genmint.metrics.catalogue import frechet_infinite_name, frechet_name, kernel_name
from genmint.metrics.extractor import (
    Extractor,
    ExtractorInfo,
    Task,
    accuracy,
    classes_of,
    save_extractor,
    train_extractor,
)
from genmint.metrics.judge import (
    COMPARED_SAMPLES,
    GridJudge,
    Metrics,
    clip_metrics,
    grid_judge,
    text_judge,
)
from genmint.metrics.noise_floor import Rows, distance_floors, share_floors
from genmint.metrics.pitch import fundamentals, in_tune, reference_pitches
from genmint.metrics.reference import FrozenExtractor, Reference, text_length, write_reference
from genmint.metrics.sound import log_spectral_distance
from genmint.metrics.words import as_text
from genmint.project import Project

# Real items from which noise floors are drawn, at least.
_POOL = 10_000
# Clips whose fundamentals say which notes a set plays; more say the same.
_CLIPS = 2000
# Real clips must be in tune this often, or the set plays no notes and the metric means nothing.
_MUSICAL = 0.9


def run(project: Project, params: Params, name: str) -> None:
    """Make data/reference/NAME: extractor, trivial baselines, noise floors.

    Raises:
        DataError: the prepared set is damaged, or the extractor is below `min_accuracy`.
    """
    block = params.datasets[name]
    prepared = Prepared(project.prepared(name))
    prepared.check()
    with atomic_dir(project.reference(name)) as folder:
        if prepared.meta.kind == "text":
            reference = _of_text(prepared, block.protocol)
        else:
            reference = _of_grids(prepared, block.protocol, block.reference, folder)
        write_reference(folder, reference)
    print(_summary(name, reference))  # noqa: T201 - a stage says what it did


def _of_text(prepared: Prepared, protocol: Protocol) -> Reference:
    length = text_length(protocol)
    spec = prepared.spec("rnn")
    stream = views.load(prepared, "validation", spec).numpy()
    if len(stream) < 2 * length:
        raise DataError(
            f"{prepared.path}: the validation split has {len(stream)} characters, and a protocol "
            f"with samples of {length} needs twice as many; lower protocol.sample_length"
        )
    judge = text_judge(prepared)
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
        baselines=sequence_baselines(prepared),
        noise_floor=floors,
        real=real,
    )


def _of_grids(
    prepared: Prepared, protocol: Protocol, config: ReferenceConfig, folder: Path
) -> Reference:
    dataset = prepared.meta.dataset
    spec = prepared.spec("vae")
    train = views.load(prepared, "train", spec)
    validation = views.load(prepared, "validation", spec)
    test = views.load(prepared, "test", spec)
    extractor, info = _extractor(prepared, config, train, test)
    save_extractor(folder, extractor, info)
    judge = grid_judge(prepared, extractor, info.task, protocol.seed)
    floors = _floors(judge, _pool(torch.cat([train, validation]), protocol), protocol)
    unseen = validation[torch.from_numpy(_spread(len(validation), protocol.samples))]
    real = judge.quality(unseen) | judge.memorisation(unseen)
    pitches = None
    if prepared.meta.kind == "audio":
        clip_floors, clip_real, pitches = _of_clips(prepared, protocol)
        floors, real = floors | clip_floors, real | clip_real
    return Reference(
        dataset=dataset,
        data=prepared.sha256,
        protocol=protocol,
        extractor=FrozenExtractor(
            name=info.name,
            task=info.task,
            accuracy=info.accuracy,
            sha256=sha256_file(folder / "extractor.safetensors"),
        ),
        baselines=merged(grid_baselines(judge, protocol), sequence_baselines(prepared)),
        noise_floor=floors,
        real=real,
        pitches=pitches,
    )


def _pool(grids: Tensor, protocol: Protocol) -> Tensor:
    """As many real grids as noise floors can make use of, chosen by the protocol's seed."""
    enough = max(_POOL, 2 * protocol.samples)
    if len(grids) <= enough:
        return grids
    generator = torch.Generator().manual_seed(protocol.seed)
    return grids[torch.randperm(len(grids), generator=generator)[:enough]]


def _extractor(
    prepared: Prepared, config: ReferenceConfig, train: Tensor, test: Tensor
) -> tuple[Extractor, ExtractorInfo]:
    meta = prepared.meta
    unlabelled: Task = "rotation" if meta.kind == "image" else "order"
    task: Task = unlabelled if meta.labels is None else "labels"
    answers = classes_of(task, meta.stacked or meta.labels)
    # On any machine: the same data then give the same file.
    print(  # noqa: T201 - the first line of a training run names its device
        f"{meta.dataset}: the extractor trains on the CPU, 1 thread, torch {torch.__version__}",
        flush=True,
    )
    try:
        extractor = train_extractor(
            train,
            _labels(prepared, "train"),
            classes=answers,
            task=task,
            epochs=config.epochs,
            seed=config.seed,
            stacked=meta.stacked is not None,
        )
    except DataError as error:
        raise DataError(f"datasets.{meta.dataset}: {error}") from None
    reached = accuracy(extractor, test, _labels(prepared, "test"), task)
    if reached < config.min_accuracy:
        raise DataError(
            f"datasets.{meta.dataset}.reference: the extractor tells {reached:.1%} of the test "
            f"split right ({task}), below min_accuracy {config.min_accuracy:.1%}; distances in its "
            "features would mean little. Raise epochs, check the labels, or lower min_accuracy."
        )
    info = ExtractorInfo(
        name=f"{meta.dataset.replace('-', '_')}_cnn",
        task=task,
        shape=(train.shape[1], train.shape[2], train.shape[3]),
        classes=answers,
        accuracy=reached,
        stacked=meta.stacked is not None,
    )
    return extractor, info


def _labels(prepared: Prepared, split: Split) -> Tensor | None:
    """What the extractor is to answer: a number an item, or one for each channel of a stack."""
    labels, meta = prepared.labels(split), prepared.meta
    if labels is None:
        return None
    if meta.stacked is not None:
        labels = single_labels(labels, len(meta.stacked), meta.shape[0])
    return torch.from_numpy(np.array(labels))


def _floors(judge: GridJudge, pool: Tensor, protocol: Protocol) -> Metrics:
    """How far chance alone moves each metric of grids."""
    features, seed = judge.extractor.features(pool), protocol.seed
    compared = min(protocol.samples, COMPARED_SAMPLES)
    frechet, infinite, kernel = distance_floors(features, judge.real, compared, seed=seed)
    answers = judge.extractor.probabilities(pool) if judge.task == "labels" else None

    def scores(rows: Rows) -> Metrics:
        of_rows = None if answers is None else answers[rows]
        found = judge.shares(features[rows], of_rows)
        if judge.dynamic_range is not None:
            grids = pool[torch.from_numpy(rows)]
            distance, _ = log_spectral_distance(grids, judge.test, judge.dynamic_range)
            found["log_spectral_distance"] = distance
        return found

    floors = share_floors(scores, len(pool), protocol.samples, seed=seed)
    floors[frechet_name(judge.dataset)] = frechet
    floors[kernel_name(judge.dataset)] = kernel
    if infinite is not None:
        floors[frechet_infinite_name(judge.dataset)] = infinite
    return floors


def _spread(items: int, samples: int) -> Rows:
    """Numbers of as many held-out items as the protocol draws samples, or of all."""
    return np.linspace(0, items - 1, min(items, samples)).astype(np.int64)


def _of_clips(
    prepared: Prepared, protocol: Protocol
) -> tuple[Metrics, Metrics, tuple[float, ...] | None]:
    """Noise floors of the metrics of clips, what real ones score, and the notes of the set.

    The notes are those that the training clips play; None if the test clips do not play them too.
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
        told = reference.extractor
        parts.append(f"{told.name} tells {told.accuracy:.1%} right ({told.task})")
    for metric, entries in reference.baselines.items():
        values = ", ".join(f"{key} {entry.value:.4g}" for key, entry in entries.items())
        parts.append(f"{metric}: {values}")
    return f"{name}: " + "; ".join(parts)
