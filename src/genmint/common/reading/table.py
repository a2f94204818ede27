"""CSV writer and reader with limits, for one format that holds any text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from genmint.common.errors import GenmintError
from genmint.common.reading.content import conflict, decoded, read_bytes

# The list of quarantined items is the largest, with about 200 bytes per item.
_BYTES = 1 << 30


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file that `read_table` reads back unchanged.

    Every field is quoted. Otherwise Python's writer leaves a carriage return unquoted, which its
    reader and spreadsheets treat as a new row.

    Args:
        path: path of the file.
        columns: header.
        rows: rows of texts, one per column, of at most 131,072 characters, which is the limit of
            the reader. File names must be escaped (`escape_name`), since bytes that are not UTF-8
            cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(row)


def read_table(
    path: Path,
    columns: Sequence[str],
    what: str,
    way_out: str = "",
    error: type[GenmintError] = GenmintError,
) -> list[dict[str, str]]:
    """Read a CSV file with a header; all rows must have its length.

    Args:
        path: path of the file.
        columns: required columns; further columns are allowed.
        what: description of the file for messages, such as "a training history".
        way_out: last sentence of each message.
        error: class of the exception.

    Raises:
        GenmintError: the file is missing or not UTF-8, a column is missing or duplicated, or a row
            has a different number of fields.
    """
    text = decoded(read_bytes(path, _BYTES, way_out, error), str(path), way_out, error)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[dict[str, str]] = []
    header: list[str] = []
    try:
        for fields in reader:
            if not header:
                header = fields
                _check_header(header, columns)
            else:
                rows.append(_row(header, fields))
    except (csv.Error, ValueError) as problem:
        line = f" line {reader.line_num}:" if reader.line_num else ""
        advice = conflict(text) or f" {way_out}"
        raise error(f"{path}:{line} not {what} ({problem}).{advice}".strip()) from None
    if not header:
        raise error(f"{path}: not {what} (an empty file). {way_out}".strip())
    return rows


def _row(header: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields where the header has {len(header)}")
    return dict(zip(header, fields, strict=True))


def _check_header(header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(f"no column {missing[0]!r}")
    if len(set(header)) != len(header):
        raise ValueError("a column occurs twice")
