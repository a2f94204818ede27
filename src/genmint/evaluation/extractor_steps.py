"""One training step of the feature extractor, its validation, and its learning rate.

A quarter of each batch is corrupted (`corruptions.corrupted`), with a severity s that is uniform
between 0 and 1. Its target is the class with weight 1 − s, and the kind of the corruption with
weight s. A classifier that knows intact items only maps noise and blur into the middle of its
features, where real items are too: precision and density of noise are then 1. With corruptions as
further classes, the distance of a corrupted item from real ones grows with the severity.
"""

from __future__ import annotations

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.common.cores import share
from genmint.evaluation.corruptions import PixelStatistics, corrupted
from genmint.evaluation.extractor import Extractor, Task, number_of_classes, parts, transformed
from genmint.evaluation.extractor_variation import Variation
from genmint.models.shared import eager_optimizer

_RATE = 0.05
_MOMENTUM = 0.9
_DECAY = 5e-4
_SMOOTHING = 0.1
# One item in so many is corrupted.
_CORRUPTED = 4
# Parts of a batch that are processed in parallel. Their number is fixed, because sums depend on it.
_PARTS = 2
# Smallest number of pixels in a part; smaller batches are not divided.
_PART_PIXELS = 1 << 14
# Validations without improvement after which the learning rate falls.
_PATIENCE = 5
# Decay of the running average of the weights per step.
_AVERAGE = 0.98
# Share of the steps in which the learning rate falls to 0, and longest warm-up in steps.
_FALL = 0.5
_WARM_UP = 200


class Schedule:
    """Learning rate of each step: warm-up, constant until validation stops improving, fall to 0.

    Attributes:
        end: number of steps; it is reduced when the learning rate begins to fall early.
    """

    def __init__(self, steps: int, *, batch: int, every: int) -> None:
        """Plan `steps` steps of `batch` items with a validation after each `every` steps."""
        self.end = steps
        self._fall = steps - math.ceil(_FALL * steps)
        self._falls = False
        self._warm_up = max(1, min(_WARM_UP, steps // 5))
        self._rate = _RATE * batch / 64
        self._every = every
        self._lowest = math.inf
        self._without = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self._fall:
            return self._rate * min(1.0, (step + 1) / self._warm_up)
        return self._rate * (self.end - step) / max(1, self.end - self._fall)

    def validated(self, step: int, loss: float) -> None:
        """Take the validation loss after a step; begin to lower the rate if it does not improve."""
        self._without = 0 if loss < self._lowest else self._without + 1
        self._lowest = min(self._lowest, loss)
        if step < self._fall and self._without >= _PATIENCE:
            self._fall = step
            self.end = step + max(self._every, math.ceil(step * _FALL / (1 - _FALL)))


class Learner:
    """Updates the weights of an extractor; a context manager that owns the threads.

    Each batch is divided into two parts, which are processed by two threads if there are cores for
    them, or one after the other. The result is the same. Each part has its own copy of the network,
    whose batch normalisation uses the statistics of that part.

    Attributes:
        model: the extractor.
        average: running average of its weights, which is smoother and better than the weights
            themselves (Polyak and Juditsky 1992).
        generator: source of all random numbers.
    """

    def __init__(
        self,
        model: Extractor,
        task: Task,
        variation: Variation,
        pixels: PixelStatistics,
        generator: torch.Generator,
    ) -> None:
        self.model = model
        self.average = copy.deepcopy(model).eval()
        self._averages, self._weights = _numbers(self.average), _numbers(model)
        self._steps = 0
        self.generator = generator
        self._task = task
        self._variation = variation
        self._pixels = pixels
        self._copies = [model, *(copy.deepcopy(model) for _ in range(_PARTS - 1))]
        self._used = self._copies[:1]
        self._threads = ThreadPoolExecutor(
            max_workers=min(_PARTS, share()), initializer=torch.set_num_threads, initargs=(1,)
        )
        eager_optimizer.spare_compiler()
        matrices = [weight for weight in model.parameters() if weight.ndim > 1]
        vectors = [weight for weight in model.parameters() if weight.ndim == 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": _DECAY},
            {"params": vectors},
        ]
        self._optimiser = torch.optim.SGD(
            groups,
            lr=_RATE,
            momentum=_MOMENTUM,
            nesterov=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown()

    def step(self, grids: Tensor, labels: Tensor | None, rate: float) -> None:
        """Update the weights on a batch.

        Args:
            grids: uint8 N×C×H×W.
            labels: int64 N, or N×C of stacked grids; None for self-supervised tasks.
            rate: learning rate.
        """
        x, targets = self._lesson(grids, labels)
        count = _PARTS if x[0].numel() // x.shape[1] * len(x) >= _PARTS * _PART_PIXELS else 1
        self._used = used = self._copies[:count]

        def gradients(section: int) -> None:
            network = used[section].train()
            network.zero_grad(set_to_none=True)
            logits = network.outputs(x[section::count])
            wanted = targets[section::count].flatten(0, 1)
            (
                functional.cross_entropy(logits, wanted, reduction="sum") / targets[..., 0].numel()
            ).backward()

        if count == 1:
            gradients(0)
        else:
            list(self._threads.map(gradients, range(count)))
        for other in used[1:]:
            for weight, same in zip(self.model.parameters(), other.parameters(), strict=True):
                assert weight.grad is not None
                assert same.grad is not None
                weight.grad += same.grad
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        eager_optimizer.step(self._optimiser)
        with torch.no_grad():
            for other in used[1:]:
                for weight, same in zip(self.model.parameters(), other.parameters(), strict=True):
                    same.copy_(weight)
        self._share_statistics()
        self._update_average()

    @torch.no_grad()
    def validate(self, grids: Tensor, labels: Tensor | None) -> tuple[float, float]:
        """Return the mean loss and the accuracy of the average on intact items.

        Args:
            grids: uint8 N×C×H×W.
            labels: as for `step`.
        """
        model = self.average
        forms = [0] if self._task == "labels" else range(number_of_classes(self._task))
        loss = right = count = 0.0
        for form in forms:
            start = 0
            for part in parts(grids):
                if labels is None:
                    part = transformed(part, form, self._task)
                    truth = torch.full((len(part),), form)
                else:
                    truth = labels[start : start + len(part)].flatten()
                    start += len(part)
                logits = model.outputs(part)
                loss += float(functional.cross_entropy(logits, truth, reduction="sum"))
                answers = logits[:, : model.classes].argmax(dim=1)
                right += int((answers == truth).sum())
                count += len(truth)
        return loss / count, right / count

    def _lesson(self, grids: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return changed grids and their targets, float32 N×C×H×W and N×S×K.

        S is the number of channels of stacked grids, otherwise 1; K counts classes and corruptions.
        """
        model, generator, n = self.model, self.generator, len(grids)
        x = self._variation(grids, generator)
        if labels is None:
            answers = torch.randint(0, number_of_classes(self._task), (n,), generator=generator)
            for answer in range(number_of_classes(self._task)):
                chosen = answers == answer
                x[chosen] = transformed(x[chosen], answer, self._task)
        else:
            answers = labels
        width = model.classes + model.corruptions
        targets = functional.one_hot(answers.reshape(n, -1), width).to(torch.float32)
        few = max(1, n // _CORRUPTED)
        kind = torch.randint(0, model.corruptions, (few,), generator=generator)
        severity = torch.rand((few,), generator=generator)
        some = torch.randperm(n, generator=generator)[:few]
        x[some] = corrupted(
            x[some],
            kind,
            severity,
            self._pixels,
            generator,
            sound=self._variation.sound,
        )
        seen = functional.one_hot(model.classes + kind, width)[:, None]
        weight = severity[:, None, None]
        targets[some] = (1 - weight) * targets[some] + weight * seen
        return x, (1 - _SMOOTHING) * targets + _SMOOTHING / width

    @torch.no_grad()
    def _share_statistics(self) -> None:
        """Let all copies have the mean of their statistics of batch normalisation."""
        if len(self._used) == 1:
            return
        norms = [
            [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
            for network in self._used
        ]
        for same in zip(*norms, strict=True):
            for name in ("running_mean", "running_var"):
                values = [getattr(norm, name) for norm in same]
                mean = sum(values) / len(values)
                for value in values:
                    value.copy_(mean)

    @torch.no_grad()
    def _update_average(self) -> None:
        self._steps += 1
        decay = min(_AVERAGE, self._steps / (self._steps + 9))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)


def _numbers(network: nn.Module) -> list[Tensor]:
    """Return all weights and statistics of a network."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]
