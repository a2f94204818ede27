"""Parts of a batch at once: how a recurrent network uses the cores of a CPU.

The steps of a recurrence follow upon each other, and each is a product of a few dozen rows: spread
over cores, every one of them waits for all others at each step. Parts of the batch know nothing of
each other, so that each core can take one through the whole network and back. How a batch is cut
depends on its size alone, so the weights that come out do not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

# Rows that a core goes through at once: fewer, and the products of a step are too small to keep it
# busy; more, and two cores have nothing to share.
_FEWEST, _MOST = 16, 32
# Shorter sequences, as when a symbol is drawn at a time, are over before the parts are handed out.
_SHORTEST = 8

T = TypeVar("T")
R = TypeVar("R")


def parts_of(rows: int, length: int, device: torch.device) -> int:
    """Number of parts that rows×length symbols are cut into, whatever the number of cores."""
    if device.type != "cpu" or length < _SHORTEST:
        return 1
    return max(1, rows // _MOST) if rows >= 2 * _MOST else max(1, min(2, rows // _FEWEST))


def summed(
    work: Callable[[T], tuple[Tensor, R]], parts: Sequence[T], weights: Sequence[Tensor]
) -> tuple[Tensor, list[R]]:
    """Sum a loss over parts.

    Args:
        work: takes a part to its scalar loss, and to something that needs no gradient.
        parts: one or more.
        weights: all that the loss is to be differentiated by.

    Returns:
        The sum, and what else `work` gave, in the parts' order. The gradients of the parts are
        added in that order, too.
    """
    if len(parts) == 1:
        loss, rest = work(parts[0])
        return loss, [rest]
    rests: list[R] = []
    loss = _Summed.apply(work, parts, rests, *weights)  # type: ignore[no-untyped-call]
    return loss, rests


def at_once(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Do `work` on every part, on as many cores as this process has threads; in their order."""
    workers = min(torch.get_num_threads(), len(parts))
    if workers == 1:
        return [work(part) for part in parts]
    # What a thread does is decided by switches that each thread has for itself.
    grad = torch.is_grad_enabled()
    cast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def alike(part: T) -> R:
        with torch.set_grad_enabled(grad), torch.autocast("cpu", dtype, enabled=cast):
            return work(part)

    return list(_pool(workers, torch.get_num_threads() // workers).map(alike, parts))


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        work: Callable[[Any], tuple[Tensor, Any]],
        parts: Sequence[Any],
        rests: list[Any],
        *weights: Tensor,
    ) -> Tensor:
        def run(part: Any) -> tuple[Tensor, Any]:
            with torch.enable_grad():
                loss, rest = work(part)
            return loss, rest

        found = at_once(run, parts)
        ctx.losses = [loss for loss, _ in found]
        ctx.weights = weights
        rests.extend(rest for _, rest in found)
        return torch.stack([loss.detach() for loss in ctx.losses]).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        def run(loss: Tensor) -> tuple[Tensor, ...]:
            of_weights: tuple[Tensor, ...] = torch.autograd.grad(loss, ctx.weights, gradients[0])
            return of_weights

        found = at_once(run, ctx.losses)
        ctx.losses = None
        sums = [sum(column[1:], start=column[0]) for column in zip(*found, strict=True)]
        return None, None, None, *sums


@cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    def begin() -> None:
        torch.set_num_threads(threads)
        # As the training loop does in its own thread.
        torch.set_flush_denormal(True)

    return ThreadPoolExecutor(workers, "recurrent", begin)
