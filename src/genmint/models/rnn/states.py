"""What a recurrent network carries from one symbol to the next, cut and joined by rows.

A state is a list: one entry a recurrent layer, with the rows of the batch second (N is the second
dimension of h, and of an LSTM's pair of h and c); then entries with the rows first: what a
convolution and an attention still see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

State = list[Tensor | tuple[Tensor, Tensor]]


class Part(NamedTuple):
    """Rows of a batch.

    Attributes:
        symbols: int64 N×T or N×(T+1).
        state: before them; None for the zero state.
        masks: of dropout, float32 N×T×width or N×1×width, by the place that they are at: the input
            of a layer by its number, and what the output sees by the number of layers.
        labels: int64 N, of a conditional model.
    """

    symbols: Tensor
    state: State | None
    masks: dict[int, Tensor]
    labels: Tensor | None = None


def cut(whole: Part, count: int, layers: int) -> list[Part]:
    """Cut a batch into parts of about as many rows, in their order."""
    if count == 1:
        return [whole]
    states: list[State | None] = [None] * count
    if whole.state is not None:
        cuts = [
            list(zip(*(_rows(t, count, 1) for t in part), strict=True))
            if isinstance(part, tuple)
            else _rows(part, count, int(i < layers))
            for i, part in enumerate(whole.state)
        ]
        states = [list(part) for part in zip(*cuts, strict=True)]
    symbols = whole.symbols.tensor_split(count)
    masks = {place: mask.tensor_split(count) for place, mask in whole.masks.items()}
    labels = [None] * count if whole.labels is None else whole.labels.tensor_split(count)
    return [
        Part(symbols[i], states[i], {place: found[i] for place, found in masks.items()}, labels[i])
        for i in range(count)
    ]


def joined(states: Sequence[State], layers: int) -> State:
    """The state of a batch from those of its parts."""
    if len(states) == 1:
        return states[0]
    whole: list[Any] = []
    for i, parts in enumerate(zip(*states, strict=True)):
        dim = int(i < layers)
        pairs = isinstance(parts[0], tuple)
        columns = zip(*parts, strict=True) if pairs else [parts]
        found = [torch.cat(list(column), dim) for column in columns]
        whole.append(tuple(found) if pairs else found[0])
    return whole


def detached(state: State) -> State:
    """The same state without its graph."""
    return [
        (part[0].detach(), part[1].detach()) if isinstance(part, tuple) else part.detach()
        for part in state
    ]


def _rows(state: Tensor, count: int, dim: int) -> list[Tensor]:
    return [part.contiguous() for part in state.tensor_split(count, dim=dim)]
