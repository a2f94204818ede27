"""history.csv: what a training did, without times, so that equal runs give equal files."""

from __future__ import annotations

import csv
from pathlib import Path

from genmint.errors import GenmintError
from genmint.reading import read_table

Row = dict[str, float]


def write_history(path: Path, rows: list[Row]) -> None:
    """Write one line a validation; numbers to the last digit. All rows have the same keys."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(repr(value) for value in row.values())


def read_history(path: Path) -> list[Row]:
    """Read it back; every value as float.

    Raises:
        GenmintError: missing, or not such a table.
    """
    rows = read_table(path, (), "a training history", "Run `dvc repro train` to make it.")
    try:
        return [{key: float(value) for key, value in row.items()} for row in rows]
    except ValueError as error:
        raise GenmintError(f"{path}: not a training history ({error})") from None
