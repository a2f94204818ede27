"""Splits: the same content, copies and groups never stand on two sides."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmint.data import splits
from genmint.data.prepared import SPLITS
from genmint.errors import DataError
from genmint.files import sha256_bytes

contents = st.lists(st.binary(max_size=4), min_size=1, max_size=60)
shares = st.tuples(st.floats(0.01, 0.45), st.floats(0.01, 0.45))
names = st.text("abcdefgh", min_size=1, max_size=2)


def hashes_of(items):
    return [sha256_bytes(item) for item in items]


@given(contents, contents, shares)
def test_an_item_lands_in_the_same_split_whatever_else_is_there(items, others, share):
    alone = splits.by_hash(hashes_of(items), *share)
    together = splits.by_hash(hashes_of([*others, *items]), *share)
    assert together[len(others) :] == alone


@given(contents, shares)
def test_copies_never_straddle(items, share):
    hashes = hashes_of([*items, *reversed(items)])
    found = {}
    for value, split in zip(hashes, splits.by_hash(hashes, *share), strict=True):
        assert found.setdefault(value, split) == split


@pytest.mark.parametrize("share", [(0.1, 0.1), (0.05, 0.3), (0.4, 0.4)])
def test_hash_keeps_the_shares(share):
    hashes = [sha256_bytes(str(number).encode()) for number in range(20_000)]
    counts = Counter(splits.by_hash(hashes, *share))
    assert counts["validation"] / 20_000 == pytest.approx(share[0], abs=0.012)
    assert counts["test"] / 20_000 == pytest.approx(share[1], abs=0.012)


@given(st.integers(0, 5000), shares)
def test_position_cuts_in_order_and_loses_nothing(length, share):
    found = splits.by_position(length, *share)
    assert len(found) == length
    assert found == sorted(found, key=["validation", "train", "test"].index)
    counts = Counter(found)
    assert abs(counts["test"] - share[1] * length) <= 1
    assert abs(counts["validation"] - share[0] * length) <= 1


def test_position_cuts_where_arithmetic_says():
    assert splits.cut(10, 0.1, 0.1) == (1, 9)
    assert splits.cut(10, 0.3, 0.7) == (3, 3)
    assert splits.cut(1_115_394, 0.1, 0.1) == (111_539, 1_003_854)


@given(st.lists(names, min_size=3, max_size=200), shares)
def test_groups_never_straddle_and_no_split_is_empty(groups, share):
    if len(set(groups)) < 3:
        with pytest.raises(DataError, match="at least three groups"):
            splits.by_group(groups, *share)
        return
    found = splits.by_group(groups, *share)
    assert set(found) == set(SPLITS)
    sides = {}
    for group, split in zip(groups, found, strict=True):
        assert sides.setdefault(group, split) == split
    shuffled = splits.by_group(groups[::-1], *share)
    assert shuffled[::-1] == found


def test_groups_meet_the_shares_as_nearly_as_they_can():
    groups = [f"speaker{number}" for number in range(50) for _ in range(number + 1)]
    counts = Counter(splits.by_group(groups, 0.1, 0.2))
    assert counts["test"] / len(groups) == pytest.approx(0.2, abs=0.01)
    assert counts["validation"] / len(groups) == pytest.approx(0.1, abs=0.01)


def test_one_large_group_trains():
    groups = ["big"] * 90 + ["small"] * 5 + ["tiny"] * 5
    found = dict(zip(groups, splits.by_group(groups, 0.1, 0.1), strict=True))
    assert found["big"] == "train"
    assert {found["small"], found["tiny"]} == {"validation", "test"}


def test_an_item_without_group_is_an_error():
    with pytest.raises(DataError, match="no value in that column"):
        splits.by_group(["a", None, "b", "c"], 0.1, 0.1)


@given(st.lists(st.sampled_from(["train", "test"]), min_size=1, max_size=200))
def test_official_test_stays_and_validation_comes_from_train(given_splits):
    hashes = [sha256_bytes(str(number).encode()) for number in range(len(given_splits))]
    found = splits.official(given_splits, hashes, 0.3)
    for before, after in zip(given_splits, found, strict=True):
        assert after == "test" if before == "test" else after in ("train", "validation")


def test_official_validation_is_taken_where_there_is_one():
    given_splits = ["train", "validation", "test", "train"] * 20
    assert splits.official(given_splits, ["f" * 64] * 80, 0.5) == given_splits


@pytest.mark.parametrize("wrong", [None, "dev"])
def test_official_needs_a_split_that_we_know(wrong):
    with pytest.raises(DataError, match="split: official"):
        splits.official(["train", wrong], ["0" * 64] * 2, 0.1)


@pytest.mark.parametrize("empty", SPLITS)
def test_an_empty_split_is_refused_by_name(empty):
    counts = {split: 0 if split == empty else 5 for split in SPLITS}
    with pytest.raises(DataError, match=rf"datasets\.birds: the split {empty} would be empty"):
        splits.refuse_empty(counts, "birds", "hash")
    splits.refuse_empty(dict.fromkeys(SPLITS, 1), "birds", "hash")
