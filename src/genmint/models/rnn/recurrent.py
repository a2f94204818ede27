"""Run parts of a batch in parallel threads, to use all CPU cores in a recurrent network.

The steps of a recurrence are sequential, and each is a matrix product of a few dozen rows. If a
step is spread over cores, they synchronise at every step. Parts of the batch are independent, so
that each core can run forward and backward passes of one part. The split depends only on the size
of the batch. The resulting weights therefore do not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

# Minimum and maximum rows of a part. With fewer rows the products of a step are too small to keep a
# core busy. With more rows there are too few parts for two cores.
_FEWEST, _MOST = 16, 32
# Minimum sequence length. The overhead of threads exceeds the run time of shorter sequences, as in
# sampling, where a pass has one symbol.
_SHORTEST = 8

T = TypeVar("T")
R = TypeVar("R")


def parts_of(rows: int, length: int, device: torch.device) -> int:
    """Number of parts for rows×length symbols; it does not depend on the number of cores."""
    if device.type != "cpu" or length < _SHORTEST:
        return 1
    return max(1, rows // _MOST) if rows >= 2 * _MOST else max(1, min(2, rows // _FEWEST))


def summed(
    work: Callable[[T], tuple[Tensor, R]], parts: Sequence[T], weights: Sequence[Tensor]
) -> tuple[Tensor, list[R]]:
    """Sum a loss over parts.

    Args:
        work: function from a part to its scalar loss and a second result without gradient.
        parts: one or more.
        weights: all tensors that need a gradient of the loss.

    Returns:
        The sum, and the second results of `work` in the order of the parts. Gradients are added in
        the same order.
    """
    if len(parts) == 1:
        loss, rest = work(parts[0])
        return loss, [rest]
    rests: list[R] = []
    loss = _Summed.apply(work, parts, rests, *weights)  # type: ignore[no-untyped-call]
    return loss, rests


def at_once(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Apply `work` to every part, on as many threads as torch uses; results are in order."""
    workers = min(torch.get_num_threads(), len(parts))
    if workers == 1:
        return [work(part) for part in parts]
    # Gradient and autocast modes are thread-local, so workers get those of the caller.
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

        results = at_once(run, parts)
        ctx.losses = [loss for loss, _ in results]
        ctx.weights = weights
        rests.extend(rest for _, rest in results)
        return torch.stack([loss.detach() for loss in ctx.losses]).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        def run(loss: Tensor) -> tuple[Tensor, ...]:
            of_weights: tuple[Tensor, ...] = torch.autograd.grad(loss, ctx.weights, gradients[0])
            return of_weights

        results = at_once(run, ctx.losses)
        ctx.losses = None
        sums = [sum(column[1:], start=column[0]) for column in zip(*results, strict=True)]
        return None, None, None, *sums


@cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    def begin() -> None:
        torch.set_num_threads(threads)
        # This setting is thread-local; the training loop sets it in its own thread.
        torch.set_flush_denormal(True)

    return ThreadPoolExecutor(workers, "recurrent", begin)
