"""history.csv: what a training did, without times, so that equal runs give equal files."""

from __future__ import annotations

import csv
from pathlib import Path

from genmint.errors import GenmintError

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
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [
                {key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)
            ]
    except FileNotFoundError:
        raise GenmintError(f"{path}: no such file. Run `dvc repro train` to make it.") from None
    except (ValueError, TypeError) as error:
        raise GenmintError(f"{path}: not a training history ({error})") from None
