"""Split rules, as pure functions from manifest columns to splits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genmint.common.errors import DataError
from genmint.common.files import sha256_bytes
from genmint.data.prepared import SPLITS, Split


@dataclass(frozen=True)
class Shares:
    """Fractions of the items in each held-out split, 0…1 each; the rest is the training split."""

    validation: float
    test: float
    confirmation: float = 0.0


def by_hash(hashes: Iterable[str], shares: Shares) -> list[Split]:
    """Split by content hash; equal content always gets the same split, whatever else is in the set.

    Confirmation uses the upper end of the hash range. Switching it on or off moves items between it
    and training only, and leaves test and validation unchanged.

    Args:
        hashes: sha256 of each item, hex.
        shares: fractions of the splits.
    """
    return [split_of_hash(value, shares) for value in hashes]


def by_position(items: int, shares: Shares) -> list[Split]:
    """Split by order, with the latest items as test; see `cut_by_position`."""
    return [
        split for split, start, stop in cut_by_position(items, shares) for _ in range(start, stop)
    ]


def cut_by_position(length: int, shares: Shares, unit: int = 1) -> list[tuple[Split, int, int]]:
    """Cut a sequence by position, so that training data are never held out later.

    The end is the test split, so testing continues the training data as in later use. The part
    before is divided into sections, each half as long as all previous ones together. A section
    consists of validation, confirmation and training data, in this order. Section boundaries do not
    depend on the length. When data are appended, test moves on, and the data it leaves are new to
    every model. The fractions of validation and confirmation vary by about a quarter with the
    length.

    Args:
        length: total length.
        shares: fractions of the total length.
        unit: section boundaries are multiples of it; larger for characters than for items.

    Returns:
        Split, start and stop of each part, in order and without gaps; none is empty.
    """
    # Without rounding, 1 − 0.1 − 0.1 would put a cut of ten items at 7.
    end = math.floor(round(length * (1 - shares.test), 6))
    borders: list[tuple[Split, int]] = []
    begin, section = 0, _FIRST_SECTION * unit
    while begin < end:
        first = _share(section, shares.validation, unit) - _share(begin, shares.validation, unit)
        second = _share(section, shares.confirmation, unit)
        second -= _share(begin, shares.confirmation, unit)
        borders += [("validation", begin + first), ("confirmation", begin + first + second)]
        borders.append(("train", section))
        begin, section = section, -(-section * 3 // (2 * unit)) * unit
    borders.append(("test", length))
    parts: list[tuple[Split, int, int]] = []
    start = 0
    for split, border in borders:
        stop = length if split == "test" else min(border, end)
        if start < stop:
            # Merge a part with the previous one if both have the same split.
            first = parts.pop()[1] if parts and parts[-1][0] == split else start
            parts.append((split, first, stop))
            start = stop
    return parts


def _share(position: int, share: float, unit: int) -> int:
    """Return a fraction of all positions before `position`, in whole units."""
    return round(round(position * share / unit, 6)) * unit


LEAST_HELD_OUT: tuple[Split, ...] = ("train", "validation", "confirmation", "test")
# Length of the first section in units (items, or units of characters).
_FIRST_SECTION = 8
# Minimum number of items for image and audio metrics: the kernel distance needs three items in
# place of samples, covariances and neighbourhoods need two.
_FEWEST: dict[Split, int] = {"train": 2, "validation": 3, "test": 2, "confirmation": 2}
# Minimum length of a text split in sample lengths. Noise floors compare two sets of pieces of the
# validation split, and self-BLEU needs two pieces in each.
_LENGTHS: dict[Split, int] = {"validation": 4, "test": 1}


def official(splits: Sequence[str | None], hashes: Iterable[str], shares: Shares) -> list[Split]:
    """Use the source's official split; cut splits that it lacks from the training items.

    Args:
        splits: official split of each item.
        hashes: sha256 of each item, hex; they decide which items are cut out.
        shares: fractions of the official training items, for the missing splits.

    Raises:
        DataError: an item has no official split, or an unknown one.
    """
    for split in splits:
        if split not in SPLITS:
            raise DataError(
                "official, but the source "
                + ("has no splits" if split is None else f"gives an item the split {split!r}")
                + "; for files, let filename_pattern name a group (?P<split>…) that takes a folder "
                "or a part of the name: train, validation, test or confirmation"
            )
    lacking = Shares(
        validation=0.0 if "validation" in splits else shares.validation,
        test=0.0 if "test" in splits else shares.test,
        confirmation=0.0 if "confirmation" in splits else shares.confirmation,
    )
    return [
        split_of_hash(value, lacking) if split == "train" else _known(split)
        for split, value in zip(splits, hashes, strict=True)
    ]


def by_group(groups: Sequence[str | None], shares: Shares) -> list[Split]:
    """Split whole groups by the hash of their name; a new group moves no other out of training.

    Fractions refer to the number of groups, whatever their sizes. If no group is drawn for a split,
    it gets the nearest one: test, then validation, from the low hashes, confirmation from the high
    ones. With further groups these can only move to training.

    Args:
        groups: group of each item.
        shares: fractions of the groups; confirmation may be 0 and then gets no group.

    Raises:
        DataError: an item has no group, or there are fewer groups than splits.
    """
    names = set(groups)
    if None in names:
        raise DataError("group:COLUMN, but an item has no value in that column")
    wanted = 4 if shares.confirmation else 3
    if len(names) < wanted:
        raise DataError(
            f"group:COLUMN needs at least {wanted} groups, one per split; found "
            f"{', '.join(sorted(str(name) for name in names)) or 'none'} (groups that share "
            "near-duplicates count as one)"
        )
    places = {name: _place(sha256_bytes(str(name).encode())) for name in names}
    ordered = sorted(places, key=lambda name: (places[name], str(name)))
    # Groups available to the remaining splits, including training.
    left = len(names) - wanted
    splits = [_drawn_at(places[name], shares) for name in ordered]
    test = min(max(1, splits.count("test")), 1 + left)
    left -= test - 1
    low = splits.count("test") + splits.count("validation")
    validation = min(max(1, low - test), 1 + left)
    left -= validation - 1
    confirmation = 0
    if shares.confirmation:
        confirmation = min(max(1, splits.count("confirmation")), 1 + left)
    train = len(names) - test - validation - confirmation
    counts: dict[Split, int] = {
        "test": test, "validation": validation, "train": train, "confirmation": confirmation,
    }  # fmt: skip
    pool = [split for split, count in counts.items() for _ in range(count)]
    assigned = dict(zip(ordered, pool, strict=True))
    return [assigned[group] for group in groups]


def least_held_out(splits: Sequence[Split], groups: Sequence[int]) -> list[Split]:
    """Give each group the least held-out split of its members.

    A group in the training split stays there when others join it.

    Args:
        splits: split of each member.
        groups: group of each member.
    """
    kept: dict[int, Split] = {}
    for split, group in zip(splits, groups, strict=True):
        kept[group] = min(kept.get(group, split), split, key=LEAST_HELD_OUT.index)
    return [kept[group] for group in groups]


def refuse_empty(counts: Mapping[Split, int], rule: str, *, confirmation: bool) -> None:
    """Check that no split is empty.

    Args:
        counts: number of items (or characters) of each split.
        rule: `split` of the data set.
        confirmation: whether a confirmation split is required.

    Raises:
        DataError: a split is empty; the message names it.
    """
    for split in SPLITS:
        if not counts.get(split) and (confirmation or split != "confirmation"):
            shown = ", ".join(f"{name} {counts.get(name, 0)}" for name in SPLITS)
            raise DataError(f"{rule} would leave the split {split} empty ({shown})")


def split_of_hash(sha256: str, shares: Shares) -> Split:
    """Return the split for a hash, hex."""
    return _drawn_at(_place(sha256), shares)


def _place(sha256: str) -> float:
    """Return the first 64 bits of a hash as a number in [0, 1]."""
    return int(sha256[:16], 16) / 2**64


def _drawn_at(position: float, shares: Shares) -> Split:
    if position < shares.test:
        return "test"
    if position < shares.test + shares.validation:
        return "validation"
    # Strict inequality, since the highest hashes round to 1 and a fraction of 0 must stay empty.
    return "confirmation" if 1 - position < shares.confirmation else "train"


def _known(split: str | None) -> Split:
    return next(known for known in SPLITS if known == split)


def refuse_too_few(counts: Mapping[Split, int], *, confirmation: bool) -> None:
    """Check that every split has the number of items that image and audio metrics need.

    Args:
        counts: number of items of each split.
        confirmation: whether a confirmation split is required.

    Raises:
        DataError: a split has too few items; the message names it and its size.
    """
    for split, needed in _FEWEST.items():
        if counts.get(split, 0) < needed and (confirmation or split != "confirmation"):
            raise DataError(
                f"the split {split} would have {counts.get(split, 0)} of the items, and metrics "
                f"need {needed}"
            )


def refuse_too_short(counts: Mapping[Split, int], length: int) -> None:
    """Check that the splits of a text are long enough to evaluate samples.

    Args:
        counts: number of characters of each split.
        length: length of each sampled text, `protocol.sample_length`.

    Raises:
        DataError: a split is too short; the message gives its length and a sample length that fits.
    """
    for split, times in _LENGTHS.items():
        available = counts.get(split, 0)
        if available < times * length:
            raise DataError(
                f"the split {split} would have {available} characters, and samples of {length} "
                f"need {times * length} (protocol.sample_length: "
                f"{max(1, available // times)} would do)"
            )
