"""What a reader of a kind must do, and how it says that an item cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Statistics = dict[str, Any]


class UnreadableError(Exception):
    """Why one item cannot be read; becomes its `error` in the manifest, never a traceback."""


class Reader(Protocol):
    """Describes files of one kind for the manifest.

    Attributes:
        suffixes: endings of the files that are items of this kind, in lower case.
        columns: statistics that the manifest holds for this kind: name → arrow type.
    """

    suffixes: ClassVar[tuple[str, ...]]
    columns: ClassVar[Mapping[str, str]]

    def describe(self, path: Path) -> Statistics:
        """The manifest's columns for one file.

        Raises:
            UnreadableError: it cannot be read; the message is a short reason.
        """


class ItemReader(Reader, Protocol):
    """Also turns what lies on disk into items of the prepared shape; texts are streamed instead."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (T,)."""

    def load(self, path: Path) -> npt.NDArray[Any]:
        """One file as items, first axis the number of items (one, or a clip's windows).

        Raises:
            UnreadableError: it cannot be read.
        """

    def describe_rows(self, rows: npt.NDArray[Any]) -> list[Statistics]:
        """The manifest's columns for rows of an array of ours (uint8 images, int16 clips)."""

    def load_rows(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rows of an array of ours as items of the prepared shape."""


def refuse_empty(path: Path) -> None:
    """Refuse a file of zero bytes, which every decoder would describe in other words.

    Raises:
        UnreadableError: the file is empty.
    """
    if path.stat().st_size == 0:
        raise UnreadableError("empty file (0 bytes)")


def read_exactly(stream: BinaryIO, count: int, what: str, *, kind: str) -> bytes:
    """The next `count` bytes of a file.

    Args:
        stream: the file, open at those bytes.
        count: of the bytes.
        what: they are, for the message.
        kind: of file, for the message: image or audio file.

    Raises:
        UnreadableError: the file ends before.
    """
    found = stream.read(count)
    if len(found) < count:
        raise UnreadableError(f"damaged {kind}: cut short within {what}")
    return found


def as_float(values: npt.NDArray[Any]) -> list[float]:
    """Plain numbers for the manifest, rounded so that the last bits of a sum do not show."""
    rounded: list[float] = np.round(values.astype(np.float64), 6).tolist()
    return rounded
