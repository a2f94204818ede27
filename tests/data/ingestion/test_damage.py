"""Damaged files enter unnoticed as rarely as docs/data.md says; PNG and FLAC never."""

import pytest
from benchmarks.damage import KINDS, measure

# Shares of docs/data.md, with room for chance: four standard deviations of 1,000 files.
MOST = {"PNG": 0.0, "FLAC": 0.0, "JPEG": 0.27, "WebP": 0.14, "BMP": 0.65, "WAV": 0.64}


@pytest.mark.parametrize("name", ["PNG", "FLAC"])
def test_no_damage_of_formats_with_checksums_enters(name, tmp_path):
    assert measure(name, 60, 0, tmp_path).unnoticed == 0


@pytest.mark.parametrize("name", ["JPEG", "WebP"])
def test_most_damage_of_compressed_images_is_found(name, tmp_path):
    found = measure(name, 60, 0, tmp_path)
    assert found.unnoticed < 0.4 * found.damaged
    assert found.unnoticed < found.by_decoder


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_thousand_damaged_files(name, tmp_path):
    found = measure(name, 1000, 1, tmp_path)
    assert found.damaged == 1000
    assert found.unnoticed <= MOST[name] * found.damaged
    assert found.refused_same <= found.same
