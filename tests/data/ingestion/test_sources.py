"""Sources: descriptions are checked, and generated sets are what they say."""

from pathlib import Path

import numpy as np
import pytest

from genmint.common.errors import ConfigError, DataError
from genmint.config import AudioDataset, ImageDataset
from genmint.data.ingestion.sources import Digits, Notes, NotesSource, read_description

DESCRIPTIONS = Path(__file__).parents[3] / "data" / "sources"


@pytest.mark.parametrize("path", sorted(DESCRIPTIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_description_of_ours_can_be_read(path):
    found = read_description(path)
    assert found.source == path.stem
    for pinned in getattr(found, "files", ()):
        assert len(pinned.sha256) == 64
        assert all(url.startswith("https://") for url in getattr(pinned, "urls", ()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source: digitz", "source"),
        ("source: notes\nclips: 0\nseed: 1", r"clips: Input should be greater than 0"),
        ("source: notes\nclips: ten\nseed: 1", r"clips: Input should be a valid integer"),
        ("source: digits\nseed: 1", r"seed: Extra inputs are not permitted"),
        ("source: mnist\nfiles: []", r"files: "),
        ("source: mnist-test\nfiles: [{name: a, sha256: b}]", r"files\.0\.path: Field required"),
        ("source: [", "not valid YAML"),
        ("", "source"),
    ],
)
def test_wrong_descriptions_are_refused_by_file_and_key(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"wrong\.yaml: .*{message}"):
        read_description(path)


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
