"""List of quarantined items, written by validate and read by prepare and the drift check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from genmint.common.errors import DataError
from genmint.common.files import atomic_path
from genmint.common.reading import read_table, shortened, write_table

_SHOWN = 3


class Quarantined(NamedTuple):
    """A quarantined item: `id` and `path` in the manifest, and the reason."""

    id: str
    path: str
    reason: str


def write(path: Path, items: Iterable[Quarantined]) -> None:
    """Write the list atomically."""
    with atomic_path(path) as temporary:
        write_table(temporary, Quarantined._fields, items)


def read(path: Path) -> list[Quarantined]:
    """Read the list.

    Args:
        path: data/quarantine/NAME.csv.

    Raises:
        DataError: the file is missing, or is not such a list.
    """
    fields = Quarantined._fields
    rows = read_table(path, fields, "a list of quarantined items", _way_out(path), DataError)
    return [Quarantined(*(row[field] for field in fields)) for row in rows]


def without(table: pa.Table, items: Sequence[Quarantined], path: Path) -> pa.Table:
    """Return the valid rows of a manifest: neither quarantined nor unreadable.

    An unreadable item is excluded even if the expectation suite was edited to accept it.

    Args:
        table: manifest with at least the columns `id` and `error`.
        items: list of quarantined items.
        path: path of the list, for messages.

    Raises:
        DataError: an item of the list does not match exactly one row of the manifest. The list then
            belongs to another manifest or is damaged, and a quarantined item could be used.
    """
    listed = [item.id for item in items]
    out = pc.is_in(table["id"], value_set=pa.array(listed, type=pa.string()))
    matched = pc.sum(out).as_py() or 0
    if matched != len(listed) or pc.count_distinct(table["id"]).as_py() != len(table):
        raise DataError(f"{path}: {_difference(table['id'].to_pylist(), listed)}. {_way_out(path)}")
    return table.filter(pc.and_(pc.invert(out), pc.is_null(table["error"])))


def _difference(ids: Sequence[str], listed: Sequence[str]) -> str:
    """Describe how a list and a manifest contradict each other."""
    times, twice = Counter(ids), Counter(listed)
    unknown = [name for name in twice if name not in times]
    repeated = [name for names in (times, twice) for name, count in names.items() if count > 1]
    what = "names no item of the manifest" if unknown else "occurs twice in list or manifest"
    differing = unknown or repeated
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return f"{', '.join(map(shortened, differing[:_SHOWN]))}{more} {what}"


def _way_out(path: Path) -> str:
    return f"Run `dvc repro -f validate@{path.stem}`."
