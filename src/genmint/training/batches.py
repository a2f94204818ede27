"""Batches by indexing tensors: no worker processes, no per-item Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genmint.data.spec import DataSpec
from genmint.errors import DataError


@dataclass(frozen=True)
class Batch:
    """One training step's data.

    Attributes:
        data: uint8 N×C×H×W (grid) or int64 N×(T+1) (sequence).
        fresh: it does not continue the batch before it.
        epoch: how often the training split was seen, after this batch.
        amount: items of a grid batch, symbols of a sequence batch.
    """

    data: Tensor
    fresh: bool
    epoch: float
    amount: int


def shuffled(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices 0…n−1 in a new order every epoch, for ever, int64 batch_size each.

    A batch that reaches the end of an epoch goes on with the next one, so none is smaller.
    """
    pool = torch.empty(0, dtype=torch.int64)
    while True:
        while len(pool) < batch_size:
            pool = torch.cat([pool, torch.randperm(n, generator=generator)])
        yield pool[:batch_size]
        pool = pool[batch_size:]


def grids(data: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Random batches of uint8 N×C×H×W."""
    seen = 0
    for index in shuffled(len(data), batch_size, generator):
        seen += batch_size
        yield Batch(data[index.to(data.device)], True, seen / len(data), batch_size)


def items(
    data: Tensor, batch_size: int, bptt: int, start: int, generator: torch.Generator
) -> Iterator[Batch]:
    """Random batches of N×T sequences, walked through `bptt` symbols at a time.

    The first symbol of each is predicted from the symbol `start`; only the first piece of a batch
    is fresh.
    """
    length = data.shape[1]
    seen = 0
    for index in shuffled(len(data), batch_size, generator):
        sequences = data[index.to(data.device)].long()
        first = torch.full((batch_size, 1), start, device=data.device)
        sequences = torch.cat([first, sequences], dim=1)
        for begin in range(0, length, bptt):
            piece = sequences[:, begin : begin + bptt + 1]
            part = (begin + piece.shape[1] - 1) / length
            epoch = (seen + part * batch_size) / len(data)
            yield Batch(piece, begin == 0, epoch, batch_size * (piece.shape[1] - 1))
        seen += batch_size


def stream(data: Tensor, batch_size: int, bptt: int) -> Iterator[Batch]:
    """Contiguous tracks of one int64 stream side by side, `bptt` symbols at a time.

    Track b holds the symbols from b·L on, L = (T − 1) // batch_size, so that the state carried from
    one batch to the next is that of the symbols before. The last few symbols that do not fill a
    track are left out. A stream too short for that many tracks of `bptt` gets fewer.
    """
    predicted = len(data) - 1
    tracks = max(1, min(batch_size, predicted // bptt))
    length = predicted // tracks
    inputs = data[: tracks * length].view(tracks, length)
    targets = data[1 : tracks * length + 1].view(tracks, length)
    epoch = 0
    while True:
        for begin in range(0, length, bptt):
            end = min(begin + bptt, length)
            piece = torch.cat([inputs[:, begin:end], targets[:, end - 1 : end]], dim=1)
            yield Batch(piece, begin == 0, epoch + end / length, tracks * (end - begin))
        epoch += 1


def batches(
    data: Tensor,
    spec: DataSpec,
    batch_size: int,
    generator: torch.Generator,
    *,
    bptt: int | None = None,
) -> Iterator[Batch]:
    """Endless training batches of a split in the view of `spec`.

    Args:
        data: as `genmint.data.views.load` gives it, on the training device.
        spec: tells grids, items and streams apart.
        batch_size: items, or tracks of a stream.
        generator: of the order, on the CPU.
        bptt: symbols of a step; sequences only.

    Raises:
        DataError: the split is empty, or a stream of fewer than two symbols.
    """
    if len(data) == 0 or (spec.shape == () and len(data) < 2):
        raise DataError(f"{spec.dataset}: the training split holds nothing to learn from")
    if spec.view == "grid":
        return grids(data, batch_size, generator)
    assert bptt is not None
    if spec.shape == ():
        return stream(data, batch_size, bptt)
    assert spec.symbols is not None
    return items(data, batch_size, bptt, spec.symbols, generator)
