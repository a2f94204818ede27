"""Relocation of the embedded store after its checkout was moved or copied.

MLflow records artefact locations as absolute addresses. After a move they name a folder that is
gone. After a copy they name the original's folder, where new models would be written.
"""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genmint.common.layout import ARTIFACTS

# Columns of MLflow's tables with artefact addresses. Experiments determine where new artefacts go.
_WHERE_NEW_ONES_GO = ("experiments", "artifact_location")
_COLUMNS = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_BUSY_SECONDS = 60.0


@dataclass(frozen=True)
class Elsewhere:
    """Artefacts that a store expects in another checkout.

    Attributes:
        root: folder `mlartifacts` of the other checkout.
        count: number of addresses below it, over all tables.
    """

    root: Path
    count: int


def relocate(database: Path, artifacts: Path) -> list[Path]:
    """Update a store's artefact addresses to its current checkout; return the old roots.

    Experiments are always updated, so that nothing new is written elsewhere. Runs and versions are
    updated if their files are here or nowhere. Those whose files exist only in the other checkout
    remain readable there. The update is one transaction, and nothing is written if nothing differs.
    Addresses that no embedded store creates (s3://, other folders) are kept.

    Args:
        database: the existing store.
        artifacts: folder `mlartifacts` of its checkout.
    """
    with _opened(database) as store:
        if not _foreign_roots(store, *_WHERE_NEW_ONES_GO, artifacts):
            return []
        store.execute("BEGIN IMMEDIATE")
        # Another process may have updated the store meanwhile.
        roots = _foreign_roots(store, *_WHERE_NEW_ONES_GO, artifacts)
        for table, column in _COLUMNS:
            for address in _addresses(store, table, column):
                new = _moved(address, roots, artifacts)
                if new is not None and (_path(new).exists() or not _path(address).exists()):
                    _replace(store, table, column, address, new)
        table, column = _WHERE_NEW_ONES_GO
        for address in _addresses(store, table, column):
            new = _moved(address, roots, artifacts)
            if new is not None:
                _replace(store, table, column, address, new)
        store.execute("COMMIT")
        return roots


def elsewhere(database: Path, artifacts: Path) -> list[Elsewhere]:
    """Return the roots of other checkouts in which a store expects artefacts; read-only."""
    counts: dict[Path, int] = {}
    with _opened(database) as store:
        for table, column in (_WHERE_NEW_ONES_GO, *_COLUMNS):
            for address in _addresses(store, table, column):
                root = _root(address)
                if root is not None and root != artifacts:
                    counts[root] = counts.get(root, 0) + 1
    return [Elsewhere(root, count) for root, count in sorted(counts.items())]


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    # With isolation_level None, transactions begin and end only by explicit statements.
    with contextlib.closing(
        sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)
    ) as store:
        yield store


def _addresses(store: sqlite3.Connection, table: str, column: str) -> list[str]:
    known = {row[1] for row in store.execute(f"PRAGMA table_info({table})")}
    if column not in known:  # an older schema, which MLflow migrates or rejects
        return []
    rows = store.execute(f"SELECT DISTINCT {column} FROM {table}")  # noqa: S608 - names of ours
    return [row[0] for row in rows if row[0]]


def _replace(store: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    statement = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608 - names of ours
    store.execute(statement, (new, old))


def _foreign_roots(
    store: sqlite3.Connection, table: str, column: str, artifacts: Path
) -> list[Path]:
    roots = {_root(address) for address in _addresses(store, table, column)}
    return sorted(root for root in roots if root is not None and root != artifacts)


def _moved(address: str, roots: list[Path], artifacts: Path) -> str | None:
    """Return the address under the new root; None if it is under none of the old roots."""
    root = _root(address)
    if root not in roots:
        return None
    return (artifacts / _path(address).relative_to(root)).as_uri()


def _root(address: str) -> Path | None:
    """Return the innermost folder `mlartifacts` that contains an address; None if there is none."""
    if not address.startswith("file:///"):
        return None
    for folder in _path(address).parents:
        if folder.name == ARTIFACTS:
            return folder
    return None


def _path(address: str) -> Path:
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(address).path))
