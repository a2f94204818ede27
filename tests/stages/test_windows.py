"""What models get is judged: clips rather than files, finished images, texts with something in."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from genmint.common.errors import DataError
from genmint.data.prepared import SPLITS, Prepared

AUDIO = {
    "kind": "audio", "sample_rate": 1000, "seconds": 0.5, "max_quarantined": 0.02,
    "spectrogram": {"n_fft": 128, "hop": 32, "mels": 16},
}  # fmt: skip


def reasons(project):
    with project.project.quarantine("own").open(newline="", encoding="utf-8") as stream:
        return {row["id"]: row["reason"] for row in csv.DictReader(stream)}


def rows(project):
    table = pq.read_table(project.project.manifest("own")).to_pylist()
    return {row["id"]: row for row in table}


def recordings(project, count, late):
    """`late` of the recordings begin with a second of digital silence."""
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 0.1, 3000)
        noise[: 1000 if number < late else 0] = 0
        soundfile.write(project.write(f"{number:02d}.wav"), noise, 1000)


def test_recordings_that_begin_with_silence_do_not_train_silence(data_project):
    recordings(data_project, 40, late=18)
    data_project.block(**AUDIO)
    data_project.ingest()
    with pytest.raises(DataError, match=r"18 of 40 items failed.*the clip that models get is sil"):
        data_project.validate()
    assert len(reasons(data_project)) == 18
    assert "set windows to all" in reasons(data_project)["00.wav"]
    # The advice, taken: the silent clips are left out and counted, the others train.
    data_project.block(**AUDIO, windows="all")
    data_project.ingest()
    data_project.validate()
    data_project.prepare()
    assert reasons(data_project) == {}
    found = rows(data_project)
    assert (found["00.wav"]["windows"], found["00.wav"]["silent_windows"]) == (4, 2)
    assert (found["39.wav"]["windows"], found["39.wav"]["silent_windows"]) == (6, 0)
    prepared = Prepared(data_project.project.prepared("own"))
    clips = np.concatenate([prepared.array(split) for split in SPLITS])
    assert len(clips) == 18 * 4 + 22 * 6
    assert (np.abs(clips.astype(int)).max(axis=1) > 32).all()


def test_a_recording_that_is_silent_throughout_is_called_silent(data_project):
    recordings(data_project, 12, late=0)
    for name in ("quiet.wav", "still.wav"):
        soundfile.write(data_project.write(name), np.zeros(3000), 1000)
    data_project.block(**{**AUDIO, "max_quarantined": 0.2, "windows": "all"})
    data_project.ingest()
    data_project.validate()
    # Copies of each other as well, which says less.
    assert set(reasons(data_project)) == {"quiet.wav", "still.wav"}
    assert all(reason.startswith("silence") for reason in reasons(data_project).values())


@pytest.mark.parametrize("mode", ["grey", "rgb"])
def test_images_that_show_only_their_background_are_blank(data_project, mode):
    data_project.pictures(40)
    # A subject at the edge, which cropping removes; and a colour, whose channels differ.
    wide = np.full((24, 96, 3), (200, 30, 30), dtype=np.uint8)
    wide[:, :20] = np.random.default_rng(0).integers(0, 256, (24, 20, 3))
    Image.fromarray(wide).save(data_project.write("wide.png"))
    data_project.block(kind="image", resolution=8, mode=mode, max_quarantined=0.1)
    data_project.ingest()
    data_project.validate()
    assert set(reasons(data_project)) == {"wide.png"}
    assert "blank image" in reasons(data_project)["wide.png"]
    report = json.loads(data_project.project.validation("own").read_text())
    assert report["passed"] == 1
