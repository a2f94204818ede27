"""Splits: the same content, copies and groups never stand on two sides."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmint.common.errors import DataError
from genmint.common.files import sha256_bytes
from genmint.data.prepared import SPLITS
from genmint.data.splitting import splits
from genmint.data.splitting.splits import Shares

contents = st.lists(st.binary(max_size=4), min_size=1, max_size=60)
shares = st.builds(
    Shares, st.floats(0.01, 0.45), st.floats(0.01, 0.4), st.just(0.0) | st.floats(0.01, 0.1)
)
names = st.text("abcdefgh", min_size=1, max_size=2)


def hashes_of(items):
    return [sha256_bytes(item) for item in items]


@given(contents, contents, shares)
def test_an_item_lands_in_the_same_split_whatever_else_is_there(items, others, share):
    alone = splits.by_hash(hashes_of(items), share)
    together = splits.by_hash(hashes_of([*others, *items]), share)
    assert together[len(others) :] == alone


@given(contents, shares)
def test_copies_never_straddle(items, share):
    hashes = hashes_of([*items, *reversed(items)])
    found = {}
    for value, split in zip(hashes, splits.by_hash(hashes, share), strict=True):
        assert found.setdefault(value, split) == split


@given(contents, shares)
def test_confirmation_is_taken_from_training_alone(items, share):
    hashes = hashes_of(items)
    without = splits.by_hash(hashes, Shares(share.validation, share.test))
    for before, after in zip(without, splits.by_hash(hashes, share), strict=True):
        assert after == before or (before, after) == ("train", "confirmation")


@pytest.mark.parametrize(
    "share", [Shares(0.1, 0.1), Shares(0.05, 0.3, 0.1), Shares(0.4, 0.4, 0.05)]
)
def test_hash_keeps_the_shares(share):
    hashes = [sha256_bytes(str(number).encode()) for number in range(20_000)]
    counts = Counter(splits.by_hash(hashes, share))
    for split in ("validation", "test", "confirmation"):
        assert counts[split] / 20_000 == pytest.approx(getattr(share, split), abs=0.012)


@given(st.integers(0, 5000), shares, st.sampled_from([1, 64]))
def test_position_cuts_in_order_and_loses_nothing(length, share, unit):
    parts = splits.cut_by_position(length, share, unit)
    assert [start for _, start, _ in parts] == [0, *(stop for _, _, stop in parts)][: len(parts)]
    assert sum(stop - start for _, start, stop in parts) == length
    assert all(one[0] != other[0] for one, other in itertools.pairwise(parts))
    counts = Counter(splits.by_position(length, share))
    assert counts.total() == length
    assert abs(counts["test"] - share.test * length) <= 1
    if length:
        assert parts[-1] == ("test", length - counts["test"], length) or not counts["test"]


@given(st.integers(0, 3000), st.integers(0, 3000), shares, st.sampled_from([1, 64]))
def test_what_trained_by_position_is_never_held_out_when_more_is_added(length, more, share, unit):
    def by_place(length):
        return [split for split, start, stop in splits.cut_by_position(length, share, unit)
                for _ in range(start, stop)]  # fmt: skip

    for before, after in zip(by_place(length), by_place(length + more), strict=False):
        assert after == before or before == "test"


@pytest.mark.parametrize("length", [100, 1000, 12_345, 1_000_000])
def test_position_comes_near_the_shares(length):
    share = Shares(0.1, 0.1, 0.05)
    counts = Counter(splits.by_position(length, share))
    for split in ("validation", "confirmation"):
        assert counts[split] / length == pytest.approx(getattr(share, split), rel=0.3)


def test_position_cuts_where_arithmetic_says():
    # Sections end at 8, 12, 18, 27, …; a tenth of each validates, as far as whole items can.
    assert splits.cut_by_position(20, Shares(0.1, 0.1)) == [
        ("validation", 0, 1), ("train", 1, 12), ("validation", 12, 13), ("train", 13, 18),
        ("test", 18, 20),
    ]  # fmt: skip
    found = splits.cut_by_position(1_115_394, Shares(0.1, 0.1, 0.02), 64)
    assert found[-1] == ("test", 1_003_854, 1_115_394)
    # The test split goes on where training ended.
    assert found[-2][0] == "train"
    assert len(found) < 60


@given(st.lists(names, min_size=3, max_size=200), shares)
def test_groups_never_straddle_and_no_split_is_empty(groups, share):
    wanted = set(SPLITS) if share.confirmation else set(SPLITS) - {"confirmation"}
    if len(set(groups)) < len(wanted):
        with pytest.raises(DataError, match=f"at least {len(wanted)} groups"):
            splits.by_group(groups, share)
        return
    found = splits.by_group(groups, share)
    assert set(found) == wanted
    sides = {}
    for group, split in zip(groups, found, strict=True):
        assert sides.setdefault(group, split) == split
    shuffled = splits.by_group(groups[::-1], share)
    assert shuffled[::-1] == found


@given(st.sets(names, min_size=4, max_size=60), st.sets(names, max_size=60), shares)
def test_a_group_that_trained_is_never_held_out_when_others_come(first, more, share):
    before = dict(zip(first, splits.by_group(list(first), share), strict=True))
    groups = sorted(first | more)
    after = dict(zip(groups, splits.by_group(groups, share), strict=True))
    drawn = Counter(splits.by_hash(hashes_of(name.encode() for name in first), share))
    # Only where shares leave too few groups for the splits behind are some taken from these.
    crowded = len(first) - sum(max(1, drawn[split]) for split in SPLITS if split != "train") < 1
    if not crowded:
        for group in first:
            assert before[group] != "train" or after[group] == "train"


def test_shares_of_groups_are_met_by_their_number():
    groups = [f"speaker{number}" for number in range(2000) for _ in range(number % 3)]
    counts = Counter(splits.by_group(groups, Shares(0.1, 0.2, 0.05)))
    for split, wanted in (("confirmation", 0.05), ("test", 0.2), ("validation", 0.1)):
        assert counts[split] / len(groups) == pytest.approx(wanted, abs=0.02)


@given(st.lists(st.tuples(st.sampled_from(SPLITS), st.integers(0, 5)), max_size=40))
def test_a_group_gets_the_least_held_out_of_its_splits(members):
    order = ["train", "validation", "confirmation", "test"]
    found = splits.least_held_out(*zip(*members, strict=True)) if members else []
    for (_, group), split in zip(members, found, strict=True):
        assert split == min((one for one, other in members if other == group), key=order.index)


def test_a_fourth_group_is_asked_for_only_by_confirmation():
    groups = ["ann", "bob", "eve"]
    assert Counter(splits.by_group(groups, Shares(0.3, 0.3))) == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    with pytest.raises(DataError, match=r"at least 4 groups.*ann, bob, eve"):
        splits.by_group(groups, Shares(0.3, 0.3, 0.05))


def test_an_item_without_group_is_an_error():
    with pytest.raises(DataError, match="no value in that column"):
        splits.by_group(["a", None, "b", "c"], Shares(0.1, 0.1))


@given(st.lists(st.sampled_from(["train", "test"]), min_size=1, max_size=200))
def test_official_test_stays_and_validation_comes_from_train(given_splits):
    hashes = [sha256_bytes(str(number).encode()) for number in range(len(given_splits))]
    found = splits.official(given_splits, hashes, Shares(0.3, 0.4, 0.1))
    for before, after in zip(given_splits, found, strict=True):
        held_out = ("train", "validation", "confirmation")
        if "test" in given_splits:
            assert after == "test" if before == "test" else after in held_out
    # A source without test items has them cut from train, like the others.
    hashed = splits.by_hash(hashes, Shares(0.3, 0.0 if "test" in given_splits else 0.4, 0.1))
    assert [a for b, a in zip(given_splits, found, strict=True) if b == "train"] == [
        a for b, a in zip(given_splits, hashed, strict=True) if b == "train"
    ]


def test_official_validation_is_taken_where_there_is_one():
    given_splits = ["train", "validation", "test", "train"] * 20
    # A hash at the far end would be confirmation, one at the near end validation.
    assert splits.official(given_splits, ["0" * 64] * 80, Shares(0.5, 0.5, 0.1)) == given_splits
    found = splits.official(given_splits, ["f" * 64] * 80, Shares(0.5, 0.5, 0.1))
    assert Counter(found) == {"confirmation": 40, "validation": 20, "test": 20}
    given_splits = ["train", "confirmation", "test", "train"] * 20
    assert splits.official(given_splits, ["f" * 64] * 80, Shares(0.1, 0.5, 0.1)) == given_splits


@pytest.mark.parametrize("wrong", [None, "dev"])
def test_official_needs_a_split_that_we_know(wrong):
    with pytest.raises(DataError, match="official, but the source"):
        splits.official(["train", wrong], ["0" * 64] * 2, Shares(0.1, 0.1))


@pytest.mark.parametrize("empty", SPLITS)
def test_an_empty_split_is_refused_by_name(empty):
    counts = {split: 0 if split == empty else 5 for split in SPLITS}
    with pytest.raises(DataError, match=f"hash would leave the split {empty} empty"):
        splits.refuse_empty(counts, "hash", confirmation=True)
    splits.refuse_empty(dict.fromkeys(SPLITS, 1), "hash", confirmation=True)


def test_confirmation_may_be_empty_where_it_is_switched_off():
    counts = {split: 0 if split == "confirmation" else 5 for split in SPLITS}
    splits.refuse_empty(counts, "hash", confirmation=False)
    with pytest.raises(DataError, match="would leave the split test empty"):
        splits.refuse_empty({**counts, "test": 0}, "hash", confirmation=False)


def test_splits_too_small_for_the_metrics_are_refused():
    enough = {"train": 2, "validation": 3, "test": 2, "confirmation": 2}
    splits.refuse_too_few(enough, confirmation=True)
    splits.refuse_too_few({**enough, "confirmation": 0}, confirmation=False)
    for split, needed in enough.items():
        with pytest.raises(DataError) as caught:
            splits.refuse_too_few({**enough, split: needed - 1}, confirmation=True)
        assert str(caught.value).startswith(
            f"the split {split} would have {needed - 1} of the items, and metrics need {needed}"
        )


def test_texts_too_short_for_the_protocol_are_refused_with_a_length_that_works():
    counts = {"train": 9, "validation": 400, "test": 100}
    splits.refuse_too_short(counts, 100)
    with pytest.raises(DataError, match=r"validation would have 399 .*sample_length: 99 would do"):
        splits.refuse_too_short({**counts, "validation": 399}, 100)
    splits.refuse_too_short({**counts, "validation": 399}, 99)
    with pytest.raises(DataError, match=r"test would have 99 .*sample_length: 99 would do"):
        splits.refuse_too_short({**counts, "test": 99}, 100)
    splits.refuse_too_short({**counts, "test": 99}, 99)
