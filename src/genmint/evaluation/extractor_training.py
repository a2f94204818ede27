"""Training of a data set's feature extractor, on its labels or on a self-supervised task."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from genmint.common.errors import DataError
from genmint.config.datasets import SMALLEST_SIDE
from genmint.evaluation.extractor import (
    Extractor,
    Task,
    number_of_classes,
    part_size,
    parts,
    transformed,
)
from genmint.models.shared import eager_optimizer

# Training budget in pixels: a thousand epochs on 1,000 digits of 8×8, but one and a half on MNIST,
# which take about half a minute. More training hardly improves the accuracy.
_PIXEL_BUDGET = 64_000_000
_BATCH = 64
_LR = 4e-3
# Number of grids from which means and variances are estimated.
_ENOUGH = 16_384


def train_extractor(
    grids: Tensor,
    labels: Tensor | None,
    *,
    classes: int,
    task: Task,
    epochs: int,
    seed: int,
    stacked: bool = False,
) -> Extractor:
    """Train the extractor on the labels, or on a self-supervised task.

    Task `rotation`: by which multiple of 90° an image was rotated (Gidaris et al. 2018). Task
    `order`: whether the two halves of a spectrogram were swapped in time. Weights and batches are
    drawn from `seed`. On a CPU the same call gives the same weights.

    Args:
        grids: uint8 N×C×H×W, H and W at least 8.
        labels: int64 N for the task `labels`, of stacked grids N×C; otherwise None.
        classes: number of labels; for other tasks see `extractor.number_of_classes`.
        task: see above.
        epochs: passes over the grids; large sets stop after a fixed budget of pixels.
        seed: seed of weights, order and tasks.
        stacked: whether each channel is an image of its own.

    Raises:
        DataError: the grids are smaller than 8×8, not square although the task is `rotation`, or
            all of one constant value.
    """
    _check(grids, task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Extractor(grids.shape[1], classes, stacked=stacked)
    spread, centre = _std_mean(grids[:_ENOUGH])
    model.centre.copy_(centre)
    model.spread.copy_(spread)
    generator = torch.Generator().manual_seed(seed)
    with _one_thread():
        _descend(model, grids, labels, task, epochs, generator)
    model.eval().requires_grad_(False)
    _set_scale(model, grids, torch.randperm(len(grids), generator=generator)[:_ENOUGH])
    return model


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


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread, because gradient sums depend on the number of threads.

    The weights of the extractor must not depend on it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _descend(
    model: Extractor,
    grids: Tensor,
    labels: Tensor | None,
    task: Task,
    epochs: int,
    generator: torch.Generator,
) -> None:
    n = len(grids)
    batch = min(_BATCH, n)
    part = part_size(grids.shape[2], grids.shape[3])
    budget = max(1, _PIXEL_BUDGET // (grids.shape[2] * grids.shape[3]))
    steps = math.ceil(min(epochs * n, budget) / batch)
    eager_optimizer.spare_compiler()
    optimiser = torch.optim.Adam(model.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        chosen, order = order[:batch], order[batch:]
        x, y = _examples(grids[chosen], None if labels is None else labels[chosen], task, generator)
        optimiser.zero_grad(set_to_none=True)
        if len(x) <= part:
            functional.cross_entropy(model(x), y).backward()
        else:
            # Accumulate the gradient over parts; it is the same up to rounding. A stacked grid has
            # C targets.
            for some, right in zip(x.split(part), y.split(part * (len(y) // len(x))), strict=True):
                loss = functional.cross_entropy(model(some), right, reduction="sum") / len(y)
                loss.backward()
        eager_optimizer.step(optimiser)
        schedule.step()


def _examples(
    grids: Tensor, labels: Tensor | None, task: Task, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    if task == "labels":
        assert labels is not None
        return grids, labels.flatten()
    answers = torch.randint(0, number_of_classes(task), (len(grids),), generator=generator)
    x = grids.clone()
    for answer in range(number_of_classes(task)):
        chosen = answers == answer
        x[chosen] = transformed(grids[chosen], answer, task)
    return x, answers


def _std_mean(grids: Tensor) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean of all pixels."""
    if grids.numel() <= _PIXEL_BUDGET:
        return torch.std_mean(grids.to(torch.float32))
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
