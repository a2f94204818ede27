"""Training of a data set's feature extractor, on its labels or on a self-supervised task."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genmint.common.errors import DataError
from genmint.config.datasets import SMALLEST_SIDE
from genmint.evaluation.corruptions import PixelStatistics
from genmint.evaluation.extractor import (
    Extractor,
    Task,
    part_size,
    parts,
)
from genmint.evaluation.extractor_network import multiplications
from genmint.evaluation.extractor_steps import Learner, Schedule
from genmint.evaluation.extractor_variation import Variation, mirror_images_belong
from genmint.evaluation.single_thread import single_thread
from genmint.metrics.pixels import pixel_moments

# Most multiplications of the forward pass, over all items of the training: about ten minutes of
# processor time.
_BUDGET = 10_000_000_000_000
_BATCH = 64
# Fewest steps in which the training split is passed through once, unless a batch is at its minimum.
_STEPS = 16
_SMALLEST_BATCH = 16
# Items between two validations of a large training split.
_VALIDATE_EVERY = 8192
# Number of grids from which means and variances are estimated.
_ENOUGH = 16_384
# Most items of the validation split that are used.
_VALIDATED = 2048


@dataclass(frozen=True)
class Examples:
    """Items of a split.

    Attributes:
        grids: uint8 N×C×H×W, H and W at least 8.
        labels: int64 N for the task `labels`, of stacked grids N×C; otherwise None.
    """

    grids: Tensor
    labels: Tensor | None

    def __getitem__(self, rows: Tensor) -> Examples:
        return Examples(self.grids[rows], None if self.labels is None else self.labels[rows])


@dataclass(frozen=True)
class Subject:
    """What the extractor learns.

    Attributes:
        task: `labels`; `rotation`: by which multiple of 90° an image was rotated (Gidaris et al.
            2018); `order`: whether the two halves of an item were swapped.
        classes: number of labels; for other tasks see `extractor.number_of_classes`.
        stacked: whether each channel is an image of its own.
        sound: whether the grids are spectrograms.
    """

    task: Task
    classes: int
    stacked: bool = False
    sound: bool = False


def train_extractor(
    train: Examples,
    validation: Examples,
    subject: Subject,
    *,
    epochs: int,
    seed: int,
    report: Callable[[str], None] | None = None,
) -> Extractor:
    """Train the extractor on the labels, or on a self-supervised task.

    Beside its task it learns to recognise graded corruptions (see `extractor_steps`). The learning
    rate stays high until the loss on the validation split stops improving, and then falls to 0
    (Hu et al. 2024, a warm-up, stable and decay schedule). The weights with the smallest validation
    loss are kept. Weights, batches and changes of the items are drawn from `seed`. The same call on
    one kind of processor gives the same weights, whatever the number of cores.

    Args:
        train: training split.
        validation: validation split; decides when to stop.
        subject: what is learnt.
        epochs: most passes over the training split. Large sets stop after a fixed amount of
            computation at the latest.
        seed: seed of weights, order, changes and tasks.
        report: called with a line of progress after each validation.

    Raises:
        DataError: the grids are smaller than 8×8, not square although the task is `rotation`, or
            all of one constant value.
    """
    _check(train.grids, subject.task)
    shape = (train.grids.shape[1], train.grids.shape[2], train.grids.shape[3])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Extractor(shape, subject.classes, stacked=subject.stacked)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    spread, centre = _std_mean(train.grids[:_ENOUGH])
    model.centre.copy_(centre)
    model.spread.copy_(spread)
    generator = torch.Generator().manual_seed(seed)
    deviation, mean = pixel_moments(train.grids[:_ENOUGH])
    pixels = PixelStatistics(float(spread), mean, deviation)
    variation = _variation(train, subject)
    learns = Learner(model, subject.task, variation, pixels, generator)
    with single_thread(), learns as learner:
        best = _descend(learner, train, _some(validation), epochs, report)
    model.load_state_dict(best)
    model.eval().requires_grad_(False)
    _set_scale(model, train.grids, torch.randperm(len(train.grids), generator=generator)[:_ENOUGH])
    return model


def _variation(train: Examples, subject: Subject) -> Variation:
    mirrored = False
    if subject.task == "labels" and not subject.sound and not subject.stacked:
        assert train.labels is not None
        mirrored = mirror_images_belong(train.grids, train.labels)
    return Variation(sound=subject.sound, mirror=mirrored or subject.task == "rotation")


def _some(validation: Examples) -> Examples:
    """Return evenly spaced items of the validation split."""
    n = len(validation.grids)
    return validation[torch.linspace(0, n - 1, min(n, _VALIDATED)).to(torch.int64)]


def _descend(
    learner: Learner,
    train: Examples,
    validation: Examples,
    epochs: int,
    report: Callable[[str], None] | None,
) -> dict[str, Tensor]:
    """Train until the validation loss stops improving; return the best weights."""
    n, model = len(train.grids), learner.average
    channels, height, width = train.grids.shape[1:]
    batch = min(_BATCH, max(_SMALLEST_BATCH, n // _STEPS), 2 * part_size(height, width), n)
    cost = model.stack * multiplications(model.body, channels // model.stack, height, width)
    steps = max(1, min(epochs * n, _BUDGET // cost) // batch)
    every = max(1, min(n, _VALIDATE_EVERY) // batch)
    schedule = Schedule(steps, batch=batch, every=every)
    best, lowest = copy.deepcopy(model.state_dict()), math.inf
    order = torch.empty(0, dtype=torch.int64)
    step = 0
    while step < schedule.end:
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(n, generator=learner.generator)])
        chosen, order = order[:batch], order[batch:]
        items = train[chosen]
        learner.step(items.grids, items.labels, schedule.rate(step))
        step += 1
        if step % every and step < schedule.end:
            continue
        loss, accuracy = learner.validate(validation.grids, validation.labels)
        schedule.validated(step, loss)
        if loss < lowest:
            lowest, best = loss, copy.deepcopy(model.state_dict())
        if report is not None:
            report(
                f"step {step} of at most {schedule.end}: validation loss {loss:.3f}, "
                f"accuracy {accuracy:.1%}"
            )
    return best


def _check(grids: Tensor, task: Task) -> None:
    height, width = grids.shape[2:]
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"the extractor needs grids of at least {SMALLEST_SIDE}×{SMALLEST_SIDE}, but these are "
            f"{height}×{width}"
        )
    if task == "rotation" and height != width:
        raise DataError(f"rotation needs square images, but these are {height}×{width}")
    first = grids.reshape(-1)[0]
    if all(bool((part == first).all()) for part in parts(grids)):
        raise DataError(
            "all training items are one and the same colour (or silence): nothing can be learnt"
        )


def _std_mean(grids: Tensor) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean of all pixels."""
    total = square = 0
    for part in parts(grids):
        values = part.to(torch.int64)
        total += int(values.sum())
        square += int((values * values).sum())
    n = grids.numel()
    variance = (square - total * total / n) / (n - 1)
    return torch.tensor(math.sqrt(variance)), torch.tensor(total / n)


def _set_scale(model: Extractor, grids: Tensor, chosen: Tensor) -> None:
    variance = float(model.features_at([grids], chosen).var(axis=0).mean())
    if not math.isfinite(variance) or variance <= 0:
        raise DataError("the extractor's features are constant: the training items do not differ")
    model.scale.copy_(torch.tensor(math.sqrt(variance)))
