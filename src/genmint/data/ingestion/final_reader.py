"""Properties that a whole data set determines for its items: channels and value range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from genmint.common.errors import ConfigError
from genmint.config import AudioDataset, ImageDataset
from genmint.data import manifest
from genmint.data.ingestion.readers import AudioReader, ImageReader, ItemReader
from genmint.data.ingestion.readers.image import COLOURLESS

_COLUMNS = ("error", "bits", "range_low", "range_high", "colour", "frames")
# Number of unused bits that is accepted. With more, at least three quarters of the range are unused
# and the images would be nearly black.
_UNUSED = 1


def final_reader(name: str, dataset: ImageDataset | AudioDataset, table: Path) -> ItemReader:
    """Return a reader that gives all items of a data set one shape and one scale.

    Args:
        name: name of the data set.
        dataset: data set entry.
        table: path of its manifest; unreadable items are ignored.

    Raises:
        ConfigError: `stack` is set, `mode` is not, and the images have colours.
    """
    if isinstance(dataset, AudioDataset):
        return AudioReader(dataset)
    items = _readable(table)
    if dataset.stack is not None and dataset.mode is None and (coloured := _coloured(items)):
        raise ConfigError(
            f"datasets.{name}.mode: stack makes channels of grey images, and {coloured} of "
            f"{len(items)} have colours: set mode: grey to drop them, or leave stack out"
        )
    channels = {"grey": 1, "rgb": 3, None: 3 if _coloured(items) else 1}[dataset.mode]
    return ImageReader(dataset, channels, ranges_of(items))


def needs_final_reader(dataset: ImageDataset, table: Path) -> bool:
    """Return whether the manifest's descriptions differ from those of the final reader.

    The value range and the presence of colours are known only after all files were read.
    """
    if dataset.bits == "set":
        return True
    items = _readable(table)
    return dataset.mode is None and 0 < _coloured(items) < len(items)


def ranges_of(items: pa.Table) -> dict[int, tuple[int, int]]:
    """Return lowest and highest value of a data set, by the bits of its files' values."""
    if not len(items):
        return {}
    grouped = items.group_by("bits").aggregate([("range_low", "min"), ("range_high", "max")])
    return {
        row["bits"]: (row["range_low_min"], row["range_high_max"]) for row in grouped.to_pylist()
    }


def remarks(name: str, dataset: ImageDataset, table: Path) -> list[str]:
    """Return notes for the user on how the images are read, one line each.

    Raises:
        ConfigError: the images use a small part of their range, and `bits` is not set.
    """
    items = _readable(table)
    ranges = ranges_of(items)
    if dataset.bits is None:
        _refuse_unused(name, ranges, items)
    lines = [
        f"{name}: values {low} to {high} of {bits}-bit files become 0 to 255 (bits: set)"
        for bits, (low, high) in sorted(ranges.items())
        if dataset.bits == "set"
    ]
    coloured, total = _coloured(items), len(items)
    if dataset.mode is None and total:
        taken = "3 channels (rgb)" if coloured else "1 channel (grey)"
        lines.append(
            f"{name}: mode is not set; {coloured} of {total} images have colours, so all are "
            f"taken with {taken}"
        )
    elif dataset.mode == "grey" and coloured:
        lines.append(f"{name}: {coloured} of {total} images have colours; mode: grey drops them")
    return lines


def _refuse_unused(name: str, ranges: dict[int, tuple[int, int]], items: pa.Table) -> None:
    for bits, (_, high) in ranges.items():
        used = max(1, high.bit_length())
        if high == 0 or used + _UNUSED >= bits:
            continue
        count = pc.sum(pc.equal(items["bits"], bits)).as_py()
        raise ConfigError(
            f"datasets.{name}.bits: not set, and the {count} files of {bits} bits a value use "
            f"values up to {high:,} of {2**bits - 1:,} only, so the images would be nearly black. "
            f"Set bits: {used} (0 to {2**used - 1:,} become black to white), bits: set (the set's "
            f"own range does), or bits: {bits} (leave them as dark as they are)"
        )


def _coloured(items: pa.Table) -> int:
    return pc.sum(pc.greater(items["colour"], COLOURLESS)).as_py() or 0


def _readable(table: Path) -> Any:
    rows = manifest.read(table, _COLUMNS)
    return rows.filter(pc.is_null(rows["error"]))
