"""Prepare: arrays with the right items in the right splits, or nothing at all."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.stages.arrays import PICTURES, TEXTS, everything, prepared

from genmint.common.errors import DataError, GenmintError
from genmint.common.files import sha256_file
from genmint.data.prepared import SPLITS
from genmint.data.splitting import assignment


def test_images_land_in_their_splits_with_their_labels(data_project):
    data_project.pictures(30, folder="cats/")
    data_project.pictures(30, start=30, folder="dogs/")
    data_project.block(**PICTURES, labels="folder")
    data_project.run()
    found = prepared(data_project)
    assert found.meta.labels == ("cats", "dogs")
    assert sum(found.meta.items.values()) == 60
    for split in SPLITS:
        items = found.array(split)
        assert items.dtype == np.uint8
        assert items.shape == (found.meta.items[split], 1, 8, 8)
        assert len(found.labels(split)) == len(items) > 0


def test_a_bad_item_does_not_enter(data_project):
    data_project.pictures(60)
    data_project.write("bad.png").write_text("x")
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.validate()
    data_project.prepare()
    assert sum(prepared(data_project).meta.items.values()) == 60


def test_preparing_twice_gives_the_same_bytes(data_project):
    data_project.pictures(60)
    data_project.texts(50)
    data_project.block(**PICTURES)
    data_project.block("words", **TEXTS)
    for name in ("own", "words"):
        data_project.run(name)
        first = everything(data_project.project.prepared(name))
        data_project.prepare(name)
        assert everything(data_project.project.prepared(name)) == first
        assert "meta.json" in first


def test_an_item_in_quarantine_does_not_enter(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit(quarantined=["0003.png"])
    data_project.prepare()
    assert sum(prepared(data_project).meta.items.values()) == 59


def test_adding_an_item_leaves_the_others_in_their_splits(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.run()
    before = {split: prepared(data_project).array(split).copy() for split in SPLITS}
    data_project.pictures(1, start=1000)
    data_project.run()
    after = prepared(data_project)
    for split in SPLITS:
        known = {item.tobytes() for item in before[split]}
        assert known <= {item.tobytes() for item in after.array(split)}


def test_colour_and_grey_have_their_channels(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES, mode="rgb")
    data_project.run()
    items = prepared(data_project).array("train")
    assert items.shape[1:] == (3, 8, 8)
    np.testing.assert_array_equal(items[:, 0], items[:, 2])


@pytest.mark.parametrize("how", ["changed", "removed", "a link out"])
def test_an_item_changed_since_the_manifest_is_named(data_project, tmp_path, how):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit()
    item = data_project.folder / "0007.png"
    content = item.read_bytes()
    item.unlink()
    if how == "changed":
        item.write_bytes((data_project.folder / "0008.png").read_bytes())
    elif how == "a link out":
        (tmp_path / "elsewhere.png").write_bytes(content)
        item.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match=r"0007\.png: .*since the manifest was made"):
        data_project.prepare()
    assert not data_project.project.prepared("own").exists()
    assert list(data_project.project.prepared("own").parent.iterdir()) == []


def test_a_text_changed_since_the_manifest_is_named(data_project):
    data_project.texts(50)
    data_project.block(**TEXTS)
    data_project.ingest()
    data_project.admit()
    data_project.write("003.txt").write_text("something else")
    with pytest.raises(DataError, match=r"003\.txt: changed since the manifest was made"):
        data_project.prepare()


def test_a_changed_array_of_ours_is_named(data_project):
    data_project.block("digits", path="data/sources/digits.yaml", kind="image", resolution=8)
    data_project.ingest("digits")
    data_project.admit("digits")
    path = data_project.project.raw("digits") / "digits.npy"
    rows = np.load(path)
    rows[12, 0, 0] ^= 1
    np.save(path, rows)
    with pytest.raises(DataError, match="digits#12: changed since the manifest was made"):
        data_project.prepare("digits")


def test_no_report_of_this_manifest_no_entry(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    with pytest.raises(GenmintError, match="dvc repro validate@own"):
        data_project.prepare()
    data_project.validate()
    data_project.pictures(1, start=1000)
    data_project.ingest()
    with pytest.raises(DataError, match="was made from another manifest"):
        data_project.prepare()
    data_project.validate()
    path = data_project.project.validation("own")
    path.write_text(json.dumps({**json.loads(path.read_text()), "passed": True and "yes"}))
    with pytest.raises(DataError, match="failed its validation"):
        data_project.prepare()
    assert not data_project.project.prepared("own").exists()


@pytest.mark.parametrize(
    ("key", "before", "now", "file", "stage"),
    [
        ("resolution", 8, 16, "own.parquet", "ingest"),
        ("mode", "null", "rgb", "own.parquet", "ingest"),
        ("max_quarantined", 0.02, 0.5, "own.json", "validate"),
    ],
)
def test_a_manifest_or_report_of_other_settings_is_refused(
    data_project, key, before, now, file, stage
):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit()
    data_project.block(**PICTURES | {key: now})
    with pytest.raises(DataError) as caught:
        data_project.prepare()
    assert str(caught.value).endswith(
        f"{file}: was made with {key}: {before}, and datasets.own has {key}: {now}. "
        f"Run `dvc repro -f {stage}@own`."
    )
    if stage == "ingest":
        with pytest.raises(DataError, match="was made with"):
            data_project.validate()
    data_project.block(**PICTURES | {"split": "position", "protocol": {"seed": 4}})
    data_project.prepare()


def test_a_list_that_does_not_fit_the_manifest_is_refused(data_project):
    """As one whose names were cut in two at a carriage return: the item would enter."""
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit(quarantined=["0003.png", "b.png"])
    with pytest.raises(DataError, match=r"own\.csv: 'b\.png' names no item of the manifest\. Run"):
        data_project.prepare()
    assert not data_project.project.prepared("own").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": 61}, "1 of 61 items were quarantined, and .*own.csv names 1 of 60"),
        ({"quarantined": 2}, "2 of 60 items were quarantined, and .*own.csv names 1 of 60"),
        ({"quarantined": None}, "None of 60 items were quarantined"),
    ],
)
def test_counts_that_do_not_add_up_are_refused(data_project, change, message):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit(quarantined=["0003.png"])
    path = data_project.project.validation("own")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=rf"{message}.*Run `dvc repro -f validate@own`"):
        data_project.prepare()
    assert not data_project.project.prepared("own").exists()


def test_an_item_that_is_in_no_split_is_not_lost_without_a_word(data_project, monkeypatch):
    data_project.pictures(60)
    data_project.texts(50)
    data_project.block(**PICTURES)
    data_project.block("words", **TEXTS)

    def losing(name, table, dataset, near):
        return np.array([*assign(name, table, dataset, near)[:-1], len(SPLITS)], dtype=np.int8)

    def shortening(name, table, dataset, near):
        return [*cut_texts(name, table, dataset, near)[:-1], [("train", 0, 1)]]

    assign, cut_texts = assignment.assign, assignment.cut_texts
    monkeypatch.setattr(assignment, "assign", losing)
    monkeypatch.setattr(assignment, "cut_texts", shortening)
    with pytest.raises(DataError, match="60 items passed validation, but 59 would be prepared"):
        data_project.run()
    with pytest.raises(DataError, match=r"\d+ characters passed validation, but \d+ would"):
        data_project.run("words")


def test_without_a_quarantine_list_nothing_enters(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit()
    data_project.project.quarantine("own").unlink()
    with pytest.raises(DataError, match=r"own\.csv: no such file\. Run `dvc repro -f valid"):
        data_project.prepare()


def test_images_by_position_are_cut_in_the_order_of_their_paths(data_project):
    data_project.pictures(50)
    data_project.block(**{**PICTURES, "split": "position"})
    data_project.run()
    found = prepared(data_project)
    assert found.meta.items == {"train": 30, "validation": 8, "test": 10, "confirmation": 2}
    data_project.block("last", **{**PICTURES, "split": "position", "test": 0.04})
    data_project.run("last")
    np.testing.assert_array_equal(
        prepared(data_project, "last").array("test"), found.array("test")[-2:]
    )


def test_texts_can_have_labels(data_project):
    data_project.texts(50)
    for number, file in enumerate(sorted(data_project.folder.iterdir())):
        file.rename(data_project.write(f"{'prose' if number % 2 else 'verse'}/{file.name}"))
    data_project.block(**TEXTS, labels="folder")
    data_project.run()
    found = prepared(data_project)
    assert found.meta.labels == ("prose", "verse")
    for split in SPLITS:
        assert len(found.labels(split)) == found.meta.items[split]
    assert set(found.labels("train").tolist()) == {0, 1}


def test_a_damaged_manifest_is_an_error_with_the_remedy(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit()
    path = data_project.project.manifest("own")
    path.write_bytes(b"PAR1 no more")
    report = data_project.project.validation("own")
    found = json.loads(report.read_text()) | {"manifest": sha256_file(path)}
    report.write_text(json.dumps(found))
    with pytest.raises(DataError, match=r"not a manifest .* Run `dvc repro -f ingest@own`"):
        data_project.prepare()


def test_a_manifest_of_another_version_is_an_error_with_the_remedy(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    path = data_project.project.manifest("own")
    pq.write_table(pq.read_table(path).drop_columns(["item", "sketch"]), path)
    data_project.admit()
    with pytest.raises(DataError, match=r"no column item; .*`dvc repro -f ingest@own`"):
        data_project.prepare()
