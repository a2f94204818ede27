"""Who trains, who validates, who tests: pure functions from manifest columns to splits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from genmint.data.prepared import SPLITS, Split
from genmint.errors import DataError
from genmint.files import sha256_bytes


def by_hash(hashes: Iterable[str], validation: float, test: float) -> list[Split]:
    """Split by content: the same content lands in the same split, whatever else is in the set.

    Args:
        hashes: sha256 of each item, hex.
        validation: share of the items, 0…1.
        test: share of the items, 0…1.
    """
    return [_drawn(value, validation, test) for value in hashes]


def by_position(items: int, validation: float, test: float) -> list[Split]:
    """The first `validation` of the items validate, the last `test` test, those between train.

    What is tested follows upon what was learned, as it will in use. With validation between the
    two, an LSTM on tiny-shakespeare lost 0.2 nats a character: the test begins in a play whose
    other half only validation had.
    """
    first, second = cut(items, validation, test)
    parts: list[tuple[Split, int]] = [
        ("validation", first),
        ("train", second - first),
        ("test", items - second),
    ]
    return [split for split, count in parts for _ in range(count)]


def cut(length: int, validation: float, test: float) -> tuple[int, int]:
    """Where training and test begin in something of `length` that is cut by position."""
    # Rounded first, or 1 − 0.1 − 0.1 would put a cut of ten items at 7.
    return (
        math.floor(round(length * validation, 6)),
        math.floor(round(length * (1 - test), 6)),
    )


def official(splits: Sequence[str | None], hashes: Iterable[str], validation: float) -> list[Split]:
    """The source's own split; where it has no validation, that is cut from train by content.

    Args:
        splits: official split of each item.
        hashes: sha256 of each item, hex.
        validation: share of the official train items, 0…1.

    Raises:
        DataError: an item without official split, or with one that is none of ours.
    """
    for split in splits:
        if split not in SPLITS:
            raise DataError(
                f"split: official, but the source gives an item the split {split!r}; use hash, "
                "position or group:COLUMN, or let filename_pattern name a group (?P<split>…) "
                "of train, validation or test"
            )
    if "validation" in splits:
        return [_known(split) for split in splits]
    return [
        _drawn(value, validation, 0.0) if split == "train" else _known(split)
        for split, value in zip(splits, hashes, strict=True)
    ]


def by_group(groups: Sequence[str | None], validation: float, test: float) -> list[Split]:
    """Keep the items of a group together, with shares met as nearly as whole groups allow.

    Test is filled first, then validation: with groups from the largest down as long as they fit,
    and one more if that comes nearer to the share; at least one each.

    Args:
        groups: group of each item.
        validation: share of the items, 0…1.
        test: share of the items, 0…1.

    Raises:
        DataError: an item without group, or fewer than three groups.
    """
    sizes: Counter[str] = Counter()
    for group in groups:
        if group is None:
            raise DataError("split: group:COLUMN, but an item has no value in that column")
        sizes[group] += 1
    if len(sizes) < len(SPLITS):
        raise DataError(
            f"split: group:COLUMN needs at least three groups, one a split; found "
            f"{', '.join(sorted(sizes)) or 'none'}"
        )
    # Groups of one size are ordered by a hash, or every set would test on Zoe.
    left = sorted(sizes, key=lambda group: (-sizes[group], sha256_bytes(group.encode())))
    assigned: dict[str, Split] = {}
    wanted: tuple[tuple[Split, float], ...] = (("test", test), ("validation", validation))
    for behind, (split, share) in zip((2, 1), wanted, strict=True):
        taken = _nearest(left, sizes, share * len(groups), len(left) - behind)
        assigned.update(dict.fromkeys(taken, split))
        left = [group for group in left if group not in taken]
    return [assigned.get(group or "", "train") for group in groups]


def refuse_empty(counts: Mapping[Split, int], dataset: str, rule: str) -> None:
    """Refuse splits of which one holds nothing.

    Args:
        counts: items (or characters) of each split.
        dataset: name of the block, for the message.
        rule: its `split`.

    Raises:
        DataError: naming the empty split and what to do.
    """
    for split in SPLITS:
        if not counts.get(split):
            shown = ", ".join(f"{name} {counts.get(name, 0)}" for name in SPLITS)
            raise DataError(
                f"datasets.{dataset}: the split {split} would be empty ({shown}; split: {rule}). "
                "Add data, or raise its share in params.yaml."
            )


def _drawn(sha256: str, validation: float, test: float) -> Split:
    # The first 64 bits of the hash as a number in [0, 1).
    position = int(sha256[:16], 16) / 2**64
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"


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
