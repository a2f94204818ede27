"""Copies and near-duplicates from files to arrays: nothing of the test split is trained on."""

import csv
import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from genmint.common.errors import DataError
from genmint.data.prepared import SPLITS, Prepared

IMAGES = {"kind": "image", "resolution": 24, "mode": "grey", "validation": 0.2, "test": 0.2}
AUDIO = {"kind": "audio", "sample_rate": 8000, "seconds": 0.25, "validation": 0.2, "test": 0.2}


def quarantined(project):
    with project.project.quarantine("own").open(newline="", encoding="utf-8") as stream:
        return {row["id"]: row["reason"] for row in csv.DictReader(stream)}


def report(project):
    return json.loads(project.project.validation("own").read_text())


def prepared(project):
    return Prepared(project.project.prepared("own"))


def photo(path, seed, **settings):
    rough = np.random.default_rng([7, seed]).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(rough).resize((48, 48), 3).save(path, **settings)


def splits_of(project, count):
    """Split of each of the photos 0…count, by which of them each prepared item resembles most."""
    looks = {}
    for number in range(count):
        rough = np.random.default_rng([7, number]).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        small = Image.fromarray(rough).resize((24, 24), 3).convert("L")
        looks[number] = np.asarray(small, dtype=float)
    sides = {number: set() for number in looks}
    for split in SPLITS:
        for item in prepared(project).array(split)[:, 0].astype(float):
            nearest = min(looks, key=lambda number: np.abs(looks[number] - item).mean())
            sides[nearest].add(split)
    return sides


def test_the_same_pixels_as_png_and_bmp_are_one_item(data_project):
    for number in range(40):
        photo(data_project.write(f"{number:02d}.png"), number)
        if number < 15:
            photo(data_project.write(f"z/{number:02d}.bmp"), number)
    data_project.block(**IMAGES, max_quarantined=0.5)
    data_project.ingest()
    data_project.validate()
    assert quarantined(data_project) == {
        f"z/{number:02d}.bmp": f"the same content as {number:02d}.png" for number in range(15)
    }
    data_project.prepare()
    assert sum(prepared(data_project).meta.items.values()) == 40
    # Where a suite lets copies through, they still stand in one split.
    data_project.admit()
    data_project.prepare()
    assert sum(prepared(data_project).meta.items.values()) == 55
    assert all(len(sides) == 1 for sides in splits_of(data_project, 40).values())


def test_the_same_sound_as_wav_and_flac_is_one_item(data_project):
    data_project.sounds(20)
    for number in range(6):
        sound, rate = soundfile.read(data_project.folder / f"{number:03d}.wav", dtype="int16")
        soundfile.write(data_project.write(f"z{number}.flac"), sound, rate, subtype="PCM_16")
        soundfile.write(data_project.write(f"z{number}.wav"), sound, rate, subtype="PCM_24")
    data_project.block(**AUDIO, max_quarantined=0.5)
    data_project.ingest()
    data_project.validate()
    assert len(quarantined(data_project)) == 12
    assert all(reason.startswith("the same content as 00") for reason in
               quarantined(data_project).values())  # fmt: skip


@pytest.mark.parametrize("split", ["hash", "position", "group:who"])
def test_images_stored_again_are_shown_and_stay_in_one_split(data_project, split):
    for number in range(60):
        photo(data_project.write(f"a{number % 7}-{number:02d}.png"), number)
        if number < 4:
            photo(data_project.write(f"b{number % 7}-{number:02d}.jpg"), number, quality=60)
    pattern = "(?P<who>[a-z][0-9])-[0-9]+"
    data_project.block(**IMAGES, split=split, filename_pattern=pattern)
    data_project.ingest()
    data_project.admit()
    data_project.prepare()
    assert all(len(sides) == 1 for sides in splits_of(data_project, 60).values())
    if split == "hash":
        data_project.validate()
        alike = report(data_project)["near_duplicates"]
        assert (alike["items"], alike["groups"], alike["copies"]) == (4, 4, 0)
        assert alike["share"] == pytest.approx(4 / 64)
        assert ["a0-00.png", "b0-00.jpg"] in alike["largest"]
        page = data_project.project.validation_page("own").read_text()
        assert "4 besides the first of each of 4 groups" in page


def test_more_near_duplicates_than_allowed_stop_the_pipeline(data_project):
    for number in range(30):
        photo(data_project.write(f"{number:02d}.png"), number)
        photo(data_project.write(f"{number:02d}.jpg"), number, quality=70)
    data_project.block(**IMAGES)
    data_project.ingest()
    with pytest.raises(DataError, match=r"30 items are nearly the same .*max_near_duplicates"):
        data_project.validate()
    assert report(data_project)["passed"] == 0
    data_project.block(**IMAGES, max_near_duplicates=0.5)
    data_project.validate()
    assert report(data_project)["passed"] == 1


def test_what_is_nearly_an_official_test_item_does_not_train(data_project):
    for number in range(50):
        photo(data_project.write(f"{'test' if number < 10 else 'train'}/{number}.png"), number)
    photo(data_project.write("train/again-3.jpg"), 3, quality=60)
    photo(data_project.write("test/again-4.jpg"), 4, quality=60)
    data_project.block(
        **IMAGES, split="official", max_quarantined=0.05,
        filename_pattern="(?P<split>train|test)/.+",
    )  # fmt: skip
    data_project.ingest()
    data_project.validate()
    assert quarantined(data_project) == {
        "train/again-3.jpg": "nearly the same as test/3.png, which is held out"
    }
    data_project.prepare()
    assert prepared(data_project).meta.items["test"] == 11
    # A quarantine list that somebody edited lets it no further.
    data_project.admit()
    data_project.prepare()
    assert prepared(data_project).meta.items["test"] == 11
    assert splits_of(data_project, 50)[3] == {"test"}


def test_training_arrays_say_which_items_are_near_duplicates(data_project):
    for number in range(40):
        photo(data_project.write(f"{number:02d}.png"), number)
    data_project.block(**IMAGES, confirmation=0.0)
    data_project.run()
    assert prepared(data_project).groups() is None
    for number in range(40):
        photo(data_project.write(f"{number:02d}.jpg"), number, quality=70)
    data_project.run()
    found = prepared(data_project)
    groups, items = found.groups(), found.array("train")[:, 0].astype(float)
    assert np.bincount(groups).tolist() == [2] * (len(items) // 2)
    for group in np.unique(groups):
        one, other = items[groups == group]
        assert np.abs(one - other).mean() < 6


def test_new_near_duplicates_leave_all_other_items_in_their_splits(data_project):
    for number in range(60):
        photo(data_project.write(f"{number:02d}.png"), number)
    data_project.block(**IMAGES)
    data_project.run()
    before = splits_of(data_project, 60)
    photo(data_project.write("again.jpg"), 5, quality=60)
    data_project.run()
    after = splits_of(data_project, 60)
    assert {number for number in before if before[number] != after[number]} <= {5}
    assert len(after[5]) == 1
