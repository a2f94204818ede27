"""Batches by tensor indexing, without worker processes, with a position that can be saved."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genmint.common.errors import DataError
from genmint.data.views.spec import DataSpec
from genmint.training.distributed import Ranks


@dataclass(frozen=True)
class Batch:
    """Data of one optimizer phase.

    Attributes:
        data: uint8 N×C×H×W (grid) or int64 N×(T+1) (sequence).
        fresh: whether the batch does not continue the previous one.
        epoch: passes over the training split, including this batch.
        amount: items of a grid batch or symbols of a sequence batch, over all processes.
        labels: int64 N, labels of the rows of `data`; None for an unconditional model.
    """

    data: Tensor
    fresh: bool
    epoch: float
    amount: int
    labels: Tensor | None = None


class Batches(abc.ABC):
    """Endless batches with a position that can be saved and restored.

    With several processes each gets its share of the rows. Together they form the batch that a
    single process would have had.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self._rank = rank
        self._world = world

    @abc.abstractmethod
    def next(self) -> Batch:
        """Return the next batch."""

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the position, as tensors and numbers."""

    @abc.abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Restore a position returned by `state`."""

    def _share(self, rows: Tensor) -> Tensor:
        if self._world == 1:
            return rows
        part = len(rows) // self._world
        return rows[self._rank * part : (self._rank + 1) * part]


class Shuffled:
    """Endless random indices, int64 batch_size each: a new permutation of 0…n−1 every epoch.

    A batch that reaches the end of an epoch continues with the next one, so all batches have the
    same size.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        generator: torch.Generator,
        device: torch.device | None = None,
    ) -> None:
        """Draw permutations from `generator`, on the CPU; return indices on `device`."""
        self._n = n
        self._batch_size = batch_size
        self._generator = generator
        # A whole epoch is transferred at once, since each transfer would synchronise with the GPU.
        self._pool = torch.empty(0, dtype=torch.int64, device=device)
        self.seen = 0

    def next(self) -> Tensor:
        """Return the next indices."""
        while len(self._pool) < self._batch_size:
            order = torch.randperm(self._n, generator=self._generator).to(self._pool.device)
            self._pool = torch.cat([self._pool, order])
        index, self._pool = self._pool.tensor_split([self._batch_size])
        self.seen += self._batch_size
        return index

    def state(self) -> dict[str, Any]:
        """Return the position, as tensors and numbers."""
        return {
            "pool": self._pool,
            "order": self._generator.get_state(),
            "seen": self.seen,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a position returned by `state`."""
        self._pool = state["pool"].to(self._pool.device)
        self._generator.set_state(state["order"])
        self.seen = state["seen"]


class Grids(Batches):
    """Random batches of uint8 N×C×H×W."""

    def __init__(
        self,
        data: Tensor,
        indices: Shuffled,
        rank: int = 0,
        world: int = 1,
        *,
        labels: Tensor | None = None,
    ) -> None:
        """Index `data`, and `labels` if given, by `indices`."""
        super().__init__(rank, world)
        self._data = data
        self._labels = labels
        self._indices = indices

    def next(self) -> Batch:
        """Return the next batch."""
        index = self._indices.next()
        rows = self._share(index)
        # index_select copies whole rows, while indexing with [] copies single bytes.
        mine = self._data.index_select(0, rows)
        labels = None if self._labels is None else self._labels[rows]
        return Batch(mine, True, self._indices.seen / len(self._data), len(index), labels)

    def state(self) -> dict[str, Any]:
        """Return the position, as tensors and numbers."""
        return self._indices.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a position returned by `state`."""
        self._indices.restore(state)


class SequenceBatches(Batches):
    """Random batches of N×T sequences, in successive segments of `bptt` symbols.

    The first symbol of each sequence is predicted from the symbol `start`. Only the first segment
    of a batch is fresh.
    """

    def __init__(
        self,
        data: Tensor,
        indices: Shuffled,
        bptt: int,
        start: int,
        rank: int = 0,
        world: int = 1,
        *,
        labels: Tensor | None = None,
    ) -> None:
        """Index `data`, and `labels` if given, by `indices`."""
        super().__init__(rank, world)
        self._data = data
        self._labels = labels
        self._indices = indices
        self._bptt = bptt
        self._start = start
        self._length = data.shape[1]
        self._index = torch.empty(0, dtype=torch.int64, device=data.device)
        self._sequences = data[:0]
        self._labels_of_rows: Tensor | None = None
        self._begin = self._length

    def next(self) -> Batch:
        """Return the next segment of the batch, or the first one of the next batch."""
        if self._begin >= self._length:
            self._index, self._begin = self._indices.next(), 0
            self._gather()
        begin = self._begin
        piece = self._sequences[:, begin : begin + self._bptt + 1]
        rows, symbols = len(self._index), piece.shape[1] - 1
        self._begin += self._bptt
        # `seen` already includes the whole batch.
        ahead = rows * (1 - (begin + symbols) / self._length)
        epoch = (self._indices.seen - ahead) / len(self._data)
        return Batch(piece, begin == 0, epoch, rows * symbols, self._labels_of_rows)

    def state(self) -> dict[str, Any]:
        """Return the position, as tensors and numbers."""
        return {**self._indices.state(), "index": self._index, "begin": self._begin}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a position returned by `state`."""
        self._indices.restore(state)
        self._index, self._begin = state["index"].to(self._data.device), state["begin"]
        self._gather()

    def _gather(self) -> None:
        rows = self._share(self._index)
        sequences = self._data.index_select(0, rows).long()
        self._labels_of_rows = None if self._labels is None else self._labels[rows]
        first = torch.full((len(sequences), 1), self._start, device=self._data.device)
        self._sequences = torch.cat([first, sequences], dim=1)


class Stream(Batches):
    """Contiguous tracks of one int64 stream in parallel, `bptt` symbols at a time.

    Track b holds the symbols from b·L on, L = (T − 1) // batch_size. The state carried from one
    batch to the next is therefore that of the preceding symbols. The last symbols that do not fill
    a track are left out. A stream too short for that many tracks of `bptt` symbols gets fewer: the
    largest number divisible by the number of processes.

    With a generator every epoch begins at a random symbol and wraps around. The boundaries of
    tracks and steps then differ between epochs.
    """

    def __init__(
        self,
        data: Tensor,
        batch_size: int,
        bptt: int,
        rank: int = 0,
        world: int = 1,
        *,
        offsets: torch.Generator | None = None,
    ) -> None:
        """Divide `data` into tracks; `offsets`, on the CPU, has the same state in all processes.

        Raises:
            DataError: the stream is too short to give every process a track.
        """
        super().__init__(rank, world)
        predicted = len(data) - 1
        tracks = max(1, min(batch_size, predicted // bptt))
        tracks -= tracks % world
        if tracks == 0:
            raise DataError(
                f"a text of {len(data)} symbols is too short for {world} processes with bptt {bptt}"
            )
        self._data = data
        self._tracks = tracks
        self._bptt = bptt
        self._length = predicted // tracks
        self._offsets = offsets
        self._epoch = self._begin = self._offset = 0
        self._cut()

    def next(self) -> Batch:
        """Return the next batch."""
        if self._begin == 0 and self._offsets is not None:
            drawn = torch.randint(len(self._data), (), generator=self._offsets)
            self._offset = int(drawn)
            self._cut()
        begin, length = self._begin, self._length
        end = min(begin + self._bptt, length)
        piece = torch.cat([self._inputs[:, begin:end], self._targets[:, end - 1 : end]], dim=1)
        batch = Batch(piece, begin == 0, self._epoch + end / length, self._tracks * (end - begin))
        self._begin = end
        if end == length:
            self._epoch, self._begin = self._epoch + 1, 0
        return batch

    def state(self) -> dict[str, Any]:
        """Return the position, as tensors and numbers."""
        position: dict[str, Any] = {"epoch": self._epoch, "begin": self._begin}
        if self._offsets is not None:
            position |= {"offset": self._offset, "offsets": self._offsets.get_state()}
        return position

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a position returned by `state`."""
        self._epoch, self._begin = state["epoch"], state["begin"]
        if self._offsets is not None:
            self._offset = state["offset"]
            self._offsets.set_state(state["offsets"].cpu())
            self._cut()

    def _cut(self) -> None:
        data = self._data.roll(-self._offset)
        end = self._tracks * self._length
        self._inputs = self._share(data[:end].view(self._tracks, self._length))
        self._targets = self._share(data[1 : end + 1].view(self._tracks, self._length))


def batches(
    data: Tensor,
    spec: DataSpec,
    batch_size: int,
    generator: torch.Generator,
    *,
    labels: Tensor | None = None,
    bptt: int | None = None,
    random_offsets: bool = False,
    ranks: Ranks | None = None,
) -> Batches:
    """Return endless training batches of a split in the view of `spec`.

    Args:
        data: as returned by `genmint.data.views.tensors.load`, on the training device.
        spec: data specification; distinguishes grids, items and streams.
        batch_size: items, or tracks of a stream, over all processes.
        generator: generator of the order, on the CPU, with the same state in all processes.
        labels: int64 N, labels of the items on the training device, for a conditional model.
        bptt: symbols per step; sequences only.
        random_offsets: begin every epoch of a stream at a random symbol.
        ranks: processes that share a batch; their number divides `batch_size`.

    Raises:
        DataError: the split is empty, or a stream has fewer than two symbols.
    """
    rank, world = (0, 1) if ranks is None else (ranks.rank, ranks.world)
    if len(data) == 0 or (spec.shape == () and len(data) < 2):
        raise DataError(f"{spec.dataset}: the training split is empty or has a single symbol")
    if spec.shape == ():
        assert bptt is not None
        offsets = generator if random_offsets else None
        return Stream(data, batch_size, bptt, rank, world, offsets=offsets)
    indices = Shuffled(len(data), batch_size, generator, data.device)
    if spec.view == "grid":
        return Grids(data, indices, rank, world, labels=labels)
    assert bptt is not None
    assert spec.symbols is not None
    return SequenceBatches(data, indices, bptt, spec.symbols, rank, world, labels=labels)
