"""The advice in messages about splits: each setting that a message names is taken, and works."""

import re

import numpy as np
import pytest
import soundfile

from genmint.common.errors import ConfigError, DataError
from genmint.data.prepared import SPLITS, Prepared
from genmint.data.splitting import splits
from genmint.data.splitting.splits import Shares

IMAGES = {"kind": "image", "resolution": 8}
AUDIO = {
    "kind": "audio", "sample_rate": 1000, "seconds": 0.5,
    "spectrogram": {"n_fft": 128, "hop": 32, "mels": 16},
}  # fmt: skip
TEXT = {"kind": "text"}


def advice(message):
    """The settings that a message advises: `Set a: 1 and b: 2; or set c: 3; or add data.`"""
    _, _, advised = message.partition(" Set ")
    ways = re.split(r"; or set ", advised.removesuffix("; or add data."))
    return [
        {key: number(value) for key, _, value in (part.partition(": ") for part in parts)}
        for parts in (re.split(r" and (?=[a-z_]+: )", way) for way in ways)
        if parts != [""]
    ]


def number(value):
    return float(value) if re.fullmatch(r"[0-9.]+", value) else value


def images(project, count):
    project.pictures(count)


def recordings(project, count, seconds=20.0):
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 0.1, round(1000 * seconds))
        soundfile.write(project.write(f"{'ab'[number % 2]}-{number}.wav"), noise, 1000)


def novels(project, count):
    project.texts(count, words=900)


def folders(project, _):
    for split in ("train", "Val", "test"):
        for label in ("cat", "dog"):
            project.pictures(8, start=len(split) * 100 + ord(label[0]), folder=f"{split}/{label}/")


SPEAKERS = "(?P<speaker>[ab])-[0-9]+"
REFUSED = [
    (images, 16, IMAGES),
    (images, 16, {**IMAGES, "split": "position"}),
    (images, 30, {**IMAGES, "test": 0.001}),
    (images, 30, {**IMAGES, "split": "official"}),
    (recordings, 1, AUDIO),
    (recordings, 1, {**AUDIO, "windows": "all"}),
    (recordings, 1, {**AUDIO, "windows": "all", "split": "official"}),
    (recordings, 1, {**AUDIO, "split": "position"}),
    (recordings, 3, AUDIO),
    (recordings, 4, {**AUDIO, "split": "group:speaker", "filename_pattern": SPEAKERS}),
    (novels, 1, TEXT),
    (novels, 3, TEXT),
    (novels, 3, {**TEXT, "split": "official"}),
    (folders, 0, {**IMAGES, "labels": "folder"}),
]


def named(case):
    return f"{case[1]} {case[0].__name__} {case[2].get('split', 'hash')}"


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_each_setting_that_a_message_advises_works(data_project, case):
    make, count, settings = case
    make(data_project, count)
    data_project.block(**settings)
    with pytest.raises(DataError) as refused:
        data_project.run()
    assert not data_project.project.prepared("own").exists()
    ways = advice(str(refused.value))
    assert ways, refused.value
    for way in ways:
        data_project.block(**{**settings, **way})
        data_project.run()
        found = Prepared(data_project.project.prepared("own")).meta.items
        wanted = set(SPLITS) if way.get("confirmation") != 0 else set(SPLITS) - {"confirmation"}
        assert all(found[split] for split in wanted), way


def test_where_no_setting_helps_none_is_advised(data_project):
    images(data_project, 2)
    data_project.block(**IMAGES)
    with pytest.raises(DataError, match=r"\(train .*\)\. Add data\.$"):
        data_project.run()


def test_the_group_that_a_message_asks_for_works(data_project):
    recordings(data_project, 80, seconds=1.0)
    data_project.block(**AUDIO, split="group:patient")
    with pytest.raises(DataError, match=r"a group \(\?P<patient>…\)"):
        data_project.run()
    data_project.block(**AUDIO, split="group:patient", filename_pattern=r"[ab]-(?P<patient>[0-9]+)")
    data_project.run()


@pytest.mark.parametrize("settings", [IMAGES, {**AUDIO, "windows": "first"}])
def test_position_within_files_needs_files_that_can_be_cut(data_project, settings):
    data_project.pictures(1)
    data_project.block(**settings, split="position:file")
    with pytest.raises(ConfigError, match="position:file"):
        data_project.run()


def test_a_recording_of_ten_minutes_enters(data_project):
    recordings(data_project, 1, seconds=600.0)
    data_project.block(**AUDIO, windows="all", split="position")
    data_project.ingest()
    data_project.validate()
    data_project.prepare()
    found = Prepared(data_project.project.prepared("own"))
    sound, _ = soundfile.read(data_project.folder / "a-0.wav", dtype="int16")
    clips = sound.reshape(-1, 500)
    parts = splits.cut_by_position(len(clips), Shares(0.1, 0.1, 0.05))
    for split in SPLITS:
        wanted = [clips[start:stop] for other, start, stop in parts if other == split]
        np.testing.assert_array_equal(found.array(split), np.concatenate(wanted))


def test_several_recordings_are_cut_within_each(data_project):
    recordings(data_project, 2, seconds=20.0)
    recordings_of = {}
    for path in sorted(data_project.folder.iterdir()):
        sound, _ = soundfile.read(path, dtype="int16")
        recordings_of[path.name] = sound.reshape(-1, 500)
    data_project.block(**AUDIO, windows="all", split="position:file")
    data_project.run()
    found = Prepared(data_project.project.prepared("own"))
    parts = splits.cut_by_position(40, Shares(0.1, 0.1, 0.05))
    for split in SPLITS:
        wanted = [
            clips[start:stop]
            for clips in recordings_of.values()
            for other, start, stop in parts
            if other == split
        ]
        np.testing.assert_array_equal(found.array(split), np.concatenate(wanted))


def test_three_novels_are_cut_within_each(data_project):
    novels(data_project, 3)
    data_project.block(**TEXT, split="position:file")
    data_project.run()
    found = Prepared(data_project.project.prepared("own"))
    assert found.meta.items == dict.fromkeys(SPLITS, 3)
    ends = found.offsets("test")[1:]
    for end, path in zip(ends, sorted(data_project.folder.iterdir()), strict=True):
        tail = "".join(found.meta.vocabulary[t] for t in found.array("test")[end - 20 : end])
        assert path.read_text().endswith(tail)
