"""Assignment of manifest items to splits, with all copies of an item in one split."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from genmint.common.errors import DataError
from genmint.common.files import sha256_bytes
from genmint.config import AudioDataset, Dataset, TextDataset
from genmint.data.prepared import SPLITS, Split
from genmint.data.splitting import duplicates, splits
from genmint.data.splitting.duplicates import NearDuplicates, Numbers
from genmint.data.splitting.splits import Shares

Assigned = npt.NDArray[np.int8]
# For each document the split of each of its parts, with start and stop.
Parts = list[list[tuple[Split, int, int]]]

# Value of an item that is left out: a near-duplicate of an item in a more held-out official split.
LEFT_OUT = -1
# Characters of a text that stay together when it is cut by position.
_UNIT = 64
_WAYS_SHOWN = 2
# Settings that a message may suggest, in order of preference; each is tested before.
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
    """Return the near-duplicate groups of manifest rows, from their `item` and `sketch`."""
    return duplicates.find_near_duplicates(
        table["item"].to_pylist(),
        table["sketch"].to_pylist(),
        counts_of(table),
        dataset.kind,
        dataset.near_duplicates,
    )


def counts_of(table: pa.Table) -> Numbers:
    """Return the number of items per row: clips of a recording, otherwise 1; int64 N."""
    windows = table["windows"].to_numpy() if "windows" in table.column_names else 1
    return np.zeros(len(table), dtype=np.int64) + windows


def assign(name: str, table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Assigned:
    """Return the split of each item, as an index into SPLITS or LEFT_OUT; int8 M.

    Args:
        name: name of the data set, for messages.
        table: valid rows of the manifest.
        dataset: data set entry; images or audio.
        near: near-duplicate groups of the rows.

    Raises:
        DataError: a split would be empty, or the rule does not fit the set; the message suggests
            settings.
    """
    try:
        numbers = _assigned(table, dataset, near)
        inside = numbers[numbers != LEFT_OUT]
        counts = np.bincount(inside, minlength=len(SPLITS))
        _refuse_small({split: int(counts[k]) for k, split in enumerate(SPLITS)}, dataset)
    except DataError as error:
        raise DataError(_explained(str(error), name, table, dataset, near)) from None
    return numbers


def cut_texts(name: str, table: pa.Table, dataset: TextDataset, near: NearDuplicates) -> Parts:
    """Return start and stop of each split in each document, in characters.

    Raises:
        DataError: a split would be empty, or the rule does not fit the set; the message suggests
            settings.
    """
    try:
        parts = _text_parts(table, dataset, near)
        _refuse_small(_characters(parts), dataset)
    except DataError as error:
        raise DataError(_explained(str(error), name, table, dataset, near)) from None
    return parts


def _assigned(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Assigned:
    """Return the split of each item, without checking for empty splits."""
    counts = counts_of(table)
    shares = _shares(dataset)
    owners = np.repeat(np.arange(len(table)), counts)
    if dataset.split == "position":
        return _together(_numbers(splits.by_position(len(owners), shares)), owners, near.rows)
    if dataset.split == "position:file":
        each = [_numbers(splits.by_position(int(count), shares)) for count in counts]
        numbers = np.concatenate(each) if each else np.zeros(0, dtype=np.int8)
        return _together(numbers, owners, near.rows)
    return np.repeat(_whole(table, dataset, near), counts)


def _whole(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Assigned:
    """Return the split of each row under a rule that does not cut rows."""
    shares = _shares(dataset)
    if dataset.split == "official":
        return _official(table, dataset, near)
    if dataset.group_column is not None:
        column = table[dataset.group_column].to_pylist()
        return _numbers(splits.by_group(_merged(column, near.rows, shares), shares))
    drawn = splits.by_hash(_drawn_by(table, dataset), shares)
    return _numbers(splits.least_held_out(drawn, near.rows.tolist()))


def _official(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> Assigned:
    known = table["split"].to_pylist()
    hashes = _drawn_by(table, dataset)
    drawn = _numbers(splits.official(known, hashes, _shares(dataset)))
    out = duplicates.against_official(known, near.rows)
    # Official assignments are kept; only splits cut from the official training items are drawn.
    free = np.array([split == "train" for split in known], dtype=bool)
    free[out] = False
    inside = [SPLITS[k] for k in drawn[free].tolist()]
    drawn[free] = _numbers(splits.least_held_out(inside, near.rows[free].tolist()))
    drawn[out] = LEFT_OUT
    return drawn


def _drawn_by(table: pa.Table, dataset: Dataset) -> list[str]:
    """Return the hash, hex, that decides each row's split.

    It is the hash of the content, or of the name if the content may grow.
    """
    grows = isinstance(dataset, TextDataset) or (
        isinstance(dataset, AudioDataset) and dataset.windows == "all"
    )
    if not grows:
        return list(table["sha256"].to_pylist())
    return [sha256_bytes(name.encode(errors="surrogateescape")) for name in table["id"].to_pylist()]


def _text_parts(table: pa.Table, dataset: TextDataset, near: NearDuplicates) -> Parts:
    lengths: list[int] = table["characters"].to_pylist()
    if not dataset.split.startswith("position"):
        whole = _whole(table, dataset, near).tolist()
        return [
            [] if k == LEFT_OUT else [(SPLITS[k], 0, length)]
            for k, length in zip(whole, lengths, strict=True)
        ]
    shares, begin = _shares(dataset), 0
    alone = np.bincount(near.rows, minlength=len(table))[near.rows] == 1
    borders = splits.cut_by_position(sum(lengths), shares, _UNIT)
    parts: Parts = []
    for length, uncopied in zip(lengths, alone.tolist(), strict=True):
        if dataset.split == "position:file":
            begin, borders = 0, splits.cut_by_position(length, shares, _UNIT)
        inside = (
            (split, max(low - begin, 0), min(high - begin, length)) for split, low, high in borders
        )
        segments = [(split, low, high) for split, low, high in inside if low < high]
        # Otherwise the test part of one text would be in the training part of its near-duplicate.
        parts.append(segments if uncopied else [("train", 0, length)])
        begin += length
    return parts


def _together(numbers: Assigned, owners: Numbers, groups: Numbers) -> Assigned:
    """Put near-duplicates into one split when items are cut by position.

    Groups that contain a cut recording go to train entirely, since each recording has parts in
    every split.
    """
    result = numbers.copy()
    of_items = groups[owners]
    several = np.flatnonzero(np.bincount(groups, minlength=len(groups)) > 1)
    by_group: dict[int, list[int]] = defaultdict(list)
    for item in np.flatnonzero(np.isin(of_items, several)).tolist():
        by_group[int(of_items[item])].append(item)
    for members in by_group.values():
        chosen = np.array(members)
        rows = len(np.unique(owners[chosen]))
        pairs = len(np.unique(np.stack([owners[chosen], numbers[chosen]]), axis=1).T)
        cut = pairs > rows
        inside = [SPLITS[k] for k in numbers[chosen].tolist()]
        kept = "train" if cut else splits.least_held_out(inside, [0] * len(inside))[0]
        result[chosen] = SPLITS.index(kept)
    return result


def _merged(column: Sequence[str | None], groups: Numbers, shares: Shares) -> list[str | None]:
    """Merge values of a column that share near-duplicates under one of their names.

    It is the name whose hash gives the least held-out split. A group in the training split
    therefore stays there when another group is merged with it.
    """
    first: dict[str | None, int] = {}
    same = [(first.setdefault(value, row), row) for row, value in enumerate(column)]
    copies = np.stack([groups, np.arange(len(groups))], axis=1)
    edges = np.concatenate([np.array(same, dtype=np.int64).reshape(-1, 2), copies])
    components = duplicates.components(len(column), edges)
    names: dict[int, set[str]] = defaultdict(set)
    for value, group in zip(column, components.tolist(), strict=True):
        if value is None:
            return list(column)  # the split rule rejects it with its own message
        names[group].add(value)

    def held_out(name: str) -> tuple[int, str]:
        split = splits.split_of_hash(sha256_bytes(name.encode()), shares)
        return splits.LEAST_HELD_OUT.index(split), name

    kept = {group: min(members, key=held_out) for group, members in names.items()}
    return [kept[group] for group in components.tolist()]


def _numbers(assigned: Sequence[Split]) -> Assigned:
    return np.array([SPLITS.index(split) for split in assigned], dtype=np.int8)


def _shares(dataset: Dataset) -> Shares:
    return Shares(dataset.validation, dataset.test, dataset.confirmation)


def _characters(parts: Parts) -> dict[Split, int]:
    counts = dict.fromkeys(SPLITS, 0)
    for split, start, stop in itertools.chain.from_iterable(parts):
        counts[split] += stop - start
    return counts


def _refuse_small(counts: Mapping[Split, int], dataset: Dataset) -> None:
    """Check that no split is empty or too small for the metrics of the data set."""
    confirmed = dataset.confirmation > 0
    splits.refuse_empty(counts, dataset.split, confirmation=confirmed)
    if isinstance(dataset, TextDataset):
        splits.refuse_too_short(counts, dataset.protocol.text_length)
    else:
        splits.refuse_too_few(counts, confirmation=confirmed)


def _explained(
    error: str, name: str, table: pa.Table, dataset: Dataset, near: NearDuplicates
) -> str:
    """Append settings to an error that were tested to work for this data set."""
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
            continue  # equivalent to position
        if not set(way) <= set(known) or all(known[key] == value for key, value in way.items()):
            continue
        try:
            changed = type(dataset).model_validate({**known, **way})
            _try(table, changed, near)
        except (DataError, ValueError):
            continue
        yield {key: value for key, value in way.items() if known[key] != value}


def _try(table: pa.Table, dataset: Dataset, near: NearDuplicates) -> None:
    """Raise the error that `assign` or `cut_texts` would raise with other settings."""
    if isinstance(dataset, TextDataset):
        _refuse_small(_characters(_text_parts(table, dataset, near)), dataset)
        return
    if isinstance(dataset, AudioDataset) and dataset.windows == "all":
        # Lower bound for the number of clips, since so far only the first clip was taken.
        clips = pc.floor(pc.divide(table["seconds"], dataset.seconds)).to_numpy()
        counts = np.maximum(clips, counts_of(table)).astype(np.int64)
        place = table.column_names.index("windows")
        table = table.set_column(place, "windows", pa.array(counts))
    numbers = _assigned(table, dataset, near)
    inside = np.bincount(numbers[numbers != LEFT_OUT], minlength=len(SPLITS))
    _refuse_small({split: int(inside[k]) for k, split in enumerate(SPLITS)}, dataset)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
