"""The manifest: a table with one row an item, on which validation and splits work."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from genmint.data.left_out import LeftOut
from genmint.data.readers import Reader
from genmint.errors import DataError, GenmintError
from genmint.reading import parse_json

# error: why the item could not be read. label, split: None where the source knows none. item:
# sha256 of the finished item, as a model gets it. sketch: what near-duplicates have in common, in
# bytes, one sketch for each item that the row gives (genmint.data.sketches).
COLUMNS: dict[str, str] = {
    "id": "string",
    "path": "string",
    "sha256": "string",
    "bytes": "int64",
    "error": "string",
    "item": "string",
    "sketch": "binary",
    "label": "string",
    "split": "string",
}


_LEFT_OUT = b"genmint.left_out"
# Under this name a manifest carries the settings that it was made with.
_SETTINGS = b"genmint.settings"


def schema(
    reader: Reader,
    groups: Sequence[str],
    made_with: Mapping[str, Any],
    left_out: Sequence[LeftOut] = (),
) -> pa.Schema:
    """Columns of every manifest, then groups from file names, then the kind's statistics.

    Args:
        reader: of the kind.
        groups: from file names.
        made_with: the settings that the rows depend on; `settings` reads them back.
        left_out: of the source; `left_out` reads them back.
    """
    columns = {**COLUMNS, **dict.fromkeys(groups, "string"), **reader.columns}
    metadata = {_SETTINGS: json.dumps(made_with, sort_keys=True).encode()}
    if left_out:
        metadata[_LEFT_OUT] = json.dumps([each.as_json() for each in left_out]).encode()
    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()], metadata)


def write(path: Path, pieces: Iterable[list[dict[str, Any]]], columns: pa.Schema) -> list[int]:
    """Write rows as they come, a row group a piece.

    Returns:
        Number of items, and number of those that could be read.
    """
    items, readable = 0, 0
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        for rows in pieces:
            writer.write_table(pa.Table.from_pylist(rows, schema=columns))
            items += len(rows)
            readable += sum(row.get("error") is None for row in rows)
    return [items, readable]


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The manifest, or some of its columns.

    Raises:
        DataError: missing, or not a manifest.
    """
    with _explained(path):
        missing = sorted(set(columns or ()) - set(pq.read_schema(path).names))
        if missing:
            raise DataError(
                f"{path}: has no column {missing[0]}; another version of genmint made it. "
                f"{_way_out(path)}"
            )
        return pq.read_table(path, columns=None if columns is None else list(columns))


def column_names(path: Path) -> list[str]:
    """Names of the columns, in order.

    Raises:
        DataError: missing, or not a manifest.
    """
    with _explained(path):
        names: list[str] = pq.read_schema(path).names
        return names


def left_out(path: Path) -> tuple[LeftOut, ...]:
    """Files of the source that are no items, counted by reason and ending.

    Raises:
        DataError: missing, or not a manifest.
    """
    with _explained(path):
        kept = (pq.read_schema(path).metadata or {}).get(_LEFT_OUT, b"[]")
        return tuple(LeftOut(**each) for each in parse_json(kept, str(path)))


def settings(path: Path) -> dict[str, Any] | None:
    """The settings that the rows were made with; None where the manifest carries none.

    Raises:
        DataError: missing, or not a manifest.
    """
    with _explained(path):
        text = (pq.read_schema(path).metadata or {}).get(_SETTINGS)
        return None if text is None else dict(parse_json(text, str(path)))


def first_error(path: Path) -> str:
    """`id: reason` of the first item that could not be read."""
    for row in read(path, ["id", "error"]).to_pylist():
        if row["error"] is not None:
            return f"{row['id']}: {row['error']}"
    return ""


def _way_out(path: Path) -> str:
    return f"Run `dvc repro -f ingest@{path.stem}`."


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    way_out = _way_out(path)
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. {way_out}") from None
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, GenmintError) as error:
        raise DataError(f"{path}: not a manifest ({error}). {way_out}") from None
