"""Sources: descriptions are checked, and idx files are what they say."""

import struct
from pathlib import Path

import numpy as np
import pytest

from genmint.common.errors import ConfigError, DataError
from genmint.config import AudioDataset, ImageDataset
from genmint.data.ingestion.sources import Digits, Notes, NotesSource, read_description, read_idx

DESCRIPTIONS = Path(__file__).parents[3] / "data" / "sources"


@pytest.mark.parametrize("path", sorted(DESCRIPTIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_description_of_ours_can_be_read(path):
    found = read_description(path)
    assert found.source == path.stem
    for remote in getattr(found, "files", ()):
        assert len(remote.sha256) == 64
        assert all(url.startswith("https://") for url in remote.urls)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source: digitz", "source"),
        ("source: notes\nclips: 0\nseed: 1", r"clips: Input should be greater than 0"),
        ("source: notes\nclips: ten\nseed: 1", r"clips: Input should be a valid integer"),
        ("source: digits\nseed: 1", r"seed: Extra inputs are not permitted"),
        ("source: mnist\nfiles: []", r"files: "),
        ("source: [", "not valid YAML"),
        ("", "source"),
    ],
)
def test_wrong_descriptions_are_refused_by_file_and_key(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"wrong\.yaml: .*{message}"):
        read_description(path)


def idx(values, kind=8):
    values = np.asarray(values, dtype=np.uint8)
    header = bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


def test_idx_files_are_mapped(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx(values))
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), values)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00", idx([1, 2, 3])[:-1], idx([1, 2]) + b"x", idx([1, 2], kind=9)]
)
def test_what_is_no_idx_file_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match="idx file"):
        read_idx(tmp_path / "a")


def test_digits_use_the_whole_range_and_all_ten_classes(tmp_path):
    dataset = ImageDataset(kind="image", path="x", resolution=8, labels="source")
    source = Digits(dataset)
    source.materialise(tmp_path)
    rows = [row for piece in source.items(tmp_path).describe() for row in piece]
    assert len(rows) == 1797
    assert {row["label"] for row in rows} == {str(digit) for digit in range(10)}
    pixels = np.load(tmp_path / "digits.npy")
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert len(np.unique(pixels)) == 17


def test_notes_need_a_rate_that_holds_them(tmp_path):
    dataset = AudioDataset(kind="audio", path="x", sample_rate=2000, seconds=0.5)
    source = Notes(dataset, NotesSource(source="notes", clips=7, seed=0))
    with pytest.raises(DataError, match="at least 4000 Hz, not 2000"):
        source.materialise(tmp_path)
