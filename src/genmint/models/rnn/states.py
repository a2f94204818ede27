"""State of a recurrent network between symbols: split and concatenated by rows.

A state is a list. It has one entry per recurrent layer, in which N is the second dimension of h,
and of both h and c of an LSTM. Then come entries with N as the first dimension: the inputs in the
window of the convolution, and the states in the window of the attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

RecurrentState = list[Tensor | tuple[Tensor, Tensor]]


class BatchPart(NamedTuple):
    """Rows of a batch.

    Attributes:
        symbols: int64 N×T or N×(T+1).
        state: before the symbols; None for the zero state.
        masks: dropout masks, float32 N×T×width or N×1×width. The key is the number of the layer
            whose input is masked; the number of layers is the key of the output's input.
        labels: int64 N, for a conditional model.
    """

    symbols: Tensor
    state: RecurrentState | None
    masks: dict[int, Tensor]
    labels: Tensor | None = None


def split_rows(whole: BatchPart, count: int, layers: int) -> list[BatchPart]:
    """Split a batch into `count` parts with about the same number of rows, in order."""
    if count == 1:
        return [whole]
    states: list[RecurrentState | None] = [None] * count
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
        BatchPart(
            symbols[i], states[i], {place: parts[i] for place, parts in masks.items()}, labels[i]
        )
        for i in range(count)
    ]


def joined(states: Sequence[RecurrentState], layers: int) -> RecurrentState:
    """Concatenate the states of the parts to the state of the batch."""
    if len(states) == 1:
        return states[0]
    whole: list[Any] = []
    for i, parts in enumerate(zip(*states, strict=True)):
        dim = int(i < layers)
        pairs = isinstance(parts[0], tuple)
        columns = zip(*parts, strict=True) if pairs else [parts]
        tensors = [torch.cat(list(column), dim) for column in columns]
        whole.append(tuple(tensors) if pairs else tensors[0])
    return whole


def detached(state: RecurrentState) -> RecurrentState:
    """The same state, detached from the graph."""
    return [
        (part[0].detach(), part[1].detach()) if isinstance(part, tuple) else part.detach()
        for part in state
    ]


def _rows(state: Tensor, count: int, dim: int) -> list[Tensor]:
    return [part.contiguous() for part in state.tensor_split(count, dim=dim)]
