"""Properties of the items, as ingest and validate will see them."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genmint.common.errors import DataError
from genmint.common.escaping import escape_name
from genmint.common.project import Project
from genmint.config import Dataset, ImageDataset
from genmint.data import manifest, validation
from genmint.data.ingestion.folder import LEADS_OUT
from genmint.data.ingestion.items import FileItems
from genmint.data.ingestion.readers import reader_of
from genmint.data.ingestion.readers.image import COLOURLESS
from genmint.data.ingestion.sources import Stores
from genmint.data.splitting import assignment, duplicates
from genmint.data.splitting.duplicates import NearDuplicates
from genmint.proposal.content import Content

# Number of files that are read to choose the settings by which all others are read.
PEEK = 64
# Largest number of files that are read, and seconds after which no more are, if there are PEEK.
READ = 2000
_SECONDS = 60.0
_CHUNK = 64
_SEED = 0


@dataclass(frozen=True)
class Survey:
    """Manifest rows of the files that were read, and what validate would decide about them.

    Attributes:
        content: all files.
        dataset: data set entry by which the files were read.
        table: manifest of the files that were read, sorted by path.
        reasons: why rows would be quarantined, by row number.
        problems: why validate would refuse the data set, if it held these rows only.
        near: near-duplicate groups of the readable rows.
    """

    content: Content
    dataset: Dataset
    table: pa.Table
    reasons: dict[int, str]
    problems: tuple[str, ...]
    near: NearDuplicates

    @property
    def complete(self) -> bool:
        """Whether all files were read."""
        return len(self.table) == len(self.content.paths)

    @cached_property
    def accepted(self) -> pa.Table:
        """Rows of the items that enter."""
        keep = np.ones(len(self.table), dtype=bool)
        keep[list(self.reasons)] = False
        return self.table.filter(pa.array(keep))

    @property
    def items(self) -> int:
        """Number of files that enter, estimated if not all were read."""
        share = len(self.accepted) / max(1, len(self.table))
        return round(share * len(self.content.paths))

    @property
    def quarantined_share(self) -> float:
        """Share of the files that were read and would be quarantined."""
        return len(self.reasons) / max(1, len(self.table))

    @property
    def near_duplicates(self) -> int:
        """Number of readable files besides the first of each group of near-duplicates."""
        return duplicates.redundant(self.near.rows)

    def column(self, name: str) -> list[Any]:
        """Return the values of a column of the manifest, of the items that enter."""
        values: list[Any] = self.accepted[name].to_pylist()
        return values

    def common_reasons(self, number: int = 3) -> list[tuple[str, int, str]]:
        """Return the most frequent reasons for quarantine: an example, number, its file."""
        groups: dict[str, list[int]] = {}
        for row, reason in self.reasons.items():
            groups.setdefault("".join(c for c in reason if not c.isdigit()), []).append(row)
        ranked = sorted(groups.values(), key=len, reverse=True)[:number]
        paths = self.table["path"]
        return [(self.reasons[rows[0]], len(rows), paths[rows[0]].as_py()) for rows in ranked]


def read_rows(content: Content, dataset: Dataset, stores: Stores, limit: int) -> pa.Table:
    """Return manifest rows of at most `limit` files, drawn at random; sorted by path.

    Reading stops after a minute if enough files were read.

    Raises:
        DataError: none of them can be read.
    """
    only = None if content.path.is_dir() else content.path.name
    root = content.path if only is None else content.path.parent
    items = FileItems(root, dataset, stores, only=only)
    paths = content.paths
    if len(paths) > limit:
        paths = tuple(random.Random(_SEED).sample(paths, limit))  # noqa: S311 - no secret
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for piece in items.describe_paths(paths, _CHUNK):
        rows += piece
        if time.perf_counter() - began > _SECONDS:
            break
    rows.sort(key=lambda row: str(row["path"]))
    unreadable = [row for row in rows if row.get("error") is not None]
    if len(unreadable) == len(rows):
        raise DataError(
            f"{escape_name(str(content.path))}: none of {len(rows):,} files can be read; the first "
            f"is {unreadable[0]['path']}: {unreadable[0]['error']}. {way_out(unreadable[0])}"
        )
    return pa.Table.from_pylist(rows, manifest.schema(reader_of(dataset), items.groups, {}))


def survey(project: Project, content: Content, dataset: Dataset, stores: Stores) -> Survey:
    """Read the files, or a random sample of many, and validate them.

    Args:
        project: project with the expectations of the kind.
        content: the files.
        dataset: proposed data set entry.
        stores: returns the content stores that links may point into.

    Raises:
        ConfigError: the expectations of the project cannot be run.
        DataError: none of the files can be read.
    """
    table = read_rows(content, dataset, stores, READ)
    if isinstance(dataset, ImageDataset) and dataset.mode != mode_of(table):
        dataset = dataset.model_copy(update={"mode": mode_of(table)})
        table = read_rows(content, dataset, stores, READ)
    readable = pc.is_null(table["error"])
    near = assignment.near_duplicates(table.filter(readable), dataset)
    rows = table.drop_columns(["sketch"]).to_pandas()
    rows["duplicate_of"] = duplicates.copies(rows)
    groups = np.arange(len(table))
    groups[readable.to_numpy(zero_copy_only=False)] = len(table) + near.rows
    rows["near_duplicate_of"] = duplicates.representatives(rows, groups)
    suite = validation.read_suite(project.suite(dataset.kind))
    outcome = validation.validate(rows, suite)
    problems = tuple(
        result.problem for result in outcome.results if result.level == "set" and not result.passed
    )
    return Survey(content, dataset, table, dict(outcome.reasons), problems, near)


def way_out(row: dict[str, Any]) -> str:
    """Return what to do about a file that cannot be used, given its manifest row."""
    if row["error"] == LEADS_OUT:
        # The entry is not written yet, so there is no place for its key.
        return (
            "Copy the files into the folder, or write the data set into params.yaml yourself, with "
            "follow_links: true (docs/data.md)"
        )
    return "Repair the files or take them out of the folder"


def mode_of(table: pa.Table) -> Literal["grey", "rgb"]:
    """Return the mode of images, given their manifest rows: rgb if any has colours."""
    most = pc.max(table["colour"]).as_py() or 0
    return "rgb" if most > COLOURLESS else "grey"


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return the lowest, the median and the highest of some values."""
    array = np.array(values, dtype=np.float64)
    return float(array.min()), float(np.median(array)), float(array.max())


def shares(values: list[Any]) -> str:
    """Return values with their number, most frequent first, as a text."""
    ranked = Counter(values).most_common()
    shown = ", ".join(f"{value} ({number:,})" for value, number in ranked[:5])
    return shown if len(ranked) <= 5 else f"{shown}, and {len(ranked) - 5} more"
