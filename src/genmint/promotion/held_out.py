"""Data for comparing two models: held-out splits without the champion's training items.

The data grow between the training runs of a champion and its challenger. Split rules keep former
training items out of the held-out splits (`genmint.data.splitting.splits`). They cannot do so if
files are renamed, a rule is changed, or a delivery repeats another. Each version therefore stores
fingerprints of its training items. This module removes those items from the held-out splits for
both models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genmint.common.errors import MismatchError
from genmint.common.files import write_json
from genmint.common.layout import META
from genmint.common.project import Project
from genmint.data.arrays import load_array
from genmint.data.packing import Writers, writers
from genmint.data.prepared import HELD_OUT, Meta, Prepared, Split
from genmint.data.splitting import fingerprints
from genmint.data.splitting.fingerprints import Fingerprints, Mask
from genmint.evaluation.reference import read_reference, write_reference
from genmint.metrics.likelihood import BLOCK, BOUNDARY
from genmint.models.shared.record import ModelRecord

# Minimum size of a reduced split: items, or blocks of a text.
_FEWEST_ITEMS, _FEWEST_BLOCKS = 30, 5
_ROWS = 1024
_TRAINED_ON = "since a model was trained on them"
_OTHER_CLASS = "since the champion does not know their class"


@dataclass(frozen=True)
class Comparable:
    """Data on which two models can be compared.

    Attributes:
        project: project with the prepared data and the reference.
        left_out: by split, what was removed and why; empty if nothing was removed.
    """

    project: Project
    left_out: dict[Split, str] = field(default_factory=dict)


def comparable(
    project: Project,
    champion: ModelRecord,
    evaluation: Path,
    folder: Path,
    classes: Sequence[str] | None,
) -> Comparable:
    """Remove the champion's training items from the held-out splits.

    Args:
        project: project with the prepared data and the reference of the challenger.
        champion: record from the champion's config.json.
        evaluation: folder with the files stored with the champion, laid out as in a project.
        folder: folder for the reduced data; the caller removes it.
        classes: classes that the champion knows, if its likelihood depends on the class; items of
            other classes are then removed as well. None otherwise.

    Raises:
        MismatchError: the champion's training items are unknown, or too few items are left.
    """
    dataset = champion.model.dataset
    prepared = Prepared(project.prepared(dataset))
    if champion.prepared == prepared.sha256:
        return Comparable(project)
    stored = Project(evaluation).trained(champion.data.dataset)
    if not stored.is_file():
        raise MismatchError(
            "it was trained on other data, and the list of its training items is not stored with "
            "it, so they may include items of the current test split."
        )
    trained = load_array(stored, "It is stored with the version.")
    out: dict[Split, Mask] = {}
    problems: dict[Split, str] = {}
    for split in HELD_OUT:
        known = _trained_on(prepared, split, trained)
        other = _of_other_classes(prepared, split, classes)
        if known.any() or other.any():
            out[split] = known | other
            reasons = ((_TRAINED_ON, known), (_OTHER_CLASS, other & ~known))
            problems[split] = _counted(prepared, split, reasons)
    if not out:
        return Comparable(project)
    return Comparable(_without(project, prepared, out, folder), problems)


def _of_other_classes(prepared: Prepared, split: Split, classes: Sequence[str] | None) -> Mask:
    """Return which items of a split have a class outside `classes`; bool, shape (N,).

    All entries are False if `classes` is None or the split has no labels.
    """
    labels = prepared.labels(split)
    if classes is None or labels is None:
        return np.zeros(len(prepared.array(split)), dtype=bool)
    known = np.array([name in classes for name in prepared.meta.labels or ()], dtype=bool)
    return ~known[labels]


def _trained_on(prepared: Prepared, split: Split, trained: Fingerprints) -> Mask:
    """Return which items, or tokens of a text, were trained on; bool, shape (N,)."""
    if prepared.meta.kind == "text":
        return fingerprints.copied(prepared.codes(split), trained)
    origins = prepared.origins(split)
    # The challenger's training items count as well: a user's split rule may hold out one of them.
    known = np.union1d(trained, prepared.trained())
    is_known = np.zeros(len(prepared.array(split)), dtype=bool)
    is_known[origins[:, 0][fingerprints.contains(known, origins[:, 1])].astype(np.int64)] = True
    return is_known


def _counted(prepared: Prepared, split: Split, reasons: Sequence[tuple[str, Mask]]) -> str:
    """Describe what is removed from a split and why.

    Raises:
        MismatchError: too few items are left.
    """
    text = prepared.meta.kind == "text"
    tokens = prepared.array(split)
    inside = tokens != BOUNDARY if text else np.ones(len(tokens), dtype=bool)
    left, total = int(inside.sum()), int(inside.sum())
    unit, parts = "characters" if text else "items", []
    for reason, out in reasons:
        count = int((out & inside).sum())
        left -= count
        if count:
            parts.append(f"{reason}: {count} of {total} {unit} of the split {split}")
    counts = ", ".join(parts)
    needed = _FEWEST_BLOCKS * BLOCK if text else _FEWEST_ITEMS
    if left < needed:
        raise MismatchError(f"left out, {counts}, and a comparison without them needs {needed}.")
    return counts


def _without(project: Project, prepared: Prepared, out: dict[Split, Mask], folder: Path) -> Project:
    """Return a project with the same data and reference, without the items in `out`."""
    changed, dataset = Project(folder / "comparison"), prepared.path.name
    target, reference = changed.prepared(dataset), changed.reference(dataset)
    target.mkdir(parents=True)
    reference.mkdir(parents=True)
    meta = prepared.meta
    with writers(target) as arrays:
        for split, mask in out.items():
            if meta.kind == "text":
                _write_text(arrays, prepared, split, mask)
            else:
                _write_items(arrays, prepared, split, ~mask)
        written = arrays.close()
    counts: dict[str, int] = {}
    if meta.kind != "text":
        counts = {split: int((~mask).sum()) for split, mask in out.items()}
    described: Meta = meta.model_copy(
        update={"items": meta.items | counts, "files": meta.files | written}
    )
    write_json(target / META, described.as_json())
    _link(prepared.path, target)
    known = read_reference(project.reference(dataset))
    write_reference(reference, known.model_copy(update={"data": Prepared(target).sha256}))
    _link(project.reference(dataset), reference)
    return changed


def _link(source: Path, target: Path) -> None:
    """Create symbolic links in `target` to those files of `source` that it lacks."""
    for path in source.iterdir():
        if not (target / path.name).exists():
            (target / path.name).symlink_to(path.resolve())


def _write_items(arrays: Writers, prepared: Prepared, split: Split, kept: Mask) -> None:
    array, labels = prepared.array(split), prepared.labels(split)
    rows = np.flatnonzero(kept)
    stream = arrays.add(split, (len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), _ROWS):
        stream.write(array[rows[start : start + _ROWS]])
    if labels is not None:
        arrays.add(f"{split}.labels", (len(rows),), "<i8").write(labels[rows])


def _write_text(arrays: Writers, prepared: Prepared, split: Split, out: Mask) -> None:
    """Write the remaining text; each contiguous passage becomes a document."""
    tokens = prepared.array(split)
    kept = ~out & (tokens != BOUNDARY)
    # A passage begins at a kept character whose predecessor is removed or is a boundary.
    begins = kept & ~np.concatenate([[False], kept[:-1]])
    places = np.flatnonzero(kept)
    starts = np.flatnonzero(begins[places])
    # A boundary token precedes each passage.
    position = np.arange(len(places)) + np.cumsum(begins[places])
    stream = np.full(len(places) + len(starts), BOUNDARY, dtype=tokens.dtype)
    stream[position] = tokens[places]
    arrays.add(split, stream.shape, "<u2").write(stream)
    offsets = np.append(starts + np.arange(len(starts)), len(stream))
    arrays.add(f"{split}.offsets", offsets.shape, "<i8").write(offsets)
    unknown = prepared.unknown(split)
    inside = unknown[kept[unknown[:, 0]]]
    moved = position[np.searchsorted(places, inside[:, 0])]
    passages = np.stack([moved, inside[:, 1]], axis=1)
    arrays.add(f"{split}.unknown", passages.shape, "<i8").write(passages)
