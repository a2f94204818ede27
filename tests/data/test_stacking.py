"""Stacks hold pictures of their own split, and the labels of what they hold."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmint.common.errors import DataError
from genmint.common.files import sha256_file
from genmint.config import Stack
from genmint.data import stacking
from genmint.data.prepared import SPLITS
from genmint.data.splitting.fingerprints import of_items

SIZES = {"train": 90, "validation": 20, "test": 30, "confirmation": 0}
CLASSES = 4


@dataclasses.dataclass(frozen=True)
class Singles:
    """Single pictures on disk; the first pixel numbers a picture, over all splits."""

    folder: object
    labels: dict


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("singles")
    rng = np.random.default_rng(0)
    labels, first = {}, 0
    for split, n in SIZES.items():
        pictures = rng.integers(0, 256, (n, 1, 4, 5), dtype=np.uint8)
        pictures[:, 0, 0, 0] = np.arange(first, first + n)
        labels[split] = rng.integers(0, CLASSES, n)
        np.save(folder / f"{split}.npy", pictures)
        np.save(folder / f"{split}.labels.npy", labels[split])
        origins = np.stack([np.arange(n, dtype=np.uint64), of_items(pictures)], axis=1)
        np.save(folder / f"{split}.origins.npy", origins)
        if split == "train":
            np.save(folder / "train.items.npy", np.unique(of_items(pictures)))
        first += n
    return Singles(folder, labels)


def pack(singles, folder, *, items=900, seed=0):
    counts = stacking.stacks_of(SIZES, items)
    folder.mkdir()
    files = stacking.pack_stacks(
        folder, singles.folder, counts, Stack(items=items, seed=seed), CLASSES
    )
    assert files == {path.name: sha256_file(path) for path in folder.iterdir()}
    return {split: np.load(folder / f"{split}.npy") for split in SPLITS}


def test_every_channel_is_an_image_of_the_same_split(singles, tmp_path):
    found = pack(singles, tmp_path / "a")
    for split, n in SIZES.items():
        known = np.load(singles.folder / f"{split}.npy")
        assert found[split].shape == (10 * n, 3, 4, 5)
        assert found[split].dtype == np.uint8
        assert {c.tobytes() for c in found[split].reshape(-1, 4, 5)} == {
            picture.tobytes() for picture in known
        }


def test_a_stack_says_which_images_it_is_made_of(singles, tmp_path):
    found = pack(singles, tmp_path / "a")
    origins = np.load(tmp_path / "a" / "test.origins.npy")
    for row, stack in enumerate(found["test"]):
        inside = origins[:, 1][origins[:, 0] == row]
        assert set(inside.tolist()) == set(of_items(stack[:, None]).tolist())
    trained = np.load(tmp_path / "a" / "train.items.npy")
    np.testing.assert_array_equal(trained, np.load(singles.folder / "train.items.npy"))


def test_a_label_says_what_the_channels_show(singles, tmp_path):
    found = pack(singles, tmp_path / "a")
    whole = np.concatenate([singles.labels[split] for split in SIZES])
    for split in SIZES:
        shown = whole[found[split][:, :, 0, 0]]
        numbers = np.load(tmp_path / "a" / f"{split}.labels.npy")
        np.testing.assert_array_equal(numbers, shown @ [CLASSES**2, CLASSES, 1])


def test_channels_and_splits_are_drawn_by_themselves(singles, tmp_path):
    stacks = pack(singles, tmp_path / "a", items=9000)
    drawn = stacks["train"][:, :, 0, 0].astype(float)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.05
    # Were one sequence of draws used for both, test would show the same of its pictures.
    first = (stacks["train"][:3000, 0, 0, 0] / 90, (stacks["test"][:3000, 0, 0, 0] - 110.0) / 30)
    assert abs(np.corrcoef(*first)[0, 1]) < 0.1


def test_a_seed_makes_the_same_bytes_and_another_others(singles, tmp_path):
    one, again, other = (
        pack(singles, tmp_path / str(number), seed=seed) for number, seed in enumerate((0, 0, 1))
    )
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(one[split], again[split])
        assert not np.array_equal(one[split], other[split])


@given(
    st.integers(1, 12).flatmap(
        lambda classes: st.tuples(
            st.just(classes),
            st.lists(st.lists(st.integers(0, classes - 1), min_size=3, max_size=3), max_size=9),
        )
    )
)
def test_numbers_of_stacks_come_apart_again(case):
    classes, rows = case
    parts = np.array(rows, dtype=np.int64).reshape(-1, 3)
    joint = stacking.joint_labels(parts, classes)
    assert ((joint >= 0) & (joint < classes**3)).all()
    np.testing.assert_array_equal(stacking.single_labels(joint, classes, 3), parts)


@given(st.lists(st.text("ab+1", min_size=1, max_size=3), min_size=1, max_size=5, unique=True))
def test_names_stand_in_the_order_of_the_numbers(names):
    joint = stacking.joint_names(names, 3)
    for parts in itertools.product(range(len(names)), repeat=3):
        number = stacking.joint_labels(np.array([parts]), len(names))[0]
        pieces = [names[part] for part in parts]
        assert joint[number] in ("".join(pieces), "+".join(pieces))


def test_digits_give_the_thousand_numbers():
    names = stacking.joint_names([str(digit) for digit in range(10)], 3)
    assert names == tuple(f"{number:03d}" for number in range(1000))
    assert "1+11+1" in stacking.joint_names(["1", "11"], 3)


def test_more_classes_than_can_be_counted_are_refused():
    with pytest.raises(DataError, match=r"22 labels in 3 channels make 10,648 classes, more than"):
        stacking.joint_names([str(number) for number in range(22)], 3)


@given(
    st.integers(1, 10_000),
    st.integers(0, 10_000),
    st.integers(1, 10_000),
)
def test_other_splits_get_as_many_items_per_image_as_train(train, test, items):
    singles = {"train": train, "validation": 1, "test": test, "confirmation": 0}
    found = stacking.stacks_of(singles, items)
    assert (found["train"], found["confirmation"]) == (items, 0)
    assert found["validation"] >= 1
    assert (found["test"] == 0) == (test == 0)
    assert abs(found["test"] - test * items / train) <= 1
