"""The proposed data set entry: settings that fit the files, with their reasons."""

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.proposal.own_files import clips, image, images, project_at, text

from genmint.common.errors import DataError
from genmint.proposal import survey as surveying
from genmint.proposal.content import list_content
from genmint.proposal.datasets import dataset_entry, first_entry, parsed_entry, read_as
from genmint.proposal.structure import structure_of
from genmint.proposal.survey import PEEK, read_rows, survey


def no_stores():
    return ()


def proposed(tmp_path, path, minutes=10.0):
    found = list_content(path.resolve(), None, no_stores)
    structure = structure_of(found.paths, found.kind)
    first = first_entry("mine", str(path), found, structure)
    rows = read_rows(found, first, no_stores, PEEK)
    entry = read_as("mine", first, rows, minutes, len(found.paths))
    known = survey(project_at(tmp_path / "project"), found, entry, no_stores)
    return dataset_entry("mine", known, structure)


def test_images(tmp_path):
    entry = proposed(tmp_path, images(tmp_path / "own"))
    values = entry.values()
    assert values["resolution"] == 16
    assert (values["mode"], values["labels"], values["split"]) == ("rgb", "folder", "hash")
    whys = {setting.key: setting.why for setting in entry.settings}
    assert whys["resolution"] == "shorter sides: 16 to 16, median 16 pixels"
    assert whys["mode"] == "60 of 60 have colours"
    dataset = parsed_entry(entry)
    assert dataset.protocol.samples == 32


@pytest.mark.parametrize(("minutes", "side"), [(10, 32), (60, 64), (600, 128)])
def test_a_longer_budget_gives_finer_images(tmp_path, minutes, side):
    folder = images(tmp_path / "own", 40, labels=(), shape=(150, 200, 3))
    assert proposed(tmp_path, folder, minutes).values()["resolution"] == side


def test_tiny_grey_images(tmp_path):
    folder = images(tmp_path / "own", 40, labels=(), shape=(6, 9))
    values = proposed(tmp_path, folder).values()
    assert (values["resolution"], values["mode"], values["labels"]) == (8, "grey", "none")


def test_16_bit_images_that_use_12_bits(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(40):
        values = np.random.default_rng(number).integers(0, 4096, (16, 16)).astype(np.uint16)
        Image.fromarray(values).save(folder / f"{number}.png")
    assert proposed(tmp_path, folder).values()["bits"] == 12


def test_short_recordings_are_padded_to_one_clip(tmp_path):
    values = proposed(tmp_path, clips(tmp_path / "own")).values()
    assert values["sample_rate"] == 8000
    assert (values["seconds"], values["windows"]) == (0.5, "first")
    assert values["filename_pattern"] == "(?P<label>[^_]+)_.+"


def test_few_long_recordings_are_cut(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(2):
        sound = np.random.default_rng(number).normal(0, 0.1, 40_000)
        soundfile.write(folder / f"{number}.wav", sound, 4000)
    values = proposed(tmp_path, folder).values()
    assert (values["windows"], values["split"], values["sample_rate"]) == (
        "all", "position:file", 4000
    )  # fmt: skip
    (folder / "1.wav").unlink()
    assert proposed(tmp_path, folder).values()["split"] == "position"


def test_one_text_and_many(tmp_path):
    one = proposed(tmp_path, text(tmp_path / "one.txt", 20_000)).values()
    assert one["split"] == "position"
    assert one["protocol"]["sample_length"] <= 20_000 * 0.1 / 4
    for number in range(30):
        text(tmp_path / "own" / f"{number}.txt", 2000, seed=number)
    assert proposed(tmp_path, tmp_path / "own").values()["split"] == "hash"


def test_official_splits(tmp_path):
    folder = tmp_path / "own"
    for number in range(90):
        split, label = ("train", "train", "test")[number % 3], ("cat", "dog")[number % 2]
        image(folder / split / label / f"{number}.png", number)
    values = proposed(tmp_path, folder).values()
    assert (values["split"], values["labels"]) == ("official", "filename")


@pytest.mark.parametrize("count", [30, 100, 300])
def test_few_items_get_splits_that_prepare_accepts(tmp_path, count):
    # `dataset_entry` assigns the items as prepare does, and would raise its error.
    values = proposed(tmp_path, images(tmp_path / "own", count)).values()
    assert values["test"] * count >= 4


def test_too_few_items_are_refused_with_the_expectation(tmp_path):
    with pytest.raises(DataError, match=r"\(min_value: 30\) found 12\. Add files"):
        proposed(tmp_path, images(tmp_path / "own", 12))


def test_a_few_bad_files_are_admitted_and_many_refused(tmp_path):
    folder = images(tmp_path / "own")
    for number in range(4):
        (folder / "cat" / f"broken{number}.png").write_bytes(b"no image")
    entry = proposed(tmp_path, folder)
    setting = next(each for each in entry.settings if each.key == "max_quarantined")
    assert 4 / 64 < setting.value <= 0.1
    assert "cat/broken0.png" in setting.why
    for number in range(20):
        (folder / "cat" / f"worse{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"24 of 84 files cannot be used: 24 such as cat/broken0"):
        proposed(tmp_path, folder)


def test_a_sample_estimates_the_items(tmp_path, monkeypatch):
    monkeypatch.setattr(surveying, "READ", 64)
    folder = images(tmp_path / "own", 200)
    assert proposed(tmp_path, folder).values()["protocol"]["samples"] == 32
