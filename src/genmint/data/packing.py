"""Packing: items to arrays on disk, in one pass and in constant memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from genmint.data.items import CHUNK, Items
from genmint.data.prepared import SPLITS, Split
from genmint.data.readers import UnreadableError, codepoints
from genmint.errors import DataError

UNKNOWN, START = "<unk>", "<s>"
_START_ID = 1
_MOST_SYMBOLS = 2**16  # what a uint16 can number
_CODES = 0x110000
# Bytes of the items that are read at a time.
_PIECE = 1 << 26


class ArrayWriter:
    """An npy file of known shape, written from first row to last.

    Plain writes rather than a memory map: pages of a map count as memory of this process until
    the kernel takes them back, which lets it grow with the data.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._shape = shape
        self._rows = 0
        self._digest = hashlib.sha256()
        self._path = path
        self._stream = path.open("wb")
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(_Hashed(self._stream, self._digest), header)

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Append rows of the right shape."""
        if rows.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {rows.shape[1:]} into an array of {self._shape}")
        data = np.ascontiguousarray(rows, dtype=self._dtype)
        self._digest.update(data.data)
        self._stream.write(data.data)
        self._rows += len(rows)

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._rows

    def close(self) -> str:
        """Finish the file.

        Returns:
            Its sha256.

        Raises:
            DataError: fewer or more rows than announced.
        """
        self._stream.close()
        if self._rows != self._shape[0]:
            raise DataError(
                f"{self._path.name}: {self._rows} rows instead of {self._shape[0]}: the data "
                "changed since the manifest was made. Run `dvc repro` to take stock again."
            )
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Close without a check, after something else went wrong."""
        self._stream.close()


class _Hashed:
    """A stream whose bytes are hashed as they are written."""

    def __init__(self, stream: Any, digest: Any) -> None:
        self._stream = stream
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        written: int = self._stream.write(data)
        return written


class Writers:
    """Named arrays of one folder, all finished or none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, ArrayWriter] = {}

    def add(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> ArrayWriter:
        """A new array NAME.npy."""
        writer = ArrayWriter(self._folder / f"{name}.npy", shape, dtype)
        self._open[f"{name}.npy"] = writer
        return writer

    def close(self) -> dict[str, str]:
        """Finish all; sha256 by file name."""
        return {name: writer.close() for name, writer in sorted(self._open.items())}

    def abandon(self) -> None:
        """Close what is open."""
        for writer in self._open.values():
            writer.abandon()


@contextlib.contextmanager
def writers(folder: Path) -> Iterator[Writers]:
    """Arrays that are closed whatever happens."""
    opened = Writers(folder)
    try:
        yield opened
    finally:
        opened.abandon()


@dataclass(frozen=True)
class Plan:
    """Items that enter, by column and in the order in which they are written.

    Attributes:
        paths: `path` in the manifest; strings.
        hashes: `sha256` in the manifest; strings.
        splits: int8 M, index into SPLITS of each of the M items, negative for one that is left out.
        labels: int64 N, number of the class; None for unlabelled items.
        counts: int64 N, items that each gives (the clips of a recording; 1 otherwise).
        groups: int64 M, number of the group of near-duplicates of each item; None where no two
            items are near-duplicates.
    """

    paths: pa.ChunkedArray
    hashes: pa.ChunkedArray
    splits: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int64] | None
    counts: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None = None

    def items(self) -> dict[Split, int]:
        """Number of items of each split."""
        found = np.bincount(self.splits[self.splits >= 0], minlength=len(SPLITS))
        return {split: int(found[number]) for number, split in enumerate(SPLITS)}

    def pieces(self, most: int = CHUNK) -> Iterator[slice]:
        """Consecutive parts of at least `most` items (the last may be shorter)."""
        ends = np.cumsum(self.counts)
        start = 0
        while start < len(ends):
            before = 0 if start == 0 else int(ends[start - 1])
            stop = min(int(np.searchsorted(ends, before + most)) + 1, len(ends))
            yield slice(start, stop)
            start = stop


def pack_items(
    folder: Path, plan: Plan, items: Items, shape: tuple[int, ...], dtype: str
) -> dict[str, str]:
    """Write `{split}.npy`, for labelled items `{split}.labels.npy`, and `train.groups.npy`.

    The last one only where two training items are near-duplicates.

    Args:
        folder: where to.
        plan: what to write.
        items: what loads them.
        shape: of one item.
        dtype: of the arrays.

    Returns:
        sha256 of each file by its name.

    Raises:
        DataError: an item is not what the manifest says.
    """
    counts = plan.items()
    with writers(folder) as arrays:
        data = {s: arrays.add(s, (counts[s], *shape), dtype) for s in SPLITS}
        labels: dict[Split, ArrayWriter] = {}
        if plan.labels is not None:
            labels = {s: arrays.add(f"{s}.labels", (counts[s],), "<i8") for s in SPLITS}
        _write_groups(arrays, plan)
        ends = np.concatenate([[0], np.cumsum(plan.counts)])
        item = int(np.prod(shape)) * np.dtype(dtype).itemsize
        for piece in plan.pieces(max(1, min(CHUNK, _PIECE // item))):
            paths = plan.paths[piece].to_pylist()
            loaded = items.load(paths, plan.hashes[piece].to_pylist())
            sizes = plan.counts[piece]
            if len(loaded) != sizes.sum():
                raise DataError(
                    f"{paths[0]} to {paths[-1]}: {len(loaded)} items instead of {sizes.sum()}: "
                    "the manifest is of other settings. Run `dvc repro`."
                )
            where = plan.splits[ends[piece.start] : ends[piece.stop]]
            for number, split in enumerate(SPLITS):
                data[split].write(loaded[where == number])
                if plan.labels is not None:
                    classes = np.repeat(plan.labels[piece], sizes)
                    labels[split].write(classes[where == number])
        return arrays.close()


def _write_groups(arrays: Writers, plan: Plan) -> None:
    """Groups of the training items, numbered in the order of their first members."""
    if plan.groups is None:
        return
    inside = plan.groups[plan.splits == SPLITS.index("train")]
    _, first, numbers = np.unique(inside, return_index=True, return_inverse=True)
    if len(first) < len(inside):
        rank = np.argsort(np.argsort(first))
        arrays.add("train.groups", (len(inside),), "<i8").write(rank[numbers])


@dataclass(frozen=True)
class Segment:
    """The characters start…stop of a document, for one split."""

    document: Path
    start: int
    stop: int
    label: int | None = None


def vocabulary_of(segments: Iterable[Segment], min_count: int) -> tuple[str, ...]:
    """`<unk>`, `<s>`, then the characters that occur `min_count` times, by code point.

    Raises:
        DataError: more characters than a token of 16 bits can number.
    """
    counts = np.zeros(_CODES, dtype=np.int64)
    for segment in segments:
        for codes in _cut(segment):
            distinct, times = np.unique(codes, return_counts=True)
            counts[distinct] += times
    kept = np.flatnonzero(counts >= min_count)
    if len(kept) + 2 > _MOST_SYMBOLS:
        raise DataError(
            f"the training texts hold {len(kept)} distinct characters, more than "
            f"{_MOST_SYMBOLS - 2}: raise min_count"
        )
    return (UNKNOWN, START, *(chr(code) for code in kept.tolist()))


def pack_text(
    folder: Path, segments: dict[Split, list[Segment]], vocabulary: tuple[str, ...]
) -> dict[str, str]:
    """Write `{split}.npy` (tokens), `{split}.offsets.npy` and, if labelled, `{split}.labels.npy`.

    Every segment begins with the token `<s>`; a character outside the vocabulary is `<unk>`.

    Returns:
        sha256 of each file by its name.

    Raises:
        DataError: a document is shorter than the manifest says.
    """
    tokens = np.zeros(_CODES, dtype="<u2")
    tokens[[ord(character) for character in vocabulary[2:]]] = np.arange(2, len(vocabulary))
    with writers(folder) as arrays:
        for split in SPLITS:
            parts = segments[split]
            lengths = np.array([1 + part.stop - part.start for part in parts], dtype=np.int64)
            stream = arrays.add(split, (int(lengths.sum()),), "<u2")
            offsets = arrays.add(f"{split}.offsets", (len(parts) + 1,), "<i8")
            offsets.write(np.concatenate([[0], np.cumsum(lengths)]))
            for part in parts:
                stream.write(np.array([_START_ID]))
                for codes in _cut(part):
                    stream.write(tokens[codes])
            if parts and all(part.label is not None for part in parts):
                labels = arrays.add(f"{split}.labels", (len(parts),), "<i8")
                labels.write(np.array([part.label for part in parts]))
        return arrays.close()


def _cut(segment: Segment) -> Iterator[npt.NDArray[np.uint32]]:
    """Code points of a segment, in pieces."""
    seen = 0
    try:
        for codes in codepoints(segment.document):
            part = codes[max(0, segment.start - seen) : max(0, segment.stop - seen)]
            if len(part):
                yield part
            seen += len(codes)
            if seen >= segment.stop:
                return
    except (OSError, UnreadableError) as error:
        raise DataError(f"{segment.document}: {error}") from None
