"""Items of a data set at their source: files of a folder, or rows of generated arrays."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genmint.common.cores import cores
from genmint.common.errors import ConfigError, DataError
from genmint.common.escaping import escape_name, unescape_name
from genmint.common.files import sha256_bytes, sha256_file
from genmint.config import Dataset, TextDataset
from genmint.data.ingestion.folder import Folder, Listing
from genmint.data.ingestion.left_out import LeftOut
from genmint.data.ingestion.official import split_named
from genmint.data.ingestion.pointers import Keeper, keeper_of
from genmint.data.ingestion.readers import ItemReader, UnreadableError, item_reader_of, reader_of

ManifestRow = dict[str, Any]

# Items described or loaded at a time, which limits memory use.
CHUNK = 512
# Named groups of filename_pattern with a special meaning; others become manifest columns.
_SPLIT_GROUP = "split"
_LABEL_GROUP = "label"


class Items(Protocol):
    """Items in a fixed order, which is that of the manifest's rows."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Columns from the named groups of filename_pattern, without label and split."""

    def read_by(self, reader: ItemReader) -> Items:
        """Return the same items with another reader."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Counts of files in the source that are not items."""

    def describe(self) -> Iterator[list[ManifestRow]]:
        """Yield manifest rows in chunks; `error` of an unreadable item holds the reason."""

    def load(self, paths: Sequence[str], hashes: Sequence[str]) -> npt.NDArray[Any]:
        """Load items of equal shape by their `path` and `sha256` in the manifest.

        Raises:
            DataError: an item changed since the manifest was made.
        """

    def document(self, path: str, sha256: str) -> Path:
        """Return the file of a text by its `path` and `sha256` in the manifest.

        Raises:
            DataError: the file changed since the manifest was made.
        """


@dataclass(frozen=True)
class ArrayPart:
    """A generated array: rows of equal shape with their labels and split.

    Attributes:
        name: name of the array; the paths of its rows are `name#0`, `name#1`, ….
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
    """Rows of arrays, as in built-in and named data sets."""

    parts: tuple[ArrayPart, ...]
    reader: ItemReader
    groups: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def read_by(self, reader: ItemReader) -> ArrayItems:
        """Return the same rows with another reader."""
        return dataclasses.replace(self, reader=reader)

    def describe(self) -> Iterator[list[ManifestRow]]:
        """Yield manifest rows; rows of generated arrays are always readable."""
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
        """Load rows by path."""
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
        """Raise an error, since arrays contain no texts."""
        raise DataError(f"{path}: a row of an array is not a text")


@dataclass(frozen=True)
class FileItems:
    """Files of a folder, sorted by path.

    Attributes:
        root: the folder, with links resolved.
        dataset: entry of the data set in params.yaml.
        stores: returns the content stores that links may point into (`content_stores`).
        only: name of the only file to use; None for all files.
        reader: reader of the items; None for that of the data set's kind.
    """

    root: Path
    dataset: Dataset
    stores: Callable[[], Sequence[Path]]
    only: str | None = None
    reader: ItemReader | None = None

    def read_by(self, reader: ItemReader) -> FileItems:
        """Return the same files with another reader."""
        return dataclasses.replace(self, reader=reader)

    @property
    def groups(self) -> tuple[str, ...]:
        """Named groups of filename_pattern, without label and split."""
        pattern = self.dataset.filename_pattern
        named = re.compile(pattern).groupindex if pattern else {}
        return tuple(name for name in named if name not in (_LABEL_GROUP, _SPLIT_GROUP))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Counts of files in the folder that are not items."""
        return self._listing.left_out

    @property
    def absent(self) -> Mapping[str, Keeper]:
        """For each item that exists only as a pointer, who stores its content; by escaped path."""
        return self._listing.absent

    def paths(self) -> tuple[str, ...]:
        """Return the relative paths with suffixes of this kind, escaped (`escape_name`), sorted."""
        return self._listing.paths

    def describe(self) -> Iterator[list[ManifestRow]]:
        """Yield manifest rows in the order of the paths; decoding runs in threads."""
        return self.describe_paths(self.paths())

    def describe_paths(
        self, paths: Sequence[str], chunk: int = CHUNK
    ) -> Iterator[list[ManifestRow]]:
        """Yield manifest rows of some of the paths, in their order, in chunks of this size."""
        with ThreadPoolExecutor(max_workers=cores()) as pool:
            for start in range(0, len(paths), chunk):
                yield list(pool.map(self._row, paths[start : start + chunk]))

    def load(self, paths: Sequence[str], hashes: Sequence[str]) -> npt.NDArray[Any]:
        """Load files by path; audio files may be cut into several items."""
        if isinstance(self.dataset, TextDataset):
            raise DataError("texts are streamed, not loaded")
        reader = self.reader or item_reader_of(self.dataset)

        def read(path: str, expected: str) -> npt.NDArray[Any]:
            file = self.document(path, expected)
            try:
                return reader.load(file)
            except UnreadableError as error:
                raise _changed(path, f"cannot be read any more ({error})") from None

        with ThreadPoolExecutor(max_workers=cores()) as pool:
            return np.concatenate(list(pool.map(read, paths, hashes)))

    def document(self, path: str, sha256: str) -> Path:
        """Return a file by path."""
        try:
            file = self._folder.file(path)
            changed = sha256_file(file) != sha256
        except (OSError, UnreadableError) as error:
            raise _changed(path, f"cannot be read any more ({_short(error)})") from None
        if changed:
            raise _changed(path, "changed")
        return file

    def _row(self, path: str) -> ManifestRow:
        row: ManifestRow = {"id": path, "path": path, "sha256": None, "bytes": 0}
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
            keeper, name = keeper_of(self.root / self.only), escape_name(self.only)
            return Listing((name,), (), {} if keeper is None else {name: keeper})
        return self._folder.listing(reader_of(self.dataset).suffixes, self.dataset.kind)

    def _named(self, path: str) -> ManifestRow:
        """Return label, official split and groups from the folder and name of a file."""
        columns: ManifestRow = {}
        pattern = self.dataset.filename_pattern
        if pattern is not None:
            name = unescape_name(path)
            stem = name.rpartition(".")[0] or name
            # A pattern with a slash is matched against the whole path, others against the file
            # name.
            matched = re.fullmatch(pattern, stem if "/" in pattern else stem.rpartition("/")[2])
            if matched is None:
                raise UnreadableError("name does not match filename_pattern")
            if None in matched.groupdict().values():
                raise UnreadableError("name leaves a group of filename_pattern empty")
            columns = {group: escape_name(value) for group, value in matched.groupdict().items()}
        label = columns.pop(_LABEL_GROUP, None)
        if _SPLIT_GROUP in columns:
            columns[_SPLIT_GROUP] = split_named(columns[_SPLIT_GROUP]) or columns[_SPLIT_GROUP]
        if self.dataset.labels == "folder":
            label, slash, _ = path.partition("/")
            if not slash:
                raise UnreadableError("lies in no sub-folder, so it has no label")
        return {**columns, "label": label if self.dataset.labels != "none" else None}


def _changed(path: str, how: str) -> DataError:
    return DataError(
        f"{path}: {how} since the manifest was made. Run `dvc repro` to ingest it again."
    )


def _short(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def check_groups(items: Items, name: str, reserved: Sequence[str]) -> None:
    """Check that no group name is already a column of the manifest.

    Raises:
        ConfigError: a group name is; the message names it.
    """
    for group in items.groups:
        if group in reserved:
            raise ConfigError(
                f"datasets.{name}.filename_pattern: the group {group!r} is a column of the "
                "manifest already; rename the group"
            )
