"""Every awkward audio file of tests/awkward/sounds.py: what enters, what does not, and why."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from awkward import sounds
from genmint.config import AudioDataset
from genmint.data.ingestion.readers import AudioReader
from genmint.data.prepared import Prepared

SETTINGS = {
    "kind": "audio",
    "sample_rate": sounds.RATE,
    "seconds": sounds.LENGTH / sounds.RATE,
    "max_quarantined": 0.9,
    "validation": 0.2,
    "test": 0.2,
    "confirmation": 0.0,
}


@pytest.fixture(scope="module")
def run(data_projects):
    project = data_projects()
    for name, content in sounds.ordinary().items():
        project.write(name).write_bytes(content)
    for sound in sounds.sounds():
        project.write(sound.name).write_bytes(sound.content)
    project.block(**SETTINGS, near_duplicates=1.0)
    project.ingest()
    project.validate()
    project.prepare()
    return project


@pytest.fixture(scope="module")
def reasons(run):
    with run.project.quarantine("own").open(newline="", encoding="utf-8") as stream:
        return {row["id"]: row["reason"] for row in csv.DictReader(stream)}


def test_there_are_thirty_and_more():
    found = sounds.sounds()
    assert len({sound.name for sound in found}) == len(found) >= 30


@pytest.mark.parametrize("sound", sounds.sounds(), ids=lambda sound: sound.name)
def test_result_of_each_case(run, reasons, sound):
    if sound.reason is not None:
        assert sound.reason in reasons.get(sound.name, "it enters")
        return
    assert reasons.get(sound.name) is None
    found = AudioReader(AudioDataset(path="x", **SETTINGS)).load(run.folder / sound.name)
    assert found.shape == (1, sounds.LENGTH)
    assert np.abs(found[0] - np.asarray(sound.becomes, dtype=float)).max() <= sound.within


def test_what_enters_is_packed(run, reasons):
    prepared = Prepared(run.project.prepared("own"))
    files = len(sounds.sounds()) + len(sounds.ordinary())
    assert sum(prepared.meta.items.values()) == files - len(reasons)


def test_the_levels_of_the_manifest_are_those_of_the_file(run):
    rows = {row["id"]: row for row in pq.read_table(run.project.manifest("own")).to_pylist()}
    inverted = rows["inverted.wav"]
    assert inverted["channels"] == 2
    assert inverted["peak"] == pytest.approx(9000 / 32_768, abs=0.001)
    assert inverted["silence"] < 0.05
    assert inverted["mono_peak"] == inverted["mono_rms"] == 0.0
    assert inverted["cancelled"] == 1.0
    half = rows["one-channel-silent.wav"]
    assert half["mono_peak"] == pytest.approx(half["peak"] / 2, abs=1e-4)
    # Two independent halves of the power: mixing takes one of them.
    assert half["cancelled"] == pytest.approx(0.5, abs=1e-6)
    assert rows["ordinary-00.wav"]["cancelled"] == 0.0


@pytest.mark.parametrize(("channel", "sign"), [("left", 1), ("right", -1)])
def test_a_channel_can_be_chosen_where_they_cancel_each_other(run, channel, sign):
    reader = AudioReader(AudioDataset(path="x", channel=channel, **SETTINGS))
    path = run.folder / "inverted.wav"
    np.testing.assert_array_equal(reader.load(path)[0], sign * sounds.noise(40))
    found = reader.describe(path)
    assert found["mono_peak"] == found["peak"]
    assert found["cancelled"] == 0.0
    one = run.folder / "ordinary-00.wav"
    np.testing.assert_array_equal(reader.load(one)[0], sounds.noise(1000))
