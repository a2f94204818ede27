"""Stage prepare: from a manifest to memory-mapped arrays of the splits."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from genmint.common.errors import DataError
from genmint.common.files import atomic_dir, read_json, sha256_file, write_json
from genmint.common.layout import META
from genmint.common.project import Project
from genmint.config import AudioDataset, Dataset, ImageDataset, Params, Stack, TextDataset
from genmint.data import agreement, manifest, packing, quarantine, stacking
from genmint.data.ingestion.final_reader import final_reader
from genmint.data.ingestion.items import Items
from genmint.data.ingestion.sources import open_source
from genmint.data.packing import PackingPlan, Segment
from genmint.data.prepared import SPLITS, Meta, Split
from genmint.data.splitting import assignment, duplicates


def run(project: Project, params: Params, name: str) -> None:
    """Write data/prepared/NAME.

    Raises:
        DataError: the data set failed its validation, an item changed since the manifest was
            written, or a split would be empty; or manifest or validation were made with other
            settings.
    """
    dataset = params.datasets[name]
    path = project.manifest(name)
    agreement.check_manifest(path, manifest.settings(path), name, dataset)
    _refuse_unvalidated(project, name, dataset)
    table = entering(project, name, dataset)
    items = open_source(project, name, dataset).items(project.raw(name))
    with atomic_dir(project.prepared(name)) as folder:
        if isinstance(dataset, TextDataset):
            meta = _prepare_text(folder, name, dataset, table, items)
        else:
            reader = final_reader(name, dataset, project.manifest(name))
            meta = _prepare_items(folder, name, dataset, table, items.read_by(reader), reader.shape)
        settings = agreement.settings_of_arrays(dataset)
        meta = meta.model_copy(update={"settings": settings})
        write_json(folder / META, meta.as_json())
    shown = ", ".join(f"{meta.items[split]} {split}" for split in SPLITS)
    print(f"{name}: {shown}")  # noqa: T201


def _refuse_unvalidated(project: Project, name: str, dataset: Dataset) -> None:
    """Reject a data set that was not validated in its present state.

    Its report is missing or failed, or belongs to another manifest or to other settings.
    """
    path = project.validation(name)
    way_out = f"Run `dvc repro validate@{name}`."
    report = read_json(path, way_out)
    if not isinstance(report, dict) or report.get("passed") != 1:
        raise DataError(f"{path}: {name} failed its validation")
    if report.get("manifest") != sha256_file(project.manifest(name)):
        raise DataError(
            f"{path}: was made from another manifest than {project.manifest(name)}. {way_out}"
        )
    key = "max_quarantined"
    recorded, wanted = {key: report.get(key)}, {key: dataset.max_quarantined}
    validate_again = f"Run `dvc repro -f validate@{name}`."
    agreement.refuse_difference(path, recorded, wanted, f"datasets.{name}", validate_again)
    counted = [report.get("items"), report.get("quarantined")]
    lies = [manifest.rows(project.manifest(name)), len(quarantine.read(project.quarantine(name)))]
    if counted != lies:
        raise DataError(
            f"{path}: {counted[1]} of {counted[0]} items were quarantined, and "
            f"{project.quarantine(name)} names {lies[1]} of {lies[0]}. {validate_again}"
        )


def entering(
    project: Project, name: str, dataset: Dataset, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return the manifest rows that are not quarantined.

    Args:
        project: project with the manifest and the quarantine.
        name: name of the data set.
        dataset: its entry of params.yaml.
        columns: columns of the table, `id` and `error` among them; None: those that prepare needs.

    Raises:
        DataError: the manifest, the quarantine or the group column is missing, or the quarantine
            names something that is not an item of the manifest.
    """
    columns = list(columns or _columns(project, name, dataset))
    path = project.quarantine(name)
    table = manifest.read(project.manifest(name), columns)
    return quarantine.without(table, quarantine.read(path), path)


def _columns(project: Project, name: str, dataset: Dataset) -> list[str]:
    columns = ["id", "path", "sha256", "error", "item", "sketch", "label", "split"]
    columns += {"audio": ["windows", "seconds"], "text": ["characters"], "image": []}[dataset.kind]
    group = dataset.group_column
    if group is not None and group not in manifest.column_names(project.manifest(name)):
        raise DataError(
            f"datasets.{name}.split: the manifest has no column {group!r}; let filename_pattern "
            f"name a group (?P<{group}>…)"
        )
    if group is not None and group not in columns:
        columns.append(group)
    return columns


def _classes(table: pa.Table, dataset: Dataset) -> dict[str, int]:
    """Map class names to indices: in numerical order if all are numbers, else alphabetically."""
    if dataset.labels == "none":
        return {}
    names = pc.unique(table["label"]).to_pylist()
    if None in names:
        raise DataError(f"labels: {dataset.labels}, but an item has no label")
    numeric = all(name.isdecimal() for name in names)
    ordered = sorted(names, key=lambda name: (int(name), name)) if numeric else sorted(names)
    return {name: number for number, name in enumerate(ordered)}


def _numbers(table: pa.Table, classes: dict[str, int]) -> npt.NDArray[np.int64] | None:
    """Return the class index of each item."""
    if not classes:
        return None
    return np.array([classes[value.as_py()] for value in table["label"]], dtype=np.int64)


def plan_of(
    name: str, table: pa.Table, dataset: ImageDataset | AudioDataset, classes: dict[str, int]
) -> PackingPlan:
    """Return the assignment of items to splits.

    Args:
        name: name of the data set.
        table: rows of the manifest that `entering` returned.
        dataset: its entry of params.yaml.
        classes: index of each class; empty for an unlabelled set.

    Raises:
        DataError: a split would be empty, or the split rule does not fit the data set.
    """
    near = assignment.near_duplicates(table, dataset)
    assigned = assignment.assign(name, table, dataset, near)
    return PackingPlan(
        table["path"],
        table["sha256"],
        assigned,
        _numbers(table, classes),
        assignment.counts_of(table),
        near.clips if duplicates.redundant(near.clips) else None,
    )


def _prepare_items(
    folder: Path,
    name: str,
    dataset: ImageDataset | AudioDataset,
    table: pa.Table,
    items: Items,
    shape: tuple[int, ...],
) -> Meta:
    classes = _classes(table, dataset)
    plan = plan_of(name, table, dataset, classes)
    left = int((plan.splits == assignment.LEFT_OUT).sum())
    _account(name, int(plan.counts.sum()), sum(plan.items().values()), left, "items")
    if isinstance(dataset, ImageDataset) and dataset.stack is not None:
        return _prepare_stacks(
            folder, name, dataset.resolution, dataset.stack, plan, items, classes
        )
    dtype, sound = "|u1", dict[str, Any]()
    if isinstance(dataset, AudioDataset):
        dtype = "<i2"
        sound = {"sample_rate": dataset.sample_rate, "spectrogram": dataset.spectrogram}
    files = packing.pack_items(folder, plan, items, shape, dtype)
    return Meta(
        dataset=name,
        kind=dataset.kind,
        items={str(split): count for split, count in plan.items().items()},
        shape=shape,
        labels=tuple(classes) or None,
        files=files,
        **sound,
    )


def _account(name: str, entering: int, prepared: int, left_out: int, unit: str) -> None:
    """Print how many items are left out, and check that none is lost.

    Raises:
        DataError: prepared and left-out items do not add up to all items that passed validation.
    """
    if entering != prepared + left_out:
        raise DataError(
            f"{name}: {entering} {unit} passed validation, but {prepared} would be prepared and "
            f"{left_out} left out: this is an error in genmint, please report it"
        )
    if left_out:
        print(f"{name}: {left_out} {unit} left out: near-duplicates of official test items")  # noqa: T201


def _prepare_stacks(
    folder: Path,
    name: str,
    resolution: int,
    stack: Stack,
    plan: PackingPlan,
    items: Items,
    classes: dict[str, int],
) -> Meta:
    try:
        labels = stacking.joint_names(tuple(classes), stack.channels)
    except DataError as error:
        raise DataError(f"datasets.{name}.stack: {error}") from None
    counts = stacking.stacks_of(plan.items(), stack.items)
    # Stacking needs random access to all images of a split, so single images are packed and mapped.
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        singles = Path(temporary)
        packing.pack_items(singles, plan, items, (1, resolution, resolution), "|u1")
        files = stacking.pack_stacks(folder, singles, counts, stack, len(classes))
    return Meta(
        dataset=name,
        kind="image",
        items={str(split): count for split, count in counts.items()},
        shape=(stack.channels, resolution, resolution),
        labels=labels,
        stacked=tuple(classes),
        files=files,
    )


def _prepare_text(
    folder: Path, name: str, dataset: TextDataset, table: pa.Table, items: Items
) -> Meta:
    classes = _classes(table, dataset)
    segments = _cut_text(name, table, dataset, classes, items)
    vocabulary = packing.vocabulary_of(segments["train"], dataset.min_count)
    files = packing.pack_text(folder, segments, vocabulary)
    return Meta(
        dataset=name,
        kind="text",
        items={split: len({part.document for part in segments[split]}) for split in SPLITS},
        shape=(),
        labels=tuple(classes) or None,
        vocabulary=vocabulary,
        files=files,
    )


def _cut_text(
    name: str, table: pa.Table, dataset: TextDataset, classes: dict[str, int], items: Items
) -> dict[Split, list[Segment]]:
    """Return the documents, or parts of them, as segments of each split."""
    segments: dict[Split, list[Segment]] = {split: [] for split in SPLITS}
    near = assignment.near_duplicates(table, dataset)
    parts = assignment.cut_texts(name, table, dataset, near)
    left = 0
    for row, part in zip(table.to_pylist(), parts, strict=True):
        document = items.document(row["path"], row["sha256"])
        left += 0 if part else row["characters"]
        for split, start, stop in part:
            segments[split].append(Segment(document, start, stop, classes.get(row["label"])))
    cut = sum(part.stop - part.start for segment in segments.values() for part in segment)
    _account(name, pc.sum(table["characters"]).as_py() or 0, cut, left, "characters")
    return segments
