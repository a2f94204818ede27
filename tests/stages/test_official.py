"""Folders that are splits, from files to arrays; what a message says to set is set."""

import numpy as np
import pytest

from genmint.common.errors import DataError
from genmint.data.ingestion.official import pattern_for
from genmint.data.prepared import Prepared

IMAGES = {"kind": "image", "resolution": 8}


def animals(project, splits):
    for number, split in enumerate(splits):
        for label in ("cat", "dog"):
            project.pictures(
                9, start=100 * number + 50 * (label == "dog"), folder=f"{split}/{label}/"
            )


def test_labels_by_folder_never_become_the_classes_train_and_test(data_project):
    animals(data_project, ["train", "val", "test"])
    data_project.block(**IMAGES, labels="folder")
    with pytest.raises(DataError, match=r"these are splits \(test, train, val\)") as refused:
        data_project.ingest()
    assert not data_project.project.manifest("own").exists()
    # What the message says to set, and the splits are those of the folders.
    pattern = str(refused.value).rpartition("filename_pattern: ")[2]
    assert pattern == pattern_for(["test", "train", "val"])
    data_project.block(
        **IMAGES, labels="filename", split="official", confirmation=0.0, filename_pattern=pattern
    )
    data_project.run()
    found = Prepared(data_project.project.prepared("own"))
    assert found.meta.labels == ("cat", "dog")
    assert found.meta.items == {"train": 18, "validation": 18, "test": 18, "confirmation": 0}
    for split in ("train", "validation", "test"):
        assert np.bincount(found.labels(split)).tolist() == [9, 9]


def test_a_folder_without_test_items_has_them_cut_from_train(data_project):
    animals(data_project, ["train", "dev"])
    data_project.block(
        **{**IMAGES, "test": 0.3}, split="official", confirmation=0.0,
        filename_pattern="(?P<split>train|dev)/.+",
    )  # fmt: skip
    data_project.run()
    items = Prepared(data_project.project.prepared("own")).meta.items
    assert items["validation"] == 18
    assert items["test"] > 0
    assert items["train"] + items["test"] == 18


@pytest.mark.parametrize("split", ["hash", "position"])
def test_splits_that_another_rule_mixes_are_said(data_project, capsys, split):
    animals(data_project, ["train", "test"])
    data_project.block(**IMAGES, split=split)
    data_project.ingest()
    said = capsys.readouterr().out
    assert f"the folders test, train look like splits, and split: {split} mixes them" in said
    pattern = said.splitlines()[0].rpartition("filename_pattern: ")[2]
    data_project.block(**IMAGES, split="official", validation=0.2, filename_pattern=pattern)
    data_project.ingest()
    assert "look like splits" not in capsys.readouterr().out
    data_project.admit()
    data_project.prepare()
    assert Prepared(data_project.project.prepared("own")).meta.items["test"] == 18
