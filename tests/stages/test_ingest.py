"""Ingest: every item is in the manifest, and what cannot be read says why."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from genmint.common.errors import ConfigError, DataError
from genmint.common.files import sha256_file

PICTURES = {"kind": "image", "resolution": 8}
SOUNDS = {"kind": "audio", "sample_rate": 8000, "seconds": 0.25}
TEXTS = {"kind": "text"}


def rows_of(data_project, name="own"):
    rows = pq.read_table(data_project.project.manifest(name)).to_pylist()
    return {row["id"]: row for row in rows}


def test_manifest_has_the_columns_of_its_kind(data_project):
    data_project.pictures(3)
    data_project.block(**PICTURES)
    data_project.ingest()
    row = rows_of(data_project)["0001.png"]
    assert row["sha256"] == sha256_file(data_project.folder / "0001.png")
    assert row["bytes"] == (data_project.folder / "0001.png").stat().st_size
    assert (row["width"], row["height"], row["mode"]) == (12, 12, "L")
    assert row["error"] is None
    assert row["label"] is None
    assert 0 < row["mean"] < 255
    assert row["std"] > 0


def test_bad_images_are_rows_with_reasons(data_project):
    data_project.pictures(2)
    good = (data_project.folder / "0000.png").read_bytes()
    data_project.write("truncated.png").write_bytes(good[: len(good) // 2])
    data_project.write("text.png").write_text("I am no picture")
    data_project.write("zero.png").write_bytes(b"")
    bomb = Image.new("1", (30_000, 30_000))
    bomb.save(data_project.write("bomb.png"))
    assert (data_project.folder / "bomb.png").stat().st_size < 1_000_000
    data_project.block(**PICTURES)
    data_project.ingest()
    rows = rows_of(data_project)
    assert "damaged image" in rows["truncated.png"]["error"]
    assert rows["text.png"]["error"] == "not a png, jpg, webp or bmp image"
    assert rows["zero.png"]["error"] == "empty file (0 bytes)"
    assert "30000×30000 pixels are more than max_pixels" in rows["bomb.png"]["error"]
    assert rows["0000.png"]["error"] is None
    assert len(rows) == 6


def test_bad_audio_files_are_rows_with_reasons(data_project):
    data_project.sounds(2)
    soundfile.write(
        data_project.write("nan.wav"), np.array([0.1, np.nan, 0.2]), 8000, subtype="FLOAT"
    )
    soundfile.write(data_project.write("none.wav"), np.zeros(0), 8000, subtype="PCM_16")
    data_project.write("text.wav").write_text("I am no sound at all")
    data_project.write("zero.flac").write_bytes(b"")
    data_project.block(**SOUNDS)
    data_project.ingest()
    rows = rows_of(data_project)
    assert rows["nan.wav"]["error"] == "holds NaN or infinite samples"
    assert rows["none.wav"]["error"] == "0 samples"
    assert "not a wav or flac file" in rows["text.wav"]["error"]
    assert rows["zero.flac"]["error"] == "empty file (0 bytes)"
    assert rows["000.wav"]["windows"] == 1


def test_text_that_is_not_utf8_is_a_row_with_the_byte(data_project):
    data_project.texts(2)
    data_project.write("latin.txt").write_bytes("déjà vu".encode("latin-1"))
    data_project.block(**TEXTS)
    data_project.ingest()
    assert "not UTF-8 (byte 0xe9)" in rows_of(data_project)["latin.txt"]["error"]


def test_links_out_of_the_folder_are_not_followed(data_project, tmp_path):
    data_project.pictures(2)
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("L", (9, 9)).save(outside / "secret.png")
    (data_project.folder / "out.png").symlink_to(outside / "secret.png")
    (data_project.folder / "folder").symlink_to(outside)
    (data_project.folder / "dead.png").symlink_to(data_project.folder / "nothing.png")
    (data_project.folder / "loop.png").symlink_to(data_project.folder / "loop.png")
    (data_project.folder / "within.png").symlink_to("0000.png")
    data_project.block(**PICTURES)
    data_project.ingest()
    rows = rows_of(data_project)
    assert rows["out.png"]["error"] == (
        "symbolic link that leads out of the folder; follow_links: true would read it"
    )
    assert rows["out.png"]["sha256"] is None
    assert rows["folder"]["error"].startswith("symbolic link to a folder, which DVC does not")
    assert rows["dead.png"]["error"] == "broken symbolic link"
    assert rows["loop.png"]["error"] == "broken symbolic link"
    assert rows["within.png"]["error"] is None


def test_what_is_no_file_and_names_that_say_too_little_are_rows_with_reasons(data_project):
    data_project.pictures(2, folder="a_")
    os.mkfifo(data_project.folder / "a_pipe.png")
    data_project.write("_0005.png").write_text("x")
    data_project.block(**PICTURES, filename_pattern="(?P<owner>a)?_(?P<number>.+)")
    data_project.ingest()
    rows = rows_of(data_project)
    assert rows["a_pipe.png"]["error"].startswith("named pipe (FIFO), not a regular file: ")
    assert rows["_0005.png"]["error"] == "name leaves a group of filename_pattern empty"
    assert rows["a_0001.png"]["owner"] == "a"


def test_a_single_file_of_another_kind_is_an_error(data_project):
    data_project.texts(1)
    data_project.block(**{**PICTURES, "path": "data/own/things/000.txt"})
    with pytest.raises(DataError, match=r"000\.txt: not one of \.png"):
        data_project.ingest()


def test_hidden_files_and_other_endings_are_no_items(data_project):
    data_project.pictures(2)
    data_project.pictures(1, start=7, folder=".cache/")
    data_project.write(".hidden.png").write_text("x")
    data_project.write("readme.txt").write_text("x")
    data_project.block(**PICTURES)
    data_project.ingest()
    assert list(rows_of(data_project)) == ["0000.png", "0001.png"]


def test_empty_folder_is_an_error_that_names_it(data_project):
    data_project.folder.mkdir(parents=True)
    data_project.block(**PICTURES)
    with pytest.raises(DataError, match=r"things: no image files in this folder"):
        data_project.ingest()
    assert not data_project.project.raw("own").exists()
    assert not data_project.project.manifest("own").exists()


def test_nothing_readable_is_an_error_and_leaves_nothing(data_project):
    data_project.write("a.png").write_text("x")
    data_project.write("b.png").write_bytes(b"")
    data_project.block(**PICTURES)
    with pytest.raises(DataError, match=r"none of 2 items can be read; the first is a\.png"):
        data_project.ingest()
    left = [path for path in data_project.root.rglob("*") if "manifest" in str(path)]
    assert [path for path in left if path.is_file()] == []
    assert not data_project.project.raw("own").exists()


def test_missing_path_is_an_error_that_names_the_key(data_project):
    data_project.block(**PICTURES)
    with pytest.raises(DataError, match=r"datasets\.own\.path: .*no such file or folder"):
        data_project.ingest()


def test_labels_by_folder_and_groups_by_name(data_project):
    data_project.pictures(2, folder="cats/tabby_")
    data_project.pictures(1, start=5, folder="dogs/pug_")
    data_project.pictures(1, start=6, folder="dogs/")
    data_project.pictures(1, start=9)
    data_project.block(
        **PICTURES, labels="folder", filename_pattern="(?P<breed>[a-z]+)_(?P<number>[0-9]+)"
    )
    data_project.ingest()
    rows = rows_of(data_project)
    tabby = rows["cats/tabby_0001.png"]
    assert (tabby["label"], tabby["breed"], tabby["number"]) == ("cats", "tabby", "0001")
    assert rows["dogs/pug_0005.png"]["label"] == "dogs"
    assert rows["dogs/0006.png"]["error"] == "name does not match filename_pattern"
    assert rows["0009.png"]["error"] == "name does not match filename_pattern"


def test_a_file_in_no_folder_has_no_label(data_project):
    data_project.pictures(2, folder="cats/")
    data_project.pictures(1, start=5)
    data_project.block(**PICTURES, labels="folder")
    data_project.ingest()
    assert rows_of(data_project)["0005.png"]["error"] == "lies in no sub-folder, so it has no label"


def test_labels_by_file_name_and_a_pattern_over_the_path(data_project):
    data_project.pictures(2, folder="train/x_")
    data_project.pictures(1, start=4, folder="test/y_")
    data_project.block(
        **PICTURES, labels="filename", filename_pattern="(?P<split>[a-z]+)/(?P<label>[xy])_[0-9]+"
    )
    data_project.ingest()
    rows = rows_of(data_project)
    assert (rows["train/x_0000.png"]["label"], rows["train/x_0000.png"]["split"]) == ("x", "train")
    assert (rows["test/y_0004.png"]["label"], rows["test/y_0004.png"]["split"]) == ("y", "test")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "source"}, "labels: source is for built-in"),
        ({"filename_pattern": "(?P<mean>.*)"}, "'mean' is a column of the manifest already"),
        ({"path": "data/sources/digits.yaml", "labels": "folder"}, "labels: folder is for folders"),
        ({"path": "data/sources/digits.yaml", "filename_pattern": "(?P<a>.)"}, "has no files"),
        ({"path": "data/sources/notes.yaml"}, "kind: notes is audio"),
        (
            {"path": "data/sources/python-docs.yaml", "kind": "text", "labels": "source"},
            "labels: python-docs has none",
        ),
    ],
)
def test_blocks_that_do_not_fit_their_source_are_refused(data_project, settings, message):
    data_project.pictures(2)
    block = {**PICTURES, **settings}
    if block["kind"] == "text":
        del block["resolution"]
    data_project.block(**block)
    with pytest.raises(ConfigError, match=message):
        data_project.ingest()


@pytest.mark.parametrize(
    ("name", "settings", "items"),
    [
        ("digits", {**PICTURES, "labels": "source"}, 1797),
        ("mnist-test", {**PICTURES, "labels": "source"}, 10_000),
        ("notes", {**SOUNDS, "labels": "source"}, 630),
        ("python-docs", TEXTS, 70),
    ],
)
def test_built_in_sets_twice_give_the_same_bytes(data_project, name, settings, items):
    data_project.block(name, **{**settings, "path": f"data/sources/{name}.yaml"})
    data_project.ingest(name)
    first = everything(data_project, name)
    data_project.ingest(name)
    assert everything(data_project, name) == first
    rows = rows_of(data_project, name)
    assert len(rows) >= items
    assert {row["error"] for row in rows.values()} == {None}


def test_the_topics_of_python_docs_share_no_paragraph(data_project):
    """Else what is tested on would have been trained on: `compound` holds all of `if`."""
    data_project.block("python-docs", **{**TEXTS, "path": "data/sources/python-docs.yaml"})
    data_project.ingest("python-docs")
    documents = sorted(data_project.project.raw("python-docs").rglob("*.txt"))
    found = [p for d in documents for p in d.read_text().split("\n\n") if len(p) >= 40]
    assert len(set(found)) == len(found) > 1000
    assert min(d.stat().st_size for d in documents) >= 300


def test_own_folder_twice_gives_the_same_bytes(data_project):
    data_project.pictures(20)
    data_project.block(**PICTURES)
    data_project.ingest()
    first = everything(data_project, "own")
    for file in data_project.folder.iterdir():
        os.utime(file, (1, 1))
    data_project.ingest()
    assert everything(data_project, "own") == first


def everything(data_project, name):
    files = [data_project.project.manifest(name)]
    files += sorted(path for path in data_project.project.raw(name).rglob("*") if path.is_file())
    assert len(files) > 1
    return [(Path(file).name, sha256_file(file)) for file in files]
