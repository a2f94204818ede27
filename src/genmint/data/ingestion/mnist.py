"""MNIST: the whole set, which is downloaded, and its test digits, which belong to the project."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from genmint.common.errors import DataError
from genmint.config import ImageDataset
from genmint.config.base import Frozen
from genmint.data.ingestion.fetch import RemoteFile, StoredFile, fetch, unpack_stored
from genmint.data.ingestion.items import ArrayItems, ArrayPart
from genmint.data.ingestion.readers import item_reader_of


class MnistSource(Frozen):
    """The four idx files of MNIST, with the names of the distribution."""

    source: Literal["mnist"]
    files: Annotated[tuple[RemoteFile, ...], Field(min_length=4, max_length=4)]


class MnistTestSource(Frozen):
    """Images and labels of MNIST's test split, with the names of the distribution."""

    source: Literal["mnist-test"]
    files: Annotated[tuple[StoredFile, ...], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Mnist:
    """60,000 + 10,000 grey 28×28 digits with their official split."""

    dataset: ImageDataset
    description: MnistSource

    def materialise(self, folder: Path) -> None:
        """Download the four idx files."""
        for remote in self.description.files:
            fetch(remote, folder)

    def items(self, folder: Path) -> ArrayItems:
        """Return the rows of the two image files."""
        parts = (_part(self.dataset, folder, "train"), _part(self.dataset, folder, "test"))
        return ArrayItems(parts, item_reader_of(self.dataset))


@dataclass(frozen=True)
class MnistTest:
    """The 10,000 test digits of MNIST, grey 28×28.

    Attributes:
        dataset: data set entry.
        description: names and checksums of the two files.
        base: folder of the description; the paths of the files are relative to it.
    """

    dataset: ImageDataset
    description: MnistTestSource
    base: Path

    def materialise(self, folder: Path) -> None:
        """Unpack the two idx files.

        Raises:
            DataError: a file is missing or damaged, or its checksum is wrong.
        """
        for stored in self.description.files:
            unpack_stored(stored, self.base, folder)

    def items(self, folder: Path) -> ArrayItems:
        """Return the rows of the image file; they have no official split."""
        part = _part(self.dataset, folder, "test", official=False)
        return ArrayItems((part,), item_reader_of(self.dataset))


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Memory-map an idx file of bytes (two zero bytes, type 8, rank, big-endian sizes, data).

    Raises:
        DataError: the file is missing, or is not such a file.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
            sizes = struct.unpack(f">{magic[3]}I", stream.read(4 * magic[3]))
    except (OSError, IndexError, struct.error):
        raise DataError(f"{path}: missing or not an idx file") from None
    header = 4 + 4 * len(sizes)
    if magic[:3] != b"\x00\x00\x08" or path.stat().st_size != header + int(np.prod(sizes)):
        raise DataError(f"{path}: not an idx file of bytes, or cut short")
    return np.memmap(path, dtype=np.uint8, mode="r", offset=header, shape=sizes)


def _part(
    dataset: ImageDataset, folder: Path, split: Literal["train", "test"], *, official: bool = True
) -> ArrayPart:
    prefix = {"train": "train", "test": "t10k"}[split]
    labels = None
    if dataset.labels != "none":
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte").astype(np.str_)
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte")
    return ArrayPart(split, images, labels, split if official else None)
