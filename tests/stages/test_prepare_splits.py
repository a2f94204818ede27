"""How prepare divides items, texts and stacks into splits."""

import os

import numpy as np
import pytest
import soundfile
from tests.stages.arrays import PICTURES, TEXTS, everything, prepared

from genmint.common.errors import DataError
from genmint.data.prepared import SPLITS
from genmint.data.splitting import splits
from genmint.data.splitting.splits import Shares

SOUNDS = {"kind": "audio", "sample_rate": 8000, "seconds": 0.25}


MIRROR = os.environ.get("GENMINT_DATA_MIRROR")


needs_mirror = pytest.mark.skipif(not MIRROR, reason="GENMINT_DATA_MIRROR is not set")


def test_an_empty_split_is_an_error_that_names_it(data_project):
    data_project.pictures(30)
    data_project.block(**{**PICTURES, "test": 0.001})
    data_project.ingest()
    data_project.admit()
    with pytest.raises(
        DataError, match=r"datasets\.own\.split: hash would leave the split test empty"
    ):
        data_project.prepare()
    assert not data_project.project.prepared("own").exists()


def test_speakers_stay_together(data_project):
    for speaker in ("ann", "bob", "cid", "dee", "eve"):
        data_project.sounds(6, pattern=f"{speaker}/{speaker}-{{:03d}}.wav", seconds=0.25)
    # The clips of one number are the same for all: give each speaker noise and a level of its own.
    for level, folder in enumerate(sorted(data_project.folder.iterdir()), start=1):
        for number, file in enumerate(sorted(folder.iterdir())):
            noise = np.random.default_rng([level, number]).normal(0, 0.02, 2000)
            soundfile.write(file, np.clip(level / 10 + noise, -1, 1), 8000)
    data_project.block(
        **SOUNDS, split="group:speaker", filename_pattern="(?P<speaker>[a-z]+)-[0-9]+"
    )
    data_project.run()
    found = prepared(data_project)
    speakers = {
        split: set(np.round(found.array(split).mean(axis=1) / 3276.8).astype(int).tolist())
        for split in SPLITS
    }
    assert sum(len(group) for group in speakers.values()) == 5
    assert set.union(*speakers.values()) == {1, 2, 3, 4, 5}
    assert found.meta.items == {"train": 12, "validation": 6, "test": 6, "confirmation": 6}


@pytest.mark.parametrize("kind", ["image", "audio", "text"])
def test_a_confirmation_that_is_switched_off_is_empty(data_project, kind):
    make = {
        "image": data_project.pictures,
        "audio": data_project.sounds,
        "text": data_project.texts,
    }
    make[kind](60)
    block = {"image": PICTURES, "audio": SOUNDS, "text": TEXTS}[kind]
    data_project.block(**block)
    data_project.run()
    with_it = prepared(data_project)
    data_project.block("without", **block, confirmation=0.0)
    data_project.run("without")
    found = prepared(data_project, "without")
    found.check()
    assert found.meta.items["confirmation"] == 0
    assert len(found.array("confirmation")) == 0
    assert with_it.meta.items["confirmation"] > 0
    for split in ("validation", "test"):
        np.testing.assert_array_equal(found.array(split), with_it.array(split))
    held, trained = with_it.meta.items["confirmation"], with_it.meta.items["train"]
    assert found.meta.items["train"] == held + trained


def test_a_group_that_nobody_named_is_an_error(data_project):
    data_project.pictures(40)
    data_project.block(**PICTURES, split="group:patient")
    data_project.ingest()
    data_project.admit()
    with pytest.raises(DataError, match="the manifest has no column 'patient'"):
        data_project.prepare()


def test_official_split_without_one_is_an_error(data_project):
    data_project.pictures(40)
    data_project.block(**PICTURES, split="official")
    data_project.ingest()
    data_project.admit()
    with pytest.raises(DataError, match="split: official, but the source has no splits"):
        data_project.prepare()


def test_windows_of_a_long_file_stay_together_and_in_order(data_project):
    data_project.sounds(30, seconds=1.1)
    data_project.block(**SOUNDS, windows="all", validation=0.2, test=0.2)
    data_project.run()
    found = prepared(data_project)
    # 1.1 s is four quarters of a second and a rest of less than half a clip.
    assert sum(found.meta.items.values()) == 120
    assert all(count % 4 == 0 and count for count in found.meta.items.values())


def test_texts_begin_with_a_start_and_know_only_training_characters(data_project):
    data_project.texts(50)
    data_project.block(**TEXTS)
    data_project.ingest()
    data_project.admit()
    data_project.prepare()
    found = prepared(data_project)
    vocabulary = found.meta.vocabulary
    assert vocabulary[:2] == ("<unk>", "<s>")
    for split in SPLITS:
        tokens, offsets = found.array(split), found.offsets(split)
        assert tokens.dtype == np.uint16
        assert (tokens[offsets[:-1]] == 1).all()
        assert int((tokens == 1).sum()) == len(offsets) - 1 == found.meta.items[split]
        assert offsets[-1] == len(tokens)
    train = found.array("train")
    assert set(np.unique(train).tolist()) == set(range(1, len(vocabulary)))


def test_characters_outside_training_are_unknown(data_project):
    data_project.texts(1, words=4000)
    text = (data_project.folder / "000.txt").read_text()
    data_project.write("000.txt").write_text(text[:-1] + "Ω")
    data_project.block(kind="text", split="position")
    data_project.run()
    found = prepared(data_project)
    assert "Ω" not in found.meta.vocabulary
    assert found.array("test")[-1] == 0
    assert 0 not in found.array("train")


def test_rare_characters_are_unknown(data_project):
    data_project.texts(1, words=4000)
    text = (data_project.folder / "000.txt").read_text()
    half = len(text)
    data_project.write("000.txt").write_text(text + "Ω" + text)
    data_project.block(kind="text", split="position", min_count=2)
    data_project.run()
    found = prepared(data_project)
    assert "Ω" not in found.meta.vocabulary
    train = found.array("train")
    assert train[0] == 1
    # One symbol for each `<s>`.
    parts = splits.cut_by_position(2 * half + 1, Shares(0.1, 0.1, 0.05), 64)
    before = [(a, b) for split, a, b in parts if split == "train" and a <= half]
    place = sum(min(b, half) - a + 1 for a, b in before)
    assert np.flatnonzero(train == 0).tolist() == [place]


@pytest.mark.parametrize("split", ["hash", "position"])
def test_line_ends_of_texts_change_neither_splits_nor_arrays(data_project, split):
    """A delivery from another system, or a text in git where core.autocrlf is true."""
    data_project.texts(50)
    data_project.block(kind="text", split=split, validation=0.2, test=0.2)
    found = []
    for end in (b"\n", b"\r\n", b"\r"):
        for path in sorted(data_project.folder.iterdir()):
            path.write_bytes(b" ".join(path.read_bytes().split()).replace(b" ", end))
        data_project.run()
        made = sorted(data_project.project.prepared("own").iterdir())
        found.append({path.name: path.read_bytes() for path in made})
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_a_single_text_is_cut_by_position(data_project):
    data_project.texts(1, words=4001)
    text = (data_project.folder / "000.txt").read_text()
    data_project.block(kind="text", split="position", validation=0.1, test=0.2)
    data_project.run()
    found = prepared(data_project)
    wanted = dict.fromkeys(SPLITS, "")
    for split, start, stop in splits.cut_by_position(len(text), Shares(0.1, 0.2, 0.05), 64):
        wanted[split] += "<s>" + text[start:stop]
    for split in SPLITS:
        written = "".join(found.meta.vocabulary[token] for token in found.array(split))
        assert written == wanted[split]
    assert len(wanted["test"]) == pytest.approx(3 + 0.2 * len(text), abs=1)
    assert len(wanted["validation"]) == pytest.approx(0.1 * len(text), rel=0.3)


def test_a_single_text_cannot_be_split_by_hash(data_project):
    data_project.texts(1, words=4000)
    data_project.block(**TEXTS)
    data_project.ingest()
    data_project.admit()
    with pytest.raises(DataError, match=r"Set split: position;"):
        data_project.prepare()


def test_a_single_file_can_be_the_path(data_project):
    data_project.texts(1, words=4000)
    data_project.block(path="data/own/things/000.txt", kind="text", split="position")
    data_project.run()
    assert prepared(data_project).meta.items == dict.fromkeys(SPLITS, 1)


DIGITS = {"path": "data/sources/digits.yaml", "kind": "image", "resolution": 8, "labels": "source"}


def test_stacks_are_made_within_each_split(data_project):
    data_project.block("digits", **DIGITS)
    data_project.block("stacked", **DIGITS, stack={"items": 3000, "seed": 4})
    for name in ("digits", "stacked"):
        data_project.run(name)
    single, stacked = prepared(data_project, "digits"), prepared(data_project, "stacked")
    assert stacked.meta.shape == (3, 8, 8)
    assert stacked.meta.labels == tuple(f"{number:03d}" for number in range(1000))
    assert stacked.meta.stacked == single.meta.labels
    assert stacked.meta.items["train"] == 3000
    share = 3000 / single.meta.items["train"]
    for split in SPLITS:
        known = {
            picture.tobytes(): label
            for picture, label in zip(single.array(split), single.labels(split), strict=True)
        }
        items, labels = stacked.array(split), stacked.labels(split)
        assert len(items) == len(labels) == round(single.meta.items[split] * share)
        for item, label in zip(items[:200], labels[:200], strict=True):
            shown = "".join(str(known[channel.tobytes()]) for channel in item)
            assert stacked.meta.labels[label] == shown
    first = everything(data_project.project.prepared("stacked"))
    data_project.prepare("stacked")
    assert everything(data_project.project.prepared("stacked")) == first
    assert set(first) == {"meta.json", *stacked.meta.files}


def test_a_set_without_stacks_has_no_word_of_them(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.run()
    assert "stack" not in (data_project.project.prepared("own") / "meta.json").read_text()


def test_stacks_of_too_many_labels_are_refused_by_the_name_of_the_key(data_project):
    for number in range(22):
        data_project.pictures(3, start=3 * number, folder=f"{number}/")
    data_project.block(**PICTURES, labels="folder", stack={"items": 10})
    data_project.ingest()
    data_project.admit()
    with pytest.raises(DataError, match=r"datasets\.own\.stack: 22 labels in 3 channels"):
        data_project.prepare()
    assert not data_project.project.prepared("own").exists()


@needs_mirror
def test_mnist_has_its_official_test_digits(data_project, monkeypatch):
    monkeypatch.setenv("GENMINT_DATA_MIRROR", MIRROR)
    data_project.block(
        "mnist",
        path="data/sources/mnist.yaml",
        kind="image",
        resolution=28,
        split="official",
        labels="source",
    )
    data_project.run("mnist")
    found = prepared(data_project, "mnist")
    assert found.meta.items["test"] == 10_000
    # Eight training digits are nearly the same as test digits: they are left out.
    assert sum(found.meta.items.values()) == 70_000 - 8
    assert found.meta.items["validation"] == pytest.approx(6000, rel=0.05)
    # The first ten test digits, as everybody knows them.
    assert found.labels("test")[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert found.array("test").mean() / 255 == pytest.approx(0.1325, abs=1e-4)


@needs_mirror
def test_tiny_shakespeare_tests_on_its_last_tenth(data_project, monkeypatch):
    monkeypatch.setenv("GENMINT_DATA_MIRROR", MIRROR)
    data_project.block(
        "play", path="data/sources/tiny-shakespeare.yaml", kind="text", split="position"
    )
    data_project.run("play")
    found = prepared(data_project, "play")
    assert len(found.meta.vocabulary) == 2 + 65
    assert len(found.array("test")) == 1 + 111_540
    assert (found.array("train") != 1).sum() == 829_070
    assert (found.array("confirmation") != 1).sum() == 58_240
