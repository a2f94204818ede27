"""history.csv: metrics of a training run without times, so that equal runs give equal files."""

from __future__ import annotations

import csv
from pathlib import Path

from genmint.common.errors import GenmintError
from genmint.common.reading import read_table

HistoryRow = dict[str, float]


def write_history(path: Path, rows: list[HistoryRow]) -> None:
    """Write one line per validation with numbers in full precision. All rows have the same keys."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(repr(value) for value in row.values())


def read_history(path: Path) -> list[HistoryRow]:
    """Read a history; every value as float.

    Raises:
        GenmintError: the file is missing, or is not such a table.
    """
    rows = read_table(path, (), "a training history", "Run `dvc repro train` to make it.")
    try:
        return [{key: float(value) for key, value in row.items()} for row in rows]
    except ValueError as error:
        raise GenmintError(f"{path}: not a training history ({error})") from None
