"""Which split each item of a manifest goes to, with copies of one item in one split."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from genmint.config import AudioDataset, Dataset, TextDataset
from genmint.data import duplicates, splits
from genmint.data.duplicates import SPLIT_ORDER, NearDuplicates, Numbers
from genmint.data.prepared import SPLITS, Split
from genmint.data.splits import Shares
from genmint.errors import DataError

Assigned = npt.NDArray[np.int8]
Parts = list[dict[Split, tuple[int, int]]]

# What an item gets that is left out: a near-duplicate of an item of an official test split.
LEFT_OUT = -1
# Of the most held-out split first.
_ORDER: tuple[Split, ...] = ("test", "confirmation", "validation", "train")
_WAYS_SHOWN = 2
# Settings that a message may advise, the first that work: each is tried before it is named.
_WAYS: tuple[dict[str, Any], ...] = (
    {"split": "position:file"},
    {"windows": "all", "split": "position:file"},
    {"windows": "all", "split": "position"},
    {"split": "hash"},
    {"validation": 0.2, "test": 0.2},
    {"split": "position"},
    {"confirmation": 0.0},
    {"split": "position", "confirmation": 0.0},
    {"split": "position", "validation": 0.2, "test": 0.2, "confirmation": 0.2},
    {"split": "position", "validation": 0.25, "test": 0.25, "confirmation": 0.25},
    {"split": "position", "validation": 0.3, "test": 0.3, "confirmation": 0.0},
    {"split": "position", "validation": 0.34, "test": 0.33, "confirmation": 0.0},
)


def near_duplicates(table: pa.Table, dataset: Dataset) -> NearDuplicates:
    """Groups of the rows of a manifest; it needs their `item` and `sketch`."""
    return duplicates.find(
        table["item"].to_pylist(),
        table["sketch"].to_pylist(),
        counts_of(table),
        dataset.kind,
        dataset.near_duplicates,
    )


def counts_of(table: pa.Table) -> Numbers:
    """Items that each row gives: clips of a recording, 1 otherwise; int64 N."""
    windows = table["windows"].to_numpy() if "windows" in table.column_names else 1
    return np.zeros(len(table), dtype=np.int64) + windows


def assign(name: str, table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Assigned:
    """Split of each item that the rows give, as an index into SPLITS or LEFT_OUT; int8 M.

    Args:
        name: of the data set, for messages.
        table: rows of the manifest that enter.
        dataset: its entry; images or audio.
        near: groups of the rows.

    Raises:
        DataError: a split would be empty, or the rule does not fit the set; with settings that do.
    """
    try:
        found = _assigned(table, dataset, near)
        inside = found[found != LEFT_OUT]
        counts = np.bincount(inside, minlength=len(SPLITS))
        _refuse_small({split: int(counts[k]) for k, split in enumerate(SPLITS)}, dataset)
    except DataError as error:
        raise DataError(_explained(str(error), name, table, dataset, near)) from None
    return found


def cut_texts(name: str, table: pa.Table, dataset: TextDataset, near: NearDuplicates) -> Parts:
    """Where each split begins and ends in each document, in characters; what is empty is left out.

    Raises:
        DataError: a split would be empty, or the rule does not fit the set; with settings that do.
    """
    try:
        parts = _text_parts(table, dataset, near)
        _refuse_small(_characters(parts), dataset)
    except DataError as error:
        raise DataError(_explained(str(error), name, table, dataset, near)) from None
    return parts


def _assigned(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Assigned:
    """Split of each item, whether or not one is empty."""
    counts = counts_of(table)
    shares = _shares(dataset)
    owners = np.repeat(np.arange(len(table)), counts)
    if dataset.split == "position":
        return _together(_numbers(splits.by_position(len(owners), shares)), owners, near.rows)
    if dataset.split == "position:file":
        each = [_numbers(splits.by_position(int(count), shares)) for count in counts]
        found = np.concatenate(each) if each else np.zeros(0, dtype=np.int8)
        return _together(found, owners, near.rows)
    return np.repeat(_whole(table, dataset, near), counts)


def _whole(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Assigned:
    """Split of each row by a rule that cuts none."""
    shares = _shares(dataset)
    hashes = smallest(table["sha256"].to_pylist(), near.rows)
    if dataset.split == "official":
        known = table["split"].to_pylist()
        found = _numbers(splits.official(known, hashes, shares))
        found[duplicates.against_official(known, near.rows)] = LEFT_OUT
        return found
    if dataset.group_column is not None:
        column = table[dataset.group_column].to_pylist()
        return _numbers(splits.by_group(_merged(column, near.rows), shares))
    return _numbers(splits.by_hash(hashes, shares))


def _text_parts(table: pa.Table, dataset: TextDataset, near: NearDuplicates) -> Parts:
    lengths: list[int] = table["characters"].to_pylist()
    if not dataset.split.startswith("position"):
        whole = _whole(table, dataset, near).tolist()
        return [
            {} if k == LEFT_OUT else {SPLITS[k]: (0, length)}
            for k, length in zip(whole, lengths, strict=True)
        ]
    shares, begin = _shares(dataset), 0
    alone = np.bincount(near.rows, minlength=len(table))[near.rows] == 1
    borders = splits.cut(sum(lengths), shares)
    parts: Parts = []
    for length, uncopied in zip(lengths, alone.tolist(), strict=True):
        if dataset.split == "position:file":
            begin, borders = 0, splits.cut(length, shares)
        inside = {
            split: (max(low - begin, 0), min(high - begin, length))
            for split, (low, high) in borders.items()
        }
        found = {split: part for split, part in inside.items() if part[0] < part[1]}
        # Of nearly the same texts, one's test would be in the training part of another.
        parts.append(found if uncopied else {"train": (0, length)})
        begin += length
    return parts


def smallest(hashes: Sequence[str], groups: Numbers) -> list[str]:
    """The smallest hash of each row's group, by which all of them are drawn."""
    least: dict[int, str] = {}
    for value, group in zip(hashes, groups.tolist(), strict=True):
        least[group] = min(value, least.get(group, value))
    return [least[group] for group in groups.tolist()]


def _together(found: Assigned, owners: Numbers, groups: Numbers) -> Assigned:
    """Keep groups of near-duplicates in one split where items are cut by position.

    They take the most held-out split of theirs, so that nothing of it is trained on. Recordings
    that are cut themselves all train: each would have parts in every split.
    """
    result = found.copy()
    rank = np.array([SPLIT_ORDER[split] for split in SPLITS])
    of_items = groups[owners]
    several = np.flatnonzero(np.bincount(groups, minlength=len(groups)) > 1)
    by_group: dict[int, list[int]] = defaultdict(list)
    for item in np.flatnonzero(np.isin(of_items, several)).tolist():
        by_group[int(of_items[item])].append(item)
    for members in by_group.values():
        chosen = np.array(members)
        rows = len(np.unique(owners[chosen]))
        pairs = len(np.unique(np.stack([owners[chosen], found[chosen]]), axis=1).T)
        cut = pairs > rows
        ranks = rank[found[chosen]]
        result[chosen] = SPLITS.index("train" if cut else _ORDER[int(ranks.min())])
    return result


def _merged(column: Sequence[str | None], groups: Numbers) -> list[str | None]:
    """Values of a column, those that share a near-duplicate under the first of their names."""
    first: dict[str | None, int] = {}
    same = [(first.setdefault(value, row), row) for row, value in enumerate(column)]
    copies = np.stack([groups, np.arange(len(groups))], axis=1)
    edges = np.concatenate([np.array(same, dtype=np.int64).reshape(-1, 2), copies])
    found = duplicates.components(len(column), edges)
    names: dict[int, list[str]] = defaultdict(list)
    for value, group in zip(column, found.tolist(), strict=True):
        if value is None:
            return list(column)  # refused by the rule, with its own words
        names[group].append(value)
    return [min(names[group]) for group in found.tolist()]


def _numbers(found: Sequence[Split]) -> Assigned:
    return np.array([SPLITS.index(split) for split in found], dtype=np.int8)


def _shares(dataset: Dataset) -> Shares:
    return Shares(dataset.validation, dataset.test, dataset.confirmation)


def _characters(parts: Parts) -> dict[Split, int]:
    return {
        split: sum(part[split][1] - part[split][0] for part in parts if split in part)
        for split in SPLITS
    }


def _refuse_small(counts: Mapping[Split, int], dataset: Dataset) -> None:
    """Refuse splits that are empty, or too small for what models of the set are judged by."""
    confirmed = dataset.confirmation > 0
    splits.refuse_empty(counts, dataset.split, confirmation=confirmed)
    if isinstance(dataset, TextDataset):
        splits.refuse_too_short(counts, dataset.protocol.text_length)
    else:
        splits.refuse_too_few(counts, confirmation=confirmed)


def _explained(
    error: str, name: str, table: pa.Table, dataset: Dataset, near: NearDuplicates
) -> str:
    """An error with settings that work for this set, each of which was tried."""
    ways = [
        " and ".join(f"{key}: {_shown(value)}" for key, value in way.items())
        for way in itertools.islice(_working(table, dataset, near), _WAYS_SHOWN)
    ]
    advice = "; or set ".join(ways)
    advice = f"Set {advice}; or add data." if advice else "Add data."
    return f"datasets.{name}.split: {error}. {advice}"


def _working(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Iterator[dict[str, Any]]:
    known = dataset.model_dump()
    for way in _WAYS:
        if len(table) == 1 and way.get("split") == "position:file":
            continue  # the same as position
        if not set(way) <= set(known) or all(known[key] == value for key, value in way.items()):
            continue
        try:
            changed = type(dataset).model_validate({**known, **way})
            _try(table, changed, near)
        except (DataError, ValueError):
            continue
        yield {key: value for key, value in way.items() if known[key] != value}


def _try(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> None:
    """Raise what `assign` or `cut_texts` would with other settings."""
    if isinstance(dataset, TextDataset):
        _refuse_small(_characters(_text_parts(table, dataset, near)), dataset)
        return
    if isinstance(dataset, AudioDataset) and dataset.windows == "all":
        # Clips of recordings of which the first was taken so far: as many as are sure to be there.
        clips = pc.floor(pc.divide(table["seconds"], dataset.seconds)).to_numpy()
        counts = np.maximum(clips, counts_of(table)).astype(np.int64)
        place = table.column_names.index("windows")
        table = table.set_column(place, "windows", pa.array(counts))
    found = _assigned(table, dataset, near)
    inside = np.bincount(found[found != LEFT_OUT], minlength=len(SPLITS))
    _refuse_small({split: int(inside[k]) for k, split in enumerate(SPLITS)}, dataset)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
