"""Prepare: arrays with the right items in the right splits, or nothing at all."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from genmint.data.prepared import SPLITS, Prepared
from genmint.errors import DataError, GenmintError
from genmint.files import sha256_file

PICTURES = {"kind": "image", "resolution": 8, "validation": 0.2, "test": 0.2}
SOUNDS = {"kind": "audio", "sample_rate": 8000, "seconds": 0.25}
TEXTS = {"kind": "text", "validation": 0.2, "test": 0.2}

MIRROR = os.environ.get("GENMINT_DATA_MIRROR")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="GENMINT_DATA_MIRROR is not set")


def prepared(data_project, name="own"):
    found = Prepared(data_project.project.prepared(name))
    found.check()
    return found


def everything(folder):
    return {path.name: sha256_file(path) for path in folder.iterdir()}


def test_pictures_land_in_their_splits_with_their_labels(data_project):
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
    data_project.texts(30)
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
    data_project.admit(quarantined=['0003.png,0003.png,"blank, they say"'])
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
    data_project.texts(30)
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
    with pytest.raises(DataError, match="is of another manifest"):
        data_project.prepare()
    data_project.validate()
    path = data_project.project.validation("own")
    path.write_text(json.dumps({**json.loads(path.read_text()), "passed": True and "yes"}))
    with pytest.raises(DataError, match="did not pass"):
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


def test_without_a_quarantine_list_nothing_enters(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.admit()
    data_project.project.quarantine("own").unlink()
    with pytest.raises(DataError, match=r"own\.csv: no such file\. Run `dvc repro -f valid"):
        data_project.prepare()


def test_pictures_by_position_are_cut_in_the_order_of_their_paths(data_project):
    data_project.pictures(50)
    data_project.block(**{**PICTURES, "split": "position"})
    data_project.run()
    found = prepared(data_project)
    assert found.meta.items == {"train": 28, "validation": 10, "test": 10, "confirmation": 2}
    data_project.block("last", **{**PICTURES, "split": "position", "test": 0.04})
    data_project.run("last")
    np.testing.assert_array_equal(
        prepared(data_project, "last").array("test"), found.array("test")[-2:]
    )


def test_texts_can_have_labels(data_project):
    data_project.texts(30)
    for number, file in enumerate(sorted(data_project.folder.iterdir())):
        file.rename(data_project.write(f"{'prose' if number % 2 else 'verse'}/{file.name}"))
    data_project.block(**TEXTS, labels="folder")
    data_project.run()
    found = prepared(data_project)
    assert found.meta.labels == ("prose", "verse")
    for split in SPLITS:
        assert len(found.labels(split)) == found.meta.items[split]
    assert set(found.labels("train").tolist()) == {0, 1}


def test_a_damaged_manifest_is_an_error_with_the_way_out(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    data_project.project.manifest("own").write_bytes(b"PAR1 no more")
    data_project.admit()
    with pytest.raises(DataError, match=r"not a manifest .* Run `dvc repro -f ingest@own`"):
        data_project.prepare()


def test_a_manifest_of_another_version_is_an_error_with_the_way_out(data_project):
    data_project.pictures(60)
    data_project.block(**PICTURES)
    data_project.ingest()
    path = data_project.project.manifest("own")
    pq.write_table(pq.read_table(path).drop_columns(["item", "sketch"]), path)
    data_project.admit()
    with pytest.raises(DataError, match=r"no column item; .*`dvc repro -f ingest@own`"):
        data_project.prepare()


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
    data_project.texts(30)
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
    # One symbol for `<s>`; the first tenth validates, and a twentieth confirms.
    assert np.flatnonzero(train == 0).tolist() == [1 + half - (2 * half + 1) * 15 // 100]


def test_a_single_text_is_cut_by_position(data_project):
    data_project.texts(1, words=4001)
    text = (data_project.folder / "000.txt").read_text()
    data_project.block(kind="text", split="position", validation=0.1, test=0.2)
    data_project.run()
    found = prepared(data_project)
    written = {
        split: "".join(found.meta.vocabulary[token] for token in found.array(split)[1:])
        for split in SPLITS
    }
    ordered = ("validation", "confirmation", "train", "test")
    assert "".join(written[split] for split in ordered) == text
    assert len(written["confirmation"]) == pytest.approx(0.05 * len(text), abs=1)
    assert len(written["test"]) == pytest.approx(0.2 * len(text), abs=1)
    assert len(written["validation"]) == pytest.approx(0.1 * len(text), abs=1)


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
    assert len(found.array("train")) == 1 + 836_545
    assert len(found.array("confirmation")) == 1 + 55_770
