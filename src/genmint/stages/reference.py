"""reference: what models of a data set are judged against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genmint.config import Params, Protocol, ReferenceConfig
from genmint.data import views
from genmint.data.prepared import Prepared
from genmint.errors import DataError
from genmint.files import atomic_dir, sha256_file
from genmint.metrics.baselines import Scores, grid_baselines, merged, sequence_baselines
from genmint.metrics.catalogue import frechet_name, kernel_name
from genmint.metrics.classes import classes, confident
from genmint.metrics.extractor import (
    Extractor,
    ExtractorInfo,
    Task,
    accuracy,
    classes_of,
    save_extractor,
    train_extractor,
)
from genmint.metrics.noise_floor import distance_floors, share_floor
from genmint.metrics.pitch import fundamentals, in_tune, reference_pitches
from genmint.metrics.reference import FrozenExtractor, Reference, text_length, write_reference
from genmint.metrics.words import as_text, words_in_held_out
from genmint.project import Project

Values = dict[str, float]

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
    held_out = as_text(views.load(prepared, "test", spec).numpy(), spec)
    stream = views.load(prepared, "validation", spec).numpy()
    if len(stream) < 2 * length:
        raise DataError(
            f"{prepared.path}: the validation split has {len(stream)} characters, and a protocol "
            f"with samples of {length} needs twice as many; lower protocol.sample_length"
        )
    pieces = [
        as_text(stream[i : i + length], spec) for i in range(0, len(stream) - length + 1, length)
    ]
    floor = share_floor(
        lambda rows: words_in_held_out([pieces[i] for i in rows], held_out),
        len(pieces),
        protocol.samples,
        seed=protocol.seed,
    )
    return Reference(
        dataset=prepared.meta.dataset,
        data=prepared.sha256,
        protocol=protocol,
        extractor=None,
        baselines=sequence_baselines(prepared),
        noise_floor={"words_in_held_out": floor},
        real={"words_in_held_out": words_in_held_out(pieces, held_out)},
    )


def _of_grids(
    prepared: Prepared, protocol: Protocol, config: ReferenceConfig, folder: Path
) -> Reference:
    dataset = prepared.meta.dataset
    spec = prepared.spec("vae")
    train = views.load(prepared, "train", spec)
    test = views.load(prepared, "test", spec)
    pool = _pool(torch.cat([train, views.load(prepared, "validation", spec)]), protocol)
    extractor, info = _extractor(prepared, config, train, test)
    save_extractor(folder, extractor, info)
    baselines: Scores = grid_baselines(dataset, train, test, protocol, extractor, info.task)
    floors, real = _against_real(dataset, extractor, info.task, pool, test, protocol)
    pitches = None
    if prepared.meta.kind == "audio":
        pitches = _pitches(prepared, protocol, floors, real)
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
        baselines=merged(baselines, sequence_baselines(prepared)),
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
    answers = classes_of(task, meta.labels)
    try:
        extractor = train_extractor(
            train,
            _labels(prepared, "train"),
            classes=answers,
            task=task,
            epochs=config.epochs,
            seed=config.seed,
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
    )
    return extractor, info


def _labels(prepared: Prepared, split: str) -> Tensor | None:
    labels = prepared.labels("train" if split == "train" else "test")
    return None if labels is None else torch.from_numpy(np.array(labels))


def _against_real(
    dataset: str,
    extractor: Extractor,
    task: Task,
    pool: Tensor,
    test: Tensor,
    protocol: Protocol,
) -> tuple[Values, Values]:
    """Noise floors of the metrics of grids, and what real ones score in them."""
    frechet, kernel = distance_floors(
        extractor.features(pool), extractor.features(test), protocol.samples, seed=protocol.seed
    )
    floors = {frechet_name(dataset): frechet, kernel_name(dataset): kernel}
    if task != "labels":
        return floors, {}
    seen, held_out = extractor.probabilities(pool), extractor.probabilities(test)
    floors["confident"] = share_floor(
        lambda rows: confident(seen[rows]), len(seen), protocol.samples, seed=protocol.seed
    )
    floors["classes"] = share_floor(
        lambda rows: float(classes(seen[rows])), len(seen), protocol.samples, seed=protocol.seed
    )
    return floors, {"confident": confident(held_out), "classes": float(classes(held_out))}


def _pitches(
    prepared: Prepared, protocol: Protocol, floors: Values, real: Values
) -> tuple[float, ...] | None:
    """The notes that the training clips play; None if the test clips do not play them too."""
    rate = prepared.meta.sample_rate
    assert rate is not None
    train = prepared.array("train")
    chosen = np.linspace(0, len(train) - 1, min(len(train), _CLIPS)).astype(int)
    heard = fundamentals(np.array(train[chosen]), rate)
    pitches = reference_pitches(heard)
    share = in_tune(fundamentals(np.array(prepared.array("test")), rate), pitches)
    if share < _MUSICAL:
        return None
    real["in_tune"] = share
    floors["in_tune"] = share_floor(
        lambda rows: in_tune(heard[rows], pitches),
        len(heard),
        protocol.samples,
        seed=protocol.seed,
    )
    return tuple(pitches)


def _summary(name: str, reference: Reference) -> str:
    parts = []
    if reference.extractor is not None:
        told = reference.extractor
        parts.append(f"{told.name} tells {told.accuracy:.1%} right ({told.task})")
    for metric, entries in reference.baselines.items():
        values = ", ".join(f"{key} {entry.value:.4g}" for key, entry in entries.items())
        parts.append(f"{metric}: {values}")
    return f"{name}: " + "; ".join(parts)
