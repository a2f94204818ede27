"""Sizes of models for a time budget, from training steps timed on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genmint.config import AudioDataset, Dataset, ImageDataset, ModelConfig, TextDataset
from genmint.config.datasets import ReferenceConfig
from genmint.config.fit import grid_sides
from genmint.config.models.base import View
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.proposal.models import Candidate
from genmint.training.devices import choose_device
from genmint.training.fastest import Bench, fastest
from genmint.training.speed import Timer, measure

# Seconds of timing per candidate.
_SECONDS = 2.5
_STEPS = 10_000
# Seconds that a stage takes to start, and stages per data set and per model.
_START, _DATA_STAGES, _MODEL_STAGES = 6.0, 4, 3
# Share of the budget for ingest, validate, prepare and the reference of the data set.
_REFERENCE = 0.2
# Share of the budget for the feature extractor, and the grid positions that it is trained on in a
# second of one core, roughly.
_EXTRACTOR, _EXTRACTOR_SPEED, _FEWEST_EPOCHS = 0.12, 500_000, 2
# A validation pass takes this share of the time of a training pass.
_FORWARD = 0.4
# A training run may be slower than its first steps were.
_RESERVE = 0.85
_DRAWN_STEPS = 48
_FEWEST_STEPS = 20
_SEED = 0


@dataclass(frozen=True)
class Amounts:
    """Sizes of the splits: items, or characters of a text.

    Attributes:
        train: size of the training split.
        validation: size of the validation split.
        test: size of the test split.
    """

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Sized:
    """A candidate with the number of its steps.

    Attributes:
        candidate: the network.
        steps: training steps that fit into the budget.
        steps_per_second: measured.
        train_seconds: expected duration of the training run.
        evaluate_seconds: expected duration of the evaluation.
        passes: passes over the training split.
    """

    candidate: Candidate
    steps: int
    steps_per_second: float
    train_seconds: float
    evaluate_seconds: float
    passes: float


def amounts_of(dataset: Dataset, items: int) -> Amounts:
    """Return the sizes of the splits of `items` items (text: characters)."""
    held_out = dataset.validation + dataset.test + dataset.confirmation
    return Amounts(
        train=max(1, round(items * (1 - held_out))),
        validation=max(1, round(items * dataset.validation)),
        test=max(1, round(items * dataset.test)),
    )


def spec_of(name: str, dataset: Dataset, view: View, symbols: int = 256) -> DataSpec:
    """Return the specification of the data that models of this view will see.

    Args:
        name: name of the data set.
        dataset: data set entry; images with a mode.
        view: grid or sequence.
        symbols: number of distinct characters of a text.
    """
    if isinstance(dataset, TextDataset):
        vocabulary = ("<unk>", "<s>", *(chr(0x4E00 + k) for k in range(symbols)))
        return DataSpec(
            dataset=name,
            kind="text",
            view="sequence",
            shape=(),
            symbols=len(vocabulary),
            vocabulary=vocabulary,
        )
    if isinstance(dataset, ImageDataset):
        side, channels = dataset.resolution, 3 if dataset.mode == "rgb" else 1
        shape = (channels, side, side)
        if view == "grid":
            return DataSpec(dataset=name, kind="image", view="grid", shape=shape)
        length = math.prod(shape)
        return DataSpec(
            dataset=name,
            kind="image",
            view="sequence",
            shape=(length,),
            symbols=256,
            image_shape=shape,
        )
    return _of_audio(name, dataset, view)


def size(
    options: Sequence[Candidate],
    name: str,
    specs: Callable[[View], DataSpec],
    dataset: Dataset,
    amounts: Amounts,
    seconds: float,
    clock: Callable[[], float],
) -> Sized:
    """Time candidates, the largest first, and return the first one that learns enough in time.

    A candidate learns enough if it passes over the training split as often as it must to be better
    than a smaller one. The last candidate is taken in any case.

    Args:
        options: candidates, the largest first.
        name: name of the data set.
        specs: returns the specification of the data in a view.
        dataset: data set entry.
        amounts: sizes of its splits.
        seconds: budget of training and evaluation together, in seconds.
        clock: returns the time in seconds by which steps are timed.
    """
    for candidate in options:
        config = candidate.config(name, _STEPS)
        sized = _timed(candidate, config, specs(config.view), dataset, amounts, seconds, clock)
        if sized.passes >= min(candidate.passes, candidate.most_passes):
            return sized
    return sized


def extractor_epochs(dataset: Dataset, items: int, minutes: float) -> int:
    """Return the passes over the training split that the feature extractor may take in the budget.

    They are from 2 to the default of `reference.epochs`, from a rough figure of its speed.

    Args:
        dataset: data set entry; images or audio.
        items: number of training items.
        minutes: time budget of all stages.
    """
    sides = grid_sides(dataset)
    assert sides is not None
    passes = minutes * 60 * _EXTRACTOR * _EXTRACTOR_SPEED / (items * math.prod(sides))
    return max(_FEWEST_EPOCHS, min(ReferenceConfig().epochs, int(passes)))


def model_seconds(minutes: float, models: int) -> float:
    """Return the seconds for training and evaluating all models of a data set.

    Args:
        minutes: time budget of all stages.
        models: number of models.
    """
    starts = _START * (_DATA_STAGES + _MODEL_STAGES * models)
    return max(1.0, minutes * 60 * (1 - _REFERENCE) - starts)


def _timed(
    candidate: Candidate,
    config: ModelConfig,
    spec: DataSpec,
    dataset: Dataset,
    amounts: Amounts,
    seconds: float,
    clock: Callable[[], float],
) -> Sized:
    device = choose_device()
    train = _noise(spec, candidate.batch_size)
    options = fastest(Bench(config, spec, device, lambda: train, clock=clock), None)
    timing = measure(config, spec, train, [options], device, Timer(_SECONDS, clock))[options]
    # Items, or symbols of sequences, a second.
    length = spec.shape[0] if spec.view == "sequence" and spec.shape else 1
    train_pass = amounts.train * length / timing.rate
    validation = _FORWARD * amounts.validation * length / timing.rate * (candidate.validations + 1)
    draws = dataset.protocol.importance_samples if config.view == "grid" else 1
    scored = _FORWARD * amounts.test * length / timing.rate * draws
    evaluation = scored + _sampling_seconds(config, spec, dataset, device, clock)
    for_steps = max(0.0, seconds * _RESERVE - timing.start - validation - evaluation)
    most = candidate.most_passes * train_pass * timing.steps
    steps = _rounded(min(for_steps * timing.steps, most))
    return Sized(
        candidate=candidate,
        steps=steps,
        steps_per_second=timing.steps,
        train_seconds=timing.start + validation + steps / timing.steps,
        evaluate_seconds=evaluation,
        passes=steps / timing.steps / train_pass,
    )


def _noise(spec: DataSpec, batch: int) -> Tensor:
    """Return random data of the specification; how long a step takes does not depend on them."""
    generator = torch.Generator().manual_seed(_SEED)
    if spec.kind == "text":
        return torch.randint(2, spec.symbols or 3, (200_000,), generator=generator)
    shape = (4 * batch, *spec.shape)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _sampling_seconds(
    config: ModelConfig,
    spec: DataSpec,
    dataset: Dataset,
    device: torch.device,
    clock: Callable[[], float],
) -> float:
    """Return the time to draw all sets of samples of the protocol."""
    protocol = dataset.protocol
    whole = part = 1
    if spec.view == "sequence":
        whole = spec.shape[0] if spec.shape else protocol.text_length
        part = min(_DRAWN_STEPS, whole)
    model = store.build(config, spec).to(device).eval()
    length = part if spec.view == "sequence" else None
    began = clock()
    model.sample(protocol.samples, seed=_SEED, batch_size=protocol.batch_size, length=length)
    seconds = clock() - began
    # One set more for the probe set and the time of a single sample.
    return seconds * whole / part * (protocol.resamples + 1)


def _rounded(steps: float) -> int:
    """Return a number of steps with two digits, rounded down."""
    if steps <= _FEWEST_STEPS:
        return _FEWEST_STEPS
    unit = 10 ** max(0, math.floor(math.log10(steps)) - 1)
    return int(steps // unit * unit)


def _of_audio(name: str, dataset: AudioDataset, view: View) -> DataSpec:
    if view == "sequence":
        return DataSpec(
            dataset=name,
            kind="audio",
            view="sequence",
            shape=(dataset.samples_per_clip,),
            symbols=256,
            sample_rate=dataset.sample_rate,
            samples=dataset.samples_per_clip,
        )
    return DataSpec(
        dataset=name,
        kind="audio",
        view="grid",
        shape=(1, dataset.spectrogram.mels, dataset.frames_per_clip),
        sample_rate=dataset.sample_rate,
        samples=dataset.samples_per_clip,
        spectrogram=dataset.spectrogram,
    )
