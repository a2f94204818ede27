"""Folders that are splits: recognised, mapped to ours, and never taken for classes."""

import pytest

from genmint.data.ingestion.official import split_folders, split_named


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("TRAINING", "train"), ("train_set", "train"), ("Val", "validation"),
        ("valid", "validation"), ("dev", "validation"), ("eval", "validation"),
        ("test", "test"), ("Testing Images", "test"), ("test-data", "test"), ("holdout", "test"),
        ("confirmation", "confirmation"), ("cat", None), ("trains", None), ("set", None),
        ("protest", None), ("", None),
    ],
)  # fmt: skip
def test_what_people_call_splits(name, split):
    assert split_named(name) == split


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        (["train", "test"], ["test", "train"]),
        (["train", "test", "extra"], ["test", "train"]),
        (["Train"], ["Train"]),
        # Vehicles: one class happens to be called so.
        (["train", "car", "plane"], []),
        (["cat", "dog"], []),
    ],
)
def test_which_folders_are_splits(folders, found):
    assert split_folders([f"{folder}/x/1.png" for folder in folders] + ["0.png"]) == found
