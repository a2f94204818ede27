"""Validate: bad rows are quarantined with reasons, and too many or a bad set stop everything."""

import csv
import json
import re

import numpy as np
import pytest
import soundfile
from PIL import Image
from ruamel.yaml import YAML
from tests.data.test_quarantine import AWKWARD

from genmint.common.errors import ConfigError, DataError
from genmint.common.escaping import escape_name

PICTURES = {"kind": "image", "resolution": 8, "max_quarantined": 0.1}
SOUNDS = {"kind": "audio", "sample_rate": 8000, "seconds": 0.25, "max_quarantined": 0.5}


def quarantined(data_project, name="own"):
    with data_project.project.quarantine(name).open(newline="") as stream:
        return {row["id"]: row["reason"] for row in csv.DictReader(stream)}


def report(data_project, name="own"):
    return json.loads(data_project.project.validation(name).read_text())


def edit_suite(data_project, kind, change):
    path = data_project.project.suite(kind)
    document = YAML(typ="safe", pure=True).load(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_bad_rows_are_quarantined_and_the_rest_enters(data_project):
    data_project.pictures(40)
    data_project.write("broken.png").write_text("x")
    (data_project.folder / "z_copy.png").write_bytes(
        (data_project.folder / "0003.png").read_bytes()
    )
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.validate()
    assert quarantined(data_project) == {
        "broken.png": "not a png, jpg, webp or bmp image",
        "z_copy.png": "the same content as 0003.png",
    }
    found = report(data_project)
    assert found["passed"] == 1
    assert (found["items"], found["quarantined"]) == (42, 2)
    assert found["quarantined_share"] == pytest.approx(2 / 42)
    rows = {entry["name"]: entry for entry in found["expectations"] if entry["level"] == "row"}
    assert rows["expect_column_values_to_be_null: duplicate_of"]["observed"] == 1


def test_the_page_shows_every_expectation_and_what_is_quarantined(data_project):
    data_project.pictures(40)
    data_project.write("broken.png").write_text("x")
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.validate()
    page = data_project.project.validation_page("own").read_text().replace("<wbr>", "")
    for entry in report(data_project)["expectations"]:
        assert f'<span class="soft">{entry["name"].split(":")[0]}</span>' in page
    assert "duplicate_of values must be null." in page
    assert "mean mean must be greater than or equal to 5.0 and less than or equal to 250.0." in page
    assert "<td>broken.png</td><td>not a png, jpg, webp or bmp image</td>" in page
    assert "40 of 41 items passed validation; 1 are quarantined" in page


def test_the_report_and_the_page_are_the_same_twice(data_project):
    data_project.pictures(40)
    data_project.write("broken.png").write_text("x")
    data_project.block(**PICTURES)
    data_project.ingest()
    files = [data_project.project.validation("own"), data_project.project.validation_page("own")]
    data_project.validate()
    first = [file.read_bytes() for file in files]
    data_project.validate()
    assert [file.read_bytes() for file in files] == first


def test_the_page_asks_no_other_host(data_project):
    data_project.pictures(40)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.validate()
    page = data_project.project.validation_page("own").read_text()
    assert not re.search(r"(src|href|url|import)\W+(https?:)?//", page)
    assert "<script" not in page


def test_too_many_bad_items_stop_the_pipeline_before_prepare(data_project):
    data_project.pictures(40)
    for number in range(10):
        data_project.write(f"bad{number}.png").write_text("x")
    data_project.block(**PICTURES)
    data_project.ingest()
    with pytest.raises(DataError, match=r"10 of 50 items failed validation.*bad0\.png: not a png"):
        data_project.validate()
    assert report(data_project)["passed"] == 0
    assert len(quarantined(data_project)) == 10
    assert "items failed validation" in data_project.project.validation_page("own").read_text()
    with pytest.raises(DataError, match="failed its validation"):
        data_project.prepare()
    assert not data_project.project.prepared("own").exists()


def test_a_blank_image_does_not_enter_whatever_it_is_called(data_project):
    data_project.pictures(60)
    for number, name in enumerate(AWKWARD):
        blank = Image.fromarray(np.full((8, 12 + number), 7, np.uint8))
        blank.save(data_project.write(f"{name}.png"))
    data_project.block(**{**PICTURES, "max_quarantined": 0.9})
    data_project.ingest()
    data_project.validate()
    found = quarantined(data_project)
    assert found.keys() == {escape_name(f"{name}.png") for name in AWKWARD}
    assert {reason[:11] for reason in found.values()} == {"blank image"}
    data_project.prepare()
    meta = json.loads((data_project.project.prepared("own") / "meta.json").read_text())
    assert sum(meta["items"].values()) == 60


def test_of_many_copies_each_is_quarantined(data_project):
    """More than the 200 values that Great Expectations lists."""
    data_project.pictures(40)
    first = (data_project.folder / "0000.png").read_bytes()
    for number in range(210):
        data_project.write(f"copy-{number:03d}.png").write_bytes(first)
    data_project.block(**{**PICTURES, "max_quarantined": 0.9})
    data_project.ingest()
    data_project.validate()
    assert quarantined(data_project) == {
        f"copy-{number:03d}.png": "the same content as 0000.png" for number in range(210)
    }
    assert report(data_project)["quarantined"] == 210
    data_project.prepare()
    meta = json.loads((data_project.project.prepared("own") / "meta.json").read_text())
    assert sum(meta["items"].values()) == 40


def test_folder_with_one_item_may_not_enter(data_project):
    data_project.pictures(1)
    data_project.block(**PICTURES)
    data_project.ingest()
    with pytest.raises(DataError, match=r"expect_table_row_count_to_be_between.*found 1"):
        data_project.validate()
    assert report(data_project)["passed"] == 0


def test_nothing_left_fails_every_expectation_on_the_set(data_project):
    for number in range(3):
        silent = np.full(2000 + number, 1e-5)
        soundfile.write(data_project.write(f"{number}.wav"), silent, 8000, subtype="FLOAT")
    data_project.block(**{**SOUNDS, "max_quarantined": 1.0})
    data_project.ingest()
    with pytest.raises(DataError, match="own failed its validation"):
        data_project.validate()
    found = report(data_project)
    assert found["passed"] == 0
    assert {e["passed"] for e in found["expectations"] if e["level"] == "set"} == {False}


def test_silence_and_far_too_loud_sound_are_quarantined(data_project):
    data_project.sounds(12)
    soundfile.write(data_project.write("silent.wav"), np.zeros(2000), 8000, subtype="PCM_16")
    loud = np.sin(np.arange(2000)) * 50
    soundfile.write(data_project.write("loud.wav"), loud, 8000, subtype="FLOAT")
    square = np.sign(np.sin(np.arange(2000) / 7))
    soundfile.write(data_project.write("square.wav"), square, 8000, subtype="PCM_16")
    data_project.block(**SOUNDS)
    data_project.ingest()
    data_project.validate()
    reasons = quarantined(data_project)
    assert reasons["silent.wav"] == "silence (peak 0 of full scale)"
    assert "of full scale" in reasons["loud.wav"]
    assert "clipped" in reasons["square.wav"]
    assert len(reasons) == 3


def test_of_copies_across_official_splits_the_test_item_stays(data_project):
    data_project.pictures(40, folder="train/")
    for number in range(3):
        copy = (data_project.folder / f"train/{number:04d}.png").read_bytes()
        data_project.write(f"test/{number}.png").write_bytes(copy)
    data_project.block(**PICTURES, filename_pattern="(?P<split>[a-z]+)/[0-9]+")
    data_project.ingest()
    data_project.validate()
    assert quarantined(data_project) == {
        f"train/{number:04d}.png": f"the same content as test/{number}.png" for number in range(3)
    }


def test_a_suite_can_be_edited(data_project):
    data_project.pictures(40)
    (data_project.folder / "copy.png").write_bytes((data_project.folder / "0003.png").read_bytes())

    def change(document):
        document["rows"] = [
            {"expectation": "expect_column_values_to_not_be_null", "column": "mode"}
        ]
        document["set"] = [
            {"expectation": "expect_column_max_to_be_between", "column": "width", "max_value": 11}
        ]

    edit_suite(data_project, "image", change)
    data_project.block(**PICTURES)
    data_project.ingest()
    with pytest.raises(DataError, match=r"expect_column_max_to_be_between: width.*found 12"):
        data_project.validate()
    assert quarantined(data_project) == {}


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("rows", {"expectation": "expect_column_values_to_be_betwen", "column": "std"},
         "did you mean expect_column_values_to_be_between"),
        ("rows", {"expectation": "expect_column_values_to_be_null", "column": "eror"},
         "eror cannot be evaluated"),
        ("rows", {"expectation": "expect_table_row_count_to_be_between", "min_value": 1},
         "move it to the list set"),
        ("rows", {"expectation": "expect_column_values_to_be_of_type", "column": "width",
                  "type_": "int"}, r"to_be_of_type: width does not check single rows; move it"),
        ("set", {"expectation": "expect_column_max_to_be_between", "colum": "width"}, "colum"),
        ("set", {"column": "width"}, "give it a key `expectation`"),
    ],
)  # fmt: skip
def test_a_wrong_suite_is_an_error_and_never_a_pass(data_project, section, entry, message):
    data_project.pictures(40)
    edit_suite(data_project, "image", lambda document: document.update({section: [entry]}))
    data_project.block(**PICTURES)
    data_project.ingest()
    with pytest.raises(ConfigError, match=message):
        data_project.validate()
    assert not data_project.project.validation("own").exists()
    assert not data_project.project.validation_page("own").exists()


@pytest.mark.parametrize("text", ["rows: []", "[1, 2]", "rows: [}", "rows: {}\nset: []"])
def test_what_is_no_suite_is_refused(data_project, text):
    data_project.pictures(2)
    data_project.project.suite("image").write_text(text)
    data_project.block(**PICTURES)
    data_project.ingest()
    with pytest.raises(ConfigError, match=r"image\.yaml"):
        data_project.validate()


def test_an_empty_suite_lets_everything_through(data_project):
    data_project.pictures(4)
    edit_suite(data_project, "image", lambda document: document.update(rows=[], set=[]))
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.validate()
    assert report(data_project)["passed"] == 1


def test_no_suite_is_an_error(data_project):
    data_project.pictures(2)
    data_project.project.suite("image").unlink()
    data_project.block(**PICTURES)
    data_project.ingest()
    with pytest.raises(ConfigError, match=r"image\.yaml: no such file"):
        data_project.validate()


def test_no_manifest_is_an_error_with_the_remedy(data_project):
    data_project.block(**PICTURES)
    with pytest.raises(DataError, match="dvc repro -f ingest@own"):
        data_project.validate()


def test_files_that_are_no_items_are_said_and_reported(data_project, capsys):
    data_project.pictures(40)
    for number in range(140):
        data_project.write(f"IMG_{number}.HEIC").write_bytes(b"x")
    data_project.block(**PICTURES, mode="grey")
    data_project.ingest()
    data_project.validate()
    others = "140 files were left out: 140 .heic (convert to png or jpg)"
    assert capsys.readouterr().out.splitlines() == [
        f"own: 40 items; {others}",
        f"own: 40 of 40 items passed validation; {others}",
    ]
    assert report(data_project)["left_out"] == [
        {
            "reason": "other ending",
            "ending": ".heic",
            "files": 140,
            "advice": "convert to png or jpg",
        }
    ]


def test_values_from_the_data_are_no_markup_in_the_page(data_project):
    for label in ("<script>alert(1)", "\x1b[2J<b>", "ordinary"):
        data_project.pictures(10, start=100 * len(label), folder=f"{label}/")
    edit_suite(
        data_project,
        "image",
        lambda suite: suite["set"].append(
            {
                "expectation": "expect_column_values_to_be_in_set",
                "column": "label",
                "value_set": ["ordinary"],
            }
        ),
    )
    data_project.block(**PICTURES, labels="folder")
    data_project.ingest()
    with pytest.raises(DataError, match="expect_column_values_to_be_in_set: label"):
        data_project.validate()
    shown = data_project.project.validation_page("own").read_text()
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>alert(1)" not in shown
    assert "\x1b" not in shown
    assert "\\x1b[2J&lt;b&gt;" in shown
