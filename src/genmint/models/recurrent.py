"""Recurrent layers that use the cores of a CPU by rows of the batch.

The steps of a recurrence follow upon each other, and each is a product of a few dozen rows: spread
over cores, every one of them waits for all others at each step. Parts of the batch know nothing of
each other, so that each core can take one through all of its steps: two cores train an LSTM 1.4
(bf16) times as fast that way. How a batch is cut depends on its size alone, so the weights that
come out do not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

# Rows that a core goes through at once: fewer, and the products of a step are too small to keep it
# busy; more, and two cores have nothing to share.
_FEWEST, _MOST = 16, 32
# Shorter sequences, as when a symbol is drawn at a time, are over before the parts are handed out.
_SHORTEST = 8

T = TypeVar("T")
R = TypeVar("R")

State = Tensor | tuple[Tensor, Tensor]
Layer = Callable[[Tensor, State | None], tuple[Tensor, State]]


def parts_of(rows: int) -> int:
    """Number of parts that a batch is cut into, whatever the machine."""
    return max(1, rows // _MOST) if rows >= 2 * _MOST else max(1, min(2, rows // _FEWEST))


class _Parted(nn.Module):
    """What makes a recurrent layer of torch go through its batch in parts."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """As the layer of torch: N×T×in and 1×N×hidden to N×T×hidden and 1×N×hidden.

        In parts no gradient goes back into the state, so one that wants it is not cut.
        """
        layer: Layer = super().forward
        rows, length = x.shape[:2]
        whole = x.device.type != "cpu" or length < _SHORTEST or parts_of(rows) == 1
        if whole or _wants_gradient(state):
            return layer(x, state)
        cuts = _cuts(x, state)
        if not torch.is_grad_enabled():
            return _joined(_at_once(lambda part: layer(*part), cuts))
        hidden, *after = _Parts.apply(layer, cuts, x, *self.parameters())  # type: ignore[no-untyped-call]
        return hidden, after[0] if len(after) == 1 else (after[0], after[1])


class RNN(_Parted, nn.RNN):  # type: ignore[misc]
    """torch's tanh layer, in parts."""


class LSTM(_Parted, nn.LSTM):  # type: ignore[misc]
    """torch's LSTM layer, in parts."""


class GRU(_Parted, nn.GRU):  # type: ignore[misc]
    """torch's GRU layer, in parts."""


class _Parts(torch.autograd.Function):
    """A layer on parts of a batch at once; gradients of weights are added in the parts' order."""

    @staticmethod
    def forward(
        ctx: Any, layer: Layer, cuts: list[tuple[Tensor, State | None]], x: Tensor, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        needs = x.requires_grad

        def run(part: tuple[Tensor, State | None]) -> tuple[Tensor, Tensor, State]:
            with torch.enable_grad():
                seen = part[0].detach().requires_grad_(needs)
                hidden, after = layer(seen, part[1])
            return seen, hidden, after

        found = _at_once(run, cuts)
        ctx.graphs = [(seen, hidden) for seen, hidden, _ in found]
        ctx.weights = weights
        hidden, after = _joined([(hidden.detach(), after) for _, hidden, after in found])
        states = tuple(t.detach() for t in (after if isinstance(after, tuple) else (after,)))
        ctx.mark_non_differentiable(*states)
        return hidden, *states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        weights = ctx.weights
        sizes = [len(hidden) for _, hidden in ctx.graphs]

        def run(part: tuple[tuple[Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
            (seen, hidden), gradient = part
            wanted = [seen, *weights] if seen.requires_grad else list(weights)
            return torch.autograd.grad(hidden, wanted, gradient)

        cuts = zip(ctx.graphs, gradients[0].split(sizes), strict=True)
        found = _at_once(run, list(cuts))
        ctx.graphs = None
        of_weights = [parts[len(parts) - len(weights) :] for parts in found]
        of_x = torch.cat([parts[0] for parts in found]) if len(found[0]) > len(weights) else None
        sums = [sum(column[1:], start=column[0]) for column in zip(*of_weights, strict=True)]
        return None, None, of_x, *sums


def _wants_gradient(state: State | None) -> bool:
    return any(
        t.requires_grad for t in (state if isinstance(state, tuple) else [state]) if t is not None
    )


def _cuts(x: Tensor, state: State | None) -> list[tuple[Tensor, State | None]]:
    parts = parts_of(len(x))
    xs = x.tensor_split(parts)
    if state is None:
        return [(part, None) for part in xs]
    if isinstance(state, Tensor):
        return list(zip(xs, _contiguous(state, parts), strict=True))
    pairs = zip(_contiguous(state[0], parts), _contiguous(state[1], parts), strict=True)
    return list(zip(xs, pairs, strict=True))


def _contiguous(state: Tensor, parts: int) -> list[Tensor]:
    return [part.contiguous() for part in state.tensor_split(parts, dim=1)]


def _joined(parts: Sequence[tuple[Tensor, State]]) -> tuple[Tensor, State]:
    hidden = torch.cat([part for part, _ in parts])
    states = [state for _, state in parts]
    if isinstance(states[0], Tensor):
        return hidden, torch.cat(states, dim=1)  # type: ignore[arg-type]
    return hidden, tuple(torch.cat(column, dim=1) for column in zip(*states, strict=True))  # type: ignore[return-value]


def _at_once(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
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


@cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    def begin() -> None:
        torch.set_num_threads(threads)
        # As the training loop does in its own thread.
        torch.set_flush_denormal(True)

    return ThreadPoolExecutor(workers, "recurrent", begin)
