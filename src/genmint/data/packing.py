"""Packing of items into array files, in one pass and with constant memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from genmint.common.errors import DataError
from genmint.data.ingestion.items import CHUNK, Items
from genmint.data.ingestion.readers import UnreadableError, codepoints
from genmint.data.prepared import HELD_OUT, SPLITS, TRAINED, Split
from genmint.data.splitting import fingerprints
from genmint.data.splitting.fingerprints import Fingerprints

UNKNOWN, START = "<unk>", "<s>"
_START_ID = 1
_MOST_SYMBOLS = 2**16  # limit of uint16
_CODES = 0x110000
# Bytes of items that are read at a time.
_PIECE = 1 << 26


class ArrayWriter:
    """Writer of an npy file of known shape, row by row.

    It uses plain writes, since the pages of a memory map count as memory of this process until the
    kernel reclaims them, so memory use would grow with the data.
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
        """Append rows of matching shape."""
        if rows.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {rows.shape[1:]} into an array of {self._shape}")
        data = np.ascontiguousarray(rows, dtype=self._dtype)
        self._digest.update(data.data)
        self._stream.write(data.data)
        self._rows += len(rows)

    @property
    def rows(self) -> int:
        """Number of rows written so far."""
        return self._rows

    def close(self) -> str:
        """Finish the file.

        Returns:
            sha256 of the file.

        Raises:
            DataError: the number of rows differs from the announced one.
        """
        self._stream.close()
        if self._rows != self._shape[0]:
            raise DataError(
                f"{self._path.name}: {self._rows} rows instead of {self._shape[0]}: the data "
                "changed since the manifest was made. Run `dvc repro` to ingest them again."
            )
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Close without checks, after an error."""
        self._stream.close()


class _Hashed:
    """Stream that hashes the bytes it writes."""

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
        """Add a new array NAME.npy."""
        writer = ArrayWriter(self._folder / f"{name}.npy", shape, dtype)
        self._open[f"{name}.npy"] = writer
        return writer

    def close(self) -> dict[str, str]:
        """Finish all arrays; return their sha256 by file name."""
        return {name: writer.close() for name, writer in sorted(self._open.items())}

    def abandon(self) -> None:
        """Close all open arrays without checks."""
        for writer in self._open.values():
            writer.abandon()


@contextlib.contextmanager
def writers(folder: Path) -> Iterator[Writers]:
    """Yield a group of arrays that are closed in any case."""
    opened = Writers(folder)
    try:
        yield opened
    finally:
        opened.abandon()


@dataclass(frozen=True)
class PackingPlan:
    """Valid items by column, in the order of writing.

    Attributes:
        paths: `path` in the manifest; strings.
        hashes: `sha256` in the manifest; strings.
        splits: int8 M, index into SPLITS of each of the M items, negative for an item left out.
        labels: int64 N, class number; None for unlabelled items.
        counts: int64 N, number of items per row (clips of a recording; otherwise 1).
        groups: int64 M, near-duplicate group of each item; None if there are no near-duplicates.
    """

    paths: pa.ChunkedArray
    hashes: pa.ChunkedArray
    splits: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int64] | None
    counts: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None = None

    def items(self) -> dict[Split, int]:
        """Return the number of items of each split."""
        counts = np.bincount(self.splits[self.splits >= 0], minlength=len(SPLITS))
        return {split: int(counts[number]) for number, split in enumerate(SPLITS)}

    def pieces(self, most: int = CHUNK) -> Iterator[slice]:
        """Yield consecutive slices of at least `most` items (the last may be shorter)."""
        ends = np.cumsum(self.counts)
        start = 0
        while start < len(ends):
            before = 0 if start == 0 else int(ends[start - 1])
            stop = min(int(np.searchsorted(ends, before + most)) + 1, len(ends))
            yield slice(start, stop)
            start = stop


def pack_items(
    folder: Path, plan: PackingPlan, items: Items, shape: tuple[int, ...], dtype: str
) -> dict[str, str]:
    """Write `{split}.npy`, for labelled items `{split}.labels.npy`, and fingerprints.

    The further files are `train.groups.npy` (only if training items are near-duplicates),
    `train.items.npy` and, for test and confirmation, `{split}.origins.npy` (see `Prepared`).

    Args:
        folder: target folder.
        plan: items to write.
        items: loader of the items.
        shape: shape of one item.
        dtype: dtype of the arrays.

    Returns:
        sha256 of each file by name.

    Raises:
        DataError: an item differs from the manifest.
    """
    counts = plan.items()
    with writers(folder) as arrays:
        data = {s: arrays.add(s, (counts[s], *shape), dtype) for s in SPLITS}
        labels: dict[Split, ArrayWriter] = {}
        if plan.labels is not None:
            labels = {s: arrays.add(f"{s}.labels", (counts[s],), "<i8") for s in SPLITS}
        _write_groups(arrays, plan)
        prints = np.zeros(len(plan.splits), dtype=np.uint64)
        ends = np.concatenate([[0], np.cumsum(plan.counts)])
        item = int(np.prod(shape)) * np.dtype(dtype).itemsize
        for piece in plan.pieces(max(1, min(CHUNK, _PIECE // item))):
            paths = plan.paths[piece].to_pylist()
            loaded = items.load(paths, plan.hashes[piece].to_pylist())
            sizes = plan.counts[piece]
            if len(loaded) != sizes.sum():
                raise DataError(
                    f"{paths[0]} to {paths[-1]}: {len(loaded)} items instead of {sizes.sum()}: "
                    "the manifest was made with other settings. Run `dvc repro`."
                )
            place = slice(ends[piece.start], ends[piece.stop])
            where = plan.splits[place]
            prints[place] = fingerprints.of_items(np.asarray(loaded, dtype=dtype))
            for number, split in enumerate(SPLITS):
                data[split].write(loaded[where == number])
                if plan.labels is not None:
                    classes = np.repeat(plan.labels[piece], sizes)
                    labels[split].write(classes[where == number])
        add_trained(arrays, prints[plan.splits == SPLITS.index("train")])
        for split in HELD_OUT:
            add_origins(arrays, split, _origins(plan, split, prints))
        return arrays.close()


def add_trained(arrays: Writers, prints: Fingerprints) -> None:
    """Write `train.items.npy`: distinct fingerprints of the training items, sorted."""
    kept = np.unique(prints)
    arrays.add(TRAINED.removesuffix(".npy"), kept.shape, "<u8").write(kept)


def add_origins(arrays: Writers, split: Split, origins: Fingerprints) -> None:
    """Write `{split}.origins.npy`: uint64 K×2, see `Prepared.origins`."""
    arrays.add(f"{split}.origins", origins.shape, "<u8").write(origins)


def _origins(plan: PackingPlan, split: Split, prints: Fingerprints) -> Fingerprints:
    """Return item number and fingerprint for each item of a split and its group; uint64 K×2."""
    inside = np.flatnonzero(plan.splits == SPLITS.index(split))
    if plan.groups is None:
        return np.stack([np.arange(len(inside), dtype=np.uint64), prints[inside]], axis=1)
    members: dict[int, list[int]] = defaultdict(list)
    for item in np.flatnonzero(np.isin(plan.groups, plan.groups[inside])).tolist():
        members[int(plan.groups[item])].append(item)
    pairs = [
        (row, prints[member])
        for row, item in enumerate(inside.tolist())
        for member in members[int(plan.groups[item])]
    ]
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2)


def _write_groups(arrays: Writers, plan: PackingPlan) -> None:
    """Write the groups of the training items, numbered by their first members."""
    if plan.groups is None:
        return
    inside = plan.groups[plan.splits == SPLITS.index("train")]
    _, first, numbers = np.unique(inside, return_index=True, return_inverse=True)
    if len(first) < len(inside):
        rank = np.argsort(np.argsort(first))
        arrays.add("train.groups", (len(inside),), "<i8").write(rank[numbers])


@dataclass(frozen=True)
class Segment:
    """Characters start…stop of a document, for one split."""

    document: Path
    start: int
    stop: int
    label: int | None = None


def vocabulary_of(segments: Iterable[Segment], min_count: int) -> tuple[str, ...]:
    """Return `<unk>`, `<s>` and the characters that occur `min_count` times, by code point.

    Raises:
        DataError: there are more characters than 16-bit tokens can represent.
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

    Every segment begins with the token `<s>`. A character outside the vocabulary becomes `<unk>`;
    for held-out splits, `{split}.unknown.npy` stores the original characters. `train.items.npy` has
    the fingerprints of the training text (see `Prepared`).

    Returns:
        sha256 of each file by name.

    Raises:
        DataError: a document is shorter than the manifest says.
    """
    tokens = np.zeros(_CODES, dtype="<u2")
    tokens[[ord(character) for character in vocabulary[2:]]] = np.arange(2, len(vocabulary))
    with writers(folder) as arrays:
        prints = [np.zeros(0, dtype=np.uint64)]
        for split in SPLITS:
            parts = segments[split]
            lengths = np.array([1 + part.stop - part.start for part in parts], dtype=np.int64)
            stream = arrays.add(split, (int(lengths.sum()),), "<u2")
            offsets = arrays.add(f"{split}.offsets", (len(parts) + 1,), "<i8")
            offsets.write(np.concatenate([[0], np.cumsum(lengths)]))
            unknown = [np.zeros((0, 2), dtype=np.int64)]
            for part in parts:
                stream.write(np.array([_START_ID]))
                written = _written(stream, part, tokens)
                if split == "train":
                    prints.append(fingerprints.of_text(written))
                    continue
                for codes in written:
                    places = np.flatnonzero(tokens[codes] == 0)
                    first = stream.rows - len(codes)
                    unknown.append(np.stack([first + places, codes[places]], axis=1))
            if split != "train":
                indices = np.concatenate(unknown)
                arrays.add(f"{split}.unknown", indices.shape, "<i8").write(indices)
            if parts and all(part.label is not None for part in parts):
                labels = arrays.add(f"{split}.labels", (len(parts),), "<i8")
                labels.write(np.array([part.label for part in parts]))
        add_trained(arrays, np.concatenate(prints))
        return arrays.close()


def _written(
    stream: ArrayWriter, segment: Segment, tokens: npt.NDArray[np.uint16]
) -> Iterator[npt.NDArray[np.uint32]]:
    """Write the tokens of a segment in chunks; yield the code points of each chunk afterwards."""
    for codes in _cut(segment):
        stream.write(tokens[codes])
        yield codes


def _cut(segment: Segment) -> Iterator[npt.NDArray[np.uint32]]:
    """Yield the code points of a segment in chunks."""
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
