"""Who trains, who validates, who tests: pure functions from manifest columns to splits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genmint.data.prepared import SPLITS, Split
from genmint.errors import DataError
from genmint.files import sha256_bytes


@dataclass(frozen=True)
class Shares:
    """Shares of the items that do not train, 0…1 each; the rest trains."""

    validation: float
    test: float
    confirmation: float = 0.0


def by_hash(hashes: Iterable[str], shares: Shares) -> list[Split]:
    """Split by content: the same content lands in the same split, whatever else is in the set.

    Confirmation is taken from the far end of the range of hashes, so that switching it on or off
    moves items between it and training, and leaves test and validation as they are.

    Args:
        hashes: sha256 of each item, hex.
        shares: of the items.
    """
    return [_drawn(value, shares) for value in hashes]


def by_position(items: int, shares: Shares) -> list[Split]:
    """Validation, confirmation, training and test, in this order.

    What is tested follows upon what was learned, as it will in use. With validation between the
    two, an LSTM on tiny-shakespeare lost 0.2 nats a character: the test begins in a play whose
    other half only validation had.
    """
    borders = cut(items, shares)
    return [split for split, (start, stop) in borders.items() for _ in range(start, stop)]


def cut(length: int, shares: Shares) -> dict[Split, tuple[int, int]]:
    """Where each split begins and ends in something of `length` that is cut by position."""
    # Rounded first, or 1 − 0.1 − 0.1 would put a cut of ten items at 7.
    first = math.floor(round(length * shares.validation, 6))
    second = math.floor(round(length * (shares.validation + shares.confirmation), 6))
    third = math.floor(round(length * (1 - shares.test), 6))
    return {
        "validation": (0, first),
        "confirmation": (first, second),
        "train": (second, third),
        "test": (third, length),
    }


# Items that metrics of images and audio need of a split: the kernel distance three of those that
# take the place of samples, covariances and neighbourhoods two.
_FEWEST: dict[Split, int] = {"train": 2, "validation": 3, "test": 2, "confirmation": 2}
# Lengths of a sample that a split of text must have. Noise floors compare two sets of pieces of the
# validation split, and self-BLEU needs two pieces in each.
_LENGTHS: dict[Split, int] = {"validation": 4, "test": 1}


def official(splits: Sequence[str | None], hashes: Iterable[str], shares: Shares) -> list[Split]:
    """The source's own split; what it lacks besides train is cut from train.

    Args:
        splits: official split of each item.
        hashes: sha256 of each item, hex; they decide who is cut out.
        shares: of the official train items, for the splits that the source lacks.

    Raises:
        DataError: an item without official split, or with one that is none of ours.
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
        _drawn(value, lacking) if split == "train" else _known(split)
        for split, value in zip(splits, hashes, strict=True)
    ]


def by_group(groups: Sequence[str | None], shares: Shares) -> list[Split]:
    """Keep the items of a group together, with shares met as nearly as whole groups allow.

    Test is filled first, then validation, then confirmation: with groups from the largest down as
    long as they fit, and one more if that comes nearer to the share; at least one each.

    Args:
        groups: group of each item.
        shares: of the items; confirmation may be 0, and then takes no group.

    Raises:
        DataError: an item without group, or fewer groups than splits.
    """
    wanted: list[tuple[Split, float]] = [("test", shares.test), ("validation", shares.validation)]
    if shares.confirmation:
        wanted.append(("confirmation", shares.confirmation))
    sizes: Counter[str] = Counter()
    for group in groups:
        if group is None:
            raise DataError("group:COLUMN, but an item has no value in that column")
        sizes[group] += 1
    if len(sizes) <= len(wanted):
        raise DataError(
            f"group:COLUMN needs at least {len(wanted) + 1} groups, one a split; found "
            f"{', '.join(sorted(sizes)) or 'none'} (groups that share near-duplicates count as one)"
        )
    # Groups of one size are ordered by a hash, or every set would test on Zoe.
    left = sorted(sizes, key=lambda group: (-sizes[group], sha256_bytes(group.encode())))
    assigned: dict[str, Split] = {}
    for number, (split, share) in enumerate(wanted):
        behind = len(wanted) - number  # groups that must be left for the others
        taken = _nearest(left, sizes, share * len(groups), len(left) - behind)
        assigned.update(dict.fromkeys(taken, split))
        left = [group for group in left if group not in taken]
    return [assigned.get(group or "", "train") for group in groups]


def refuse_empty(counts: Mapping[Split, int], rule: str, *, confirmation: bool) -> None:
    """Refuse splits of which one holds nothing.

    Args:
        counts: items (or characters) of each split.
        rule: `split` of the data set.
        confirmation: whether that split is wanted at all.

    Raises:
        DataError: naming the empty split.
    """
    for split in SPLITS:
        if not counts.get(split) and (confirmation or split != "confirmation"):
            shown = ", ".join(f"{name} {counts.get(name, 0)}" for name in SPLITS)
            raise DataError(f"{rule} would leave the split {split} empty ({shown})")


def _drawn(sha256: str, shares: Shares) -> Split:
    # The first 64 bits of the hash as a number in [0, 1).
    position = int(sha256[:16], 16) / 2**64
    if position < shares.test:
        return "test"
    if position < shares.test + shares.validation:
        return "validation"
    # Strictly, since the highest hashes round to 1 and a share of 0 must stay empty.
    return "confirmation" if 1 - position < shares.confirmation else "train"


def _known(split: str | None) -> Split:
    return next(known for known in SPLITS if known == split)


def _nearest(groups: Sequence[str], sizes: Counter[str], wanted: float, at_most: int) -> list[str]:
    """Groups whose sizes sum to about `wanted`, at least one and not more than `at_most`."""
    taken: list[str] = []
    total = 0
    for group in groups:
        if len(taken) < at_most and total + sizes[group] <= wanted:
            taken.append(group)
            total += sizes[group]
    left = [group for group in groups if group not in taken]
    # One group too many can still be nearer than one too few.
    last = min(left, key=lambda group: abs(total + sizes[group] - wanted))
    nearer = abs(total + sizes[last] - wanted) < abs(total - wanted)
    return [*taken, last] if not taken or (nearer and len(taken) < at_most) else taken


def refuse_too_few(counts: Mapping[Split, int], *, confirmation: bool) -> None:
    """Refuse splits with fewer items than the metrics of images and audio need.

    Args:
        counts: items of each split.
        confirmation: whether that split is wanted at all.

    Raises:
        DataError: names the split and what it would have.
    """
    for split, needed in _FEWEST.items():
        if counts.get(split, 0) < needed and (confirmation or split != "confirmation"):
            raise DataError(
                f"the split {split} would have {counts.get(split, 0)} of the items, and metrics "
                f"need {needed}"
            )


def refuse_too_short(counts: Mapping[Split, int], length: int) -> None:
    """Refuse splits of a text that are too short to judge samples by.

    Args:
        counts: characters of each split.
        length: of each text that a model draws, `protocol.sample_length`.

    Raises:
        DataError: names the split, what it would have, and a length that fits.
    """
    for split, times in _LENGTHS.items():
        found = counts.get(split, 0)
        if found < times * length:
            raise DataError(
                f"the split {split} would have {found} characters, and samples of {length} need "
                f"{times * length} (protocol.sample_length: {max(1, found // times)} would do)"
            )
