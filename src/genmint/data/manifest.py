"""Manifest: a table with one row per item, for validation and splits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from genmint.common.errors import DataError, GenmintError
from genmint.common.reading import parse_json
from genmint.data.ingestion.left_out import LeftOut
from genmint.data.ingestion.readers import FileReader

# error: why the item is unreadable. label, split: None if the source has none. item: sha256 of the
# finished item, that is, the model input. sketch: bytes for the detection of near-duplicates, one
# sketch per item of the row (genmint.data.splitting.sketches).
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
# Metadata key of the settings that the manifest was made with.
_SETTINGS = b"genmint.settings"


def schema(
    reader: FileReader,
    groups: Sequence[str],
    made_with: Mapping[str, Any],
    left_out: Sequence[LeftOut] = (),
) -> pa.Schema:
    """Return the schema: common columns, groups from file names, and statistics of the kind.

    Args:
        reader: reader of the kind.
        groups: group names from file names.
        made_with: settings that the rows depend on; `settings` reads them back.
        left_out: counts of other files of the source; `left_out` reads them back.
    """
    columns = {**COLUMNS, **dict.fromkeys(groups, "string"), **reader.columns}
    metadata = {_SETTINGS: json.dumps(made_with, sort_keys=True).encode()}
    if left_out:
        metadata[_LEFT_OUT] = json.dumps([each.as_json() for each in left_out]).encode()
    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()], metadata)


def write(path: Path, pieces: Iterable[list[dict[str, Any]]], columns: pa.Schema) -> list[int]:
    """Write rows as they arrive, one row group per chunk.

    Returns:
        Number of items, and number of readable items.
    """
    items, readable = 0, 0
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        for rows in pieces:
            writer.write_table(pa.Table.from_pylist(rows, schema=columns))
            items += len(rows)
            readable += sum(row.get("error") is None for row in rows)
    return [items, readable]


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the manifest, or some of its columns.

    Raises:
        DataError: the file is missing, or is not a manifest.
    """
    with _explained(path):
        missing = sorted(set(columns or ()) - set(pq.read_schema(path).names))
        if missing:
            raise DataError(
                f"{path}: has no column {missing[0]}; another version of genmint made it. "
                f"{_way_out(path)}"
            )
        return pq.read_table(path, columns=None if columns is None else list(columns))


def rows(path: Path) -> int:
    """Return the number of items, including unreadable ones.

    Raises:
        DataError: the file is missing, or is not a manifest.
    """
    with _explained(path):
        count: int = pq.read_metadata(path).num_rows
        return count


def column_names(path: Path) -> list[str]:
    """Return the column names in order.

    Raises:
        DataError: the file is missing, or is not a manifest.
    """
    with _explained(path):
        names: list[str] = pq.read_schema(path).names
        return names


def left_out(path: Path) -> tuple[LeftOut, ...]:
    """Return the counts of files in the source that are not items, by reason and suffix.

    Raises:
        DataError: the file is missing, or is not a manifest.
    """
    with _explained(path):
        kept = (pq.read_schema(path).metadata or {}).get(_LEFT_OUT, b"[]")
        return tuple(LeftOut(**each) for each in parse_json(kept, str(path)))


def settings(path: Path) -> dict[str, Any] | None:
    """Return the settings that the rows were made with; None if the manifest has none.

    Raises:
        DataError: the file is missing, or is not a manifest.
    """
    with _explained(path):
        text = (pq.read_schema(path).metadata or {}).get(_SETTINGS)
        return None if text is None else dict(parse_json(text, str(path)))


def first_error(path: Path) -> str:
    """Return `id: reason` of the first unreadable item; "" if there is none."""
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
