"""Prepare: from a manifest to memory-mapped arrays of train, validation and test."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from genmint.config import AudioDataset, Dataset, ImageDataset, Params, TextDataset
from genmint.data import manifest, packing, splits
from genmint.data.items import Items
from genmint.data.packing import Entry, Segment
from genmint.data.prepared import SPLITS, Meta, Split
from genmint.data.sources import open_source
from genmint.errors import DataError
from genmint.files import atomic_dir, read_json, sha256_file, write_json
from genmint.project import Project

Row = dict[str, Any]


def run(project: Project, params: Params, name: str) -> None:
    """Write data/prepared/NAME.

    Raises:
        DataError: the set did not pass its validation, an item changed since the manifest, or a
            split would be empty.
    """
    dataset = params.datasets[name]
    _refuse_unvalidated(project, name)
    rows = _entering(project, name, dataset)
    classes = _classes(rows, dataset)
    items = open_source(project, name, dataset).items(project.raw(name))
    with atomic_dir(project.prepared(name)) as folder:
        if isinstance(dataset, TextDataset):
            meta = _prepare_text(folder, name, dataset, rows, classes, items)
        else:
            meta = _prepare_items(folder, name, dataset, rows, classes, items)
        write_json(folder / "meta.json", meta.model_dump(mode="json"))
    shown = ", ".join(f"{meta.items[split]} {split}" for split in SPLITS)
    print(f"{name}: {shown}")  # noqa: T201


def _refuse_unvalidated(project: Project, name: str) -> None:
    """Refuse a set whose report is missing, says no, or is of another manifest."""
    path = project.validation(name)
    way_out = f"Run `dvc repro validate@{name}`."
    report = read_json(path, way_out)
    if not isinstance(report, dict) or report.get("passed") != 1:
        raise DataError(f"{path}: {name} did not pass its validation, so it may not enter")
    if report.get("manifest") != sha256_file(project.manifest(name)):
        raise DataError(f"{path}: is of another manifest than {project.manifest(name)}. {way_out}")


def _entering(project: Project, name: str, dataset: Dataset) -> list[Row]:
    """Manifest rows that are not quarantined; only the columns that are needed here."""
    columns = ["id", "path", "sha256", "error", "label", "split"]
    columns += {"audio": ["windows"], "text": ["characters"], "image": []}[dataset.kind]
    group = dataset.group_column
    known = manifest.column_names(project.manifest(name))
    if group is not None and group not in known:
        raise DataError(
            f"datasets.{name}.split: the manifest has no column {group!r}; let filename_pattern "
            f"name a group (?P<{group}>…)"
        )
    if group is not None and group not in columns:
        columns.append(group)
    path = project.quarantine(name)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            quarantined = {row["id"] for row in csv.DictReader(stream)}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Run `dvc repro validate@{name}`.") from None
    rows = manifest.read(project.manifest(name), columns).to_pylist()
    # An unreadable item stays out even where the suite was edited to let it pass.
    return [row for row in rows if row["id"] not in quarantined and row["error"] is None]


def _classes(rows: list[Row], dataset: Dataset) -> dict[str, int]:
    """Class names to numbers: in numerical order where all are numbers, else alphabetically."""
    if dataset.labels == "none":
        return {}
    names = {row["label"] for row in rows}
    if None in names:
        raise DataError(f"labels: {dataset.labels}, but an item has no label")
    numeric = all(name.isdecimal() for name in names)
    ordered = sorted(names, key=int) if numeric else sorted(names)
    return {name: number for number, name in enumerate(ordered)}


def _assign(rows: list[Row], dataset: Dataset) -> list[Split]:
    hashes = [row["sha256"] for row in rows]
    validation, test = dataset.validation, dataset.test
    if dataset.split == "official":
        return splits.official([row["split"] for row in rows], hashes, validation)
    if dataset.split == "position":
        return splits.by_position(len(rows), validation, test)
    if dataset.group_column is not None:
        return splits.by_group([row[dataset.group_column] for row in rows], validation, test)
    return splits.by_hash(hashes, validation, test)


def _prepare_items(
    folder: Path,
    name: str,
    dataset: ImageDataset | AudioDataset,
    rows: list[Row],
    classes: dict[str, int],
    items: Items,
) -> Meta:
    entries = [
        Entry(row["path"], row["sha256"], split, classes.get(row["label"]), row.get("windows", 1))
        for row, split in zip(rows, _assign(rows, dataset), strict=True)
    ]
    counts: Counter[Split] = Counter(dict.fromkeys(SPLITS, 0))
    for entry in entries:
        counts[entry.split] += entry.count
    splits.refuse_empty(counts, name, dataset.split)
    shape: tuple[int, ...]
    if isinstance(dataset, ImageDataset):
        channels = 1 if dataset.mode == "grey" else 3
        shape, dtype = (channels, dataset.size, dataset.size), "|u1"
        sound: Row = {}
    else:
        shape, dtype = (dataset.samples_per_clip,), "<i2"
        sound = {"sample_rate": dataset.sample_rate, "spectrogram": dataset.spectrogram}
    files = packing.pack_items(folder, entries, items, shape, dtype)
    return Meta(
        dataset=name,
        kind=dataset.kind,
        items={split: counts[split] for split in SPLITS},
        shape=shape,
        labels=tuple(classes) or None,
        files=files,
        **sound,
    )


def _prepare_text(
    folder: Path,
    name: str,
    dataset: TextDataset,
    rows: list[Row],
    classes: dict[str, int],
    items: Items,
) -> Meta:
    if len(rows) == 1 and dataset.split != "position":
        raise DataError(
            f"datasets.{name}.split: {dataset.split} shares out documents, and this is a single "
            "one; use position, which cuts it"
        )
    segments = _cut_text(rows, dataset, classes, items)
    characters = {
        split: sum(part.stop - part.start for part in segments[split]) for split in SPLITS
    }
    splits.refuse_empty(characters, name, dataset.split)
    vocabulary = packing.vocabulary_of(segments["train"], dataset.min_count)
    files = packing.pack_text(folder, segments, vocabulary)
    return Meta(
        dataset=name,
        kind="text",
        items={split: len(segments[split]) for split in SPLITS},
        shape=(),
        labels=tuple(classes) or None,
        vocabulary=vocabulary,
        files=files,
    )


def _cut_text(
    rows: list[Row], dataset: TextDataset, classes: dict[str, int], items: Items
) -> dict[Split, list[Segment]]:
    """Documents as segments of splits; `position` cuts the texts as if they were one."""
    segments: dict[Split, list[Segment]] = {split: [] for split in SPLITS}
    ends = np.cumsum([0, *(row["characters"] for row in rows)]).tolist()
    first, second = splits.cut(ends[-1], dataset.validation, dataset.test)
    borders = dict(zip(SPLITS, ((0, first), (first, second), (second, ends[-1])), strict=True))
    whole = [None] * len(rows) if dataset.split == "position" else _assign(rows, dataset)
    for row, begin, end, assigned in zip(rows, ends[:-1], ends[1:], whole, strict=True):
        document = items.document(row["path"], row["sha256"])
        label = classes.get(row["label"])
        for split, (low, high) in borders.items():
            if assigned is not None:
                low, high = (begin, end) if split == assigned else (begin, begin)
            start, stop = max(low, begin) - begin, min(high, end) - begin
            if start < stop:
                segments[split].append(Segment(document, start, stop, label))
    return segments
