"""CSV files of ours within bounds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from genmint.errors import GenmintError
from genmint.reading.content import conflict, decoded, read_bytes

# The list of quarantined items is the largest: about 200 bytes an item.
_BYTES = 1 << 30


def read_table(
    path: Path,
    columns: Sequence[str],
    what: str,
    way_out: str = "",
    error: type[GenmintError] = GenmintError,
) -> list[dict[str, str]]:
    """Read a CSV file with a header, every row as long as it.

    Args:
        path: of the file.
        columns: that must be there; others may be.
        what: it is, for messages, such as "a training history".
        way_out: last sentence of each message.
        error: class of the exception.

    Raises:
        GenmintError: missing, not UTF-8, a column is missing or stands twice, or a row has another
            number of fields.
    """
    text = decoded(read_bytes(path, _BYTES, way_out, error), str(path), way_out, error)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[dict[str, str]] = []
    header: list[str] = []
    try:
        for fields in reader:
            if not header:
                header = fields
                _check_header(header, columns)
            else:
                found.append(_row(header, fields))
    except (csv.Error, ValueError) as problem:
        line = f" line {reader.line_num}:" if reader.line_num else ""
        advice = conflict(text) or f" {way_out}"
        raise error(f"{path}:{line} not {what} ({problem}).{advice}".strip()) from None
    if not header:
        raise error(f"{path}: not {what} (an empty file). {way_out}".strip())
    return found


def _row(header: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields where the header has {len(header)}")
    return dict(zip(header, fields, strict=True))


def _check_header(header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(f"no column {missing[0]!r}")
    if len(set(header)) != len(header):
        raise ValueError("a column stands twice")
