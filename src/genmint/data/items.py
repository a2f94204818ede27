"""The items of a data set where they lie: files of a folder, or rows of arrays of ours."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genmint.config import Dataset, TextDataset
from genmint.data.folder import Folder, Listing
from genmint.data.left_out import LeftOut
from genmint.data.official import split_named
from genmint.data.readers import ItemReader, UnreadableError, item_reader_of, reader_of
from genmint.errors import ConfigError, DataError
from genmint.escaping import escape_name, unescape_name
from genmint.files import sha256_bytes, sha256_file

Row = dict[str, Any]

# Items described or loaded at a time: bounds what is held in memory.
CHUNK = 512
# What a named group of filename_pattern means, rather than being a column of its own.
_SPLIT_GROUP = "split"
_LABEL_GROUP = "label"


class Items(Protocol):
    """Items in a fixed order; the manifest's rows stand in the same order."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Columns from the named groups of filename_pattern, besides label and split."""

    def read_by(self, reader: ItemReader) -> Items:
        """The same items, described and loaded by another reader."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Files beside the items that are no items, counted."""

    def describe(self) -> Iterator[list[Row]]:
        """Manifest rows in pieces; an item that cannot be read has its reason in `error`."""

    def load(self, paths: Sequence[str], hashes: Sequence[str]) -> npt.NDArray[Any]:
        """Items of one shape by their `path` and `sha256` in the manifest.

        Raises:
            DataError: an item is not what it was when the manifest was made.
        """

    def document(self, path: str, sha256: str) -> Path:
        """The file of a text by its `path` and `sha256` in the manifest.

        Raises:
            DataError: it is not what it was when the manifest was made.
        """


@dataclass(frozen=True)
class Part:
    """An array of ours: rows of one shape, with what is known of them.

    Attributes:
        name: of the array; the rows' paths are `name#0`, `name#1`, ….
        rows: uint8 N×H×W or int16 N×T, memory-mapped.
        labels: class name of each row, or None.
        split: official split of all rows, or None.
    """

    name: str
    rows: npt.NDArray[Any]
    labels: npt.NDArray[np.str_] | None
    split: str | None


@dataclass(frozen=True)
class ArrayItems:
    """Rows of arrays, as the built-in and named sets have them."""

    parts: tuple[Part, ...]
    reader: ItemReader
    groups: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def read_by(self, reader: ItemReader) -> ArrayItems:
        """The same rows, read by another reader."""
        return dataclasses.replace(self, reader=reader)

    def describe(self) -> Iterator[list[Row]]:
        """Manifest rows; those of an array of ours can always be read."""
        for part in self.parts:
            width = len(str(len(part.rows) - 1))
            for start in range(0, len(part.rows), 8 * CHUNK):
                rows = np.ascontiguousarray(part.rows[start : start + 8 * CHUNK])
                described = self.reader.describe_rows(rows)
                yield [
                    {
                        "id": f"{part.name}-{start + k:0{width}d}",
                        "path": f"{part.name}#{start + k}",
                        "sha256": sha256_bytes(rows[k].tobytes()),
                        "bytes": rows[k].nbytes,
                        "label": None if part.labels is None else str(part.labels[start + k]),
                        "split": part.split,
                        **statistics,
                    }
                    for k, statistics in enumerate(described)
                ]

    def load(self, paths: Sequence[str], hashes: Sequence[str]) -> npt.NDArray[Any]:
        """Rows by path."""
        arrays = {part.name: part.rows for part in self.parts}
        rows = []
        for path, expected in zip(paths, hashes, strict=True):
            name, _, index = path.partition("#")
            if name not in arrays or int(index) >= len(arrays[name]):
                raise _changed(path, "is gone")
            row = np.ascontiguousarray(arrays[name][int(index)])
            if sha256_bytes(row.tobytes()) != expected:
                raise _changed(path, "changed")
            rows.append(row)
        return self.reader.load_rows(np.stack(rows))

    def document(self, path: str, sha256: str) -> Path:
        """Arrays hold no texts."""
        raise DataError(f"{path}: a row of an array is not a text")


@dataclass(frozen=True)
class FileItems:
    """Files of a folder, in the order of their paths.

    Attributes:
        root: the folder, with links resolved.
        dataset: its entry in params.yaml.
        stores: returns the content stores that links may lead into (`content_stores`).
        only: the one file to take; None takes all.
        reader: of the items; None takes that of the data set's kind.
    """

    root: Path
    dataset: Dataset
    stores: Callable[[], Sequence[Path]]
    only: str | None = None
    reader: ItemReader | None = None

    def read_by(self, reader: ItemReader) -> FileItems:
        """The same files, read by another reader."""
        return dataclasses.replace(self, reader=reader)

    @property
    def groups(self) -> tuple[str, ...]:
        """Named groups of filename_pattern, besides label and split."""
        pattern = self.dataset.filename_pattern
        named = re.compile(pattern).groupindex if pattern else {}
        return tuple(name for name in named if name not in (_LABEL_GROUP, _SPLIT_GROUP))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Files of the folder that are no items, counted."""
        return self._listing.left_out

    def paths(self) -> tuple[str, ...]:
        """Relative paths with this kind's endings, escaped (`escape_name`), sorted."""
        return self._listing.paths

    def describe(self) -> Iterator[list[Row]]:
        """Manifest rows; decoding runs in threads, the order is that of the paths."""
        paths = self.paths()
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for start in range(0, len(paths), CHUNK):
                yield list(pool.map(self._row, paths[start : start + CHUNK]))

    def load(self, paths: Sequence[str], hashes: Sequence[str]) -> npt.NDArray[Any]:
        """Files by path; several items a file where sound is cut into windows."""
        if isinstance(self.dataset, TextDataset):
            raise DataError("texts are streamed, not loaded")
        reader = self.reader or item_reader_of(self.dataset)

        def read(path: str, expected: str) -> npt.NDArray[Any]:
            file = self.document(path, expected)
            try:
                return reader.load(file)
            except UnreadableError as error:
                raise _changed(path, f"cannot be read any more ({error})") from None

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            return np.concatenate(list(pool.map(read, paths, hashes)))

    def document(self, path: str, sha256: str) -> Path:
        """A file by path."""
        try:
            file = self._folder.file(path)
            changed = sha256_file(file) != sha256
        except (OSError, UnreadableError) as error:
            raise _changed(path, f"cannot be read any more ({_short(error)})") from None
        if changed:
            raise _changed(path, "changed")
        return file

    def _row(self, path: str) -> Row:
        row: Row = {"id": path, "path": path, "sha256": None, "bytes": 0}
        try:
            file = self._folder.file(path)
            row["bytes"] = file.stat().st_size
            row["sha256"] = sha256_file(file)
            row.update(self._named(path))
            row.update((self.reader or reader_of(self.dataset)).describe(file))
        except UnreadableError as error:
            row["error"] = str(error)
        except OSError as error:
            row["error"] = f"cannot be opened: {error.strerror or error}"
        return row

    @cached_property
    def _folder(self) -> Folder:
        return Folder(self.root, self.dataset.follow_links, self.stores)

    @cached_property
    def _listing(self) -> Listing:
        if self.only is not None:
            return Listing((escape_name(self.only),), ())
        return self._folder.listing(reader_of(self.dataset).suffixes, self.dataset.kind)

    def _named(self, path: str) -> Row:
        """Label, official split and groups, from where the file lies and what it is called."""
        found: Row = {}
        pattern = self.dataset.filename_pattern
        if pattern is not None:
            name = unescape_name(path)
            stem = name.rpartition(".")[0] or name
            # A pattern with a slash speaks of the whole path, others of the file's name.
            matched = re.fullmatch(pattern, stem if "/" in pattern else stem.rpartition("/")[2])
            if matched is None:
                raise UnreadableError("name does not match filename_pattern")
            if None in matched.groupdict().values():
                raise UnreadableError("name leaves a group of filename_pattern empty")
            found = {group: escape_name(value) for group, value in matched.groupdict().items()}
        label = found.pop(_LABEL_GROUP, None)
        if _SPLIT_GROUP in found:
            found[_SPLIT_GROUP] = split_named(found[_SPLIT_GROUP]) or found[_SPLIT_GROUP]
        if self.dataset.labels == "folder":
            label, slash, _ = path.partition("/")
            if not slash:
                raise UnreadableError("lies in no sub-folder, so it has no label")
        return {**found, "label": label if self.dataset.labels != "none" else None}


def _changed(path: str, how: str) -> DataError:
    return DataError(
        f"{path}: {how} since the manifest was made. Run `dvc repro` to take stock again."
    )


def _short(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def check_groups(items: Items, name: str, reserved: Sequence[str]) -> None:
    """Refuse group names that are columns of the manifest already.

    Raises:
        ConfigError: naming the group.
    """
    for group in items.groups:
        if group in reserved:
            raise ConfigError(
                f"datasets.{name}.filename_pattern: the group {group!r} is a column of the "
                "manifest already; call it otherwise"
            )
