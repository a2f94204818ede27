"""Interfaces of readers, and the error for an unreadable item."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Statistics = dict[str, Any]


class UnreadableError(Exception):
    """Reason why one item is unreadable; stored as its `error` in the manifest."""


class FileReader(Protocol):
    """Describes files of one kind for the manifest.

    Attributes:
        suffixes: file suffixes of this kind, in lower case.
        columns: statistics columns of the manifest for this kind: name → arrow type.
    """

    suffixes: ClassVar[tuple[str, ...]]
    columns: ClassVar[Mapping[str, str]]

    def describe(self, path: Path) -> Statistics:
        """Return the manifest's columns for one file.

        Raises:
            UnreadableError: the file is unreadable; the message is a short reason.
        """


class ItemReader(FileReader, Protocol):
    """Also loads files as items of the prepared shape; texts are streamed instead."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (T,)."""

    def load(self, path: Path) -> npt.NDArray[Any]:
        """Load one file as items; the first axis is the number of items.

        A file gives one item, or all clips of a recording.

        Raises:
            UnreadableError: the file is unreadable.
        """

    def describe_rows(self, rows: npt.NDArray[Any]) -> list[Statistics]:
        """Return the manifest's columns for rows of a generated array (images or int16 clips)."""

    def load_rows(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert rows of a generated array to items of the prepared shape."""


def refuse_empty(path: Path) -> None:
    """Raise for a file of zero bytes, for which each decoder has another message.

    Raises:
        UnreadableError: the file is empty.
    """
    if path.stat().st_size == 0:
        raise UnreadableError("empty file (0 bytes)")


def read_exactly(stream: BinaryIO, count: int, what: str, *, kind: str) -> bytes:
    """Read the next `count` bytes of a file.

    Args:
        stream: the file, open at those bytes.
        count: number of bytes.
        what: description of the bytes, for the message.
        kind: kind of file, for the message: image or audio file.

    Raises:
        UnreadableError: the file ends before.
    """
    data = stream.read(count)
    if len(data) < count:
        raise UnreadableError(f"damaged {kind}: cut short within {what}")
    return data


def as_float(values: npt.NDArray[Any]) -> list[float]:
    """Return the values for the manifest, rounded to hide differences in the last bits of sums."""
    rounded: list[float] = np.round(values.astype(np.float64), 6).tolist()
    return rounded
