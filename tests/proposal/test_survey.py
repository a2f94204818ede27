"""What the items are, read by the readers of ingest and checked by the expectations."""

import shutil

import numpy as np
import pytest
from PIL import Image
from tests.proposal.own_files import clips, images, project_at

from genmint.common.errors import DataError
from genmint.proposal import survey as module
from genmint.proposal.content import list_content
from genmint.proposal.datasets import first_entry
from genmint.proposal.structure import structure_of
from genmint.proposal.survey import survey


def no_stores():
    return ()


def surveyed(tmp_path, folder):
    found = list_content(folder.resolve(), None, no_stores)
    entry = first_entry("mine", str(folder), found, structure_of(found.paths, found.kind))
    return survey(project_at(tmp_path / "project"), found, entry, no_stores)


def test_images_that_cannot_be_used_are_found_with_the_reasons_of_validate(tmp_path):
    folder = images(tmp_path / "own")
    (folder / "cat" / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.full((16, 16, 3), 7, np.uint8)).save(folder / "dog" / "blank.png")
    shutil.copy(folder / "cat" / "000.png", folder / "owl" / "copy.png")
    found = surveyed(tmp_path, folder)
    assert found.complete
    assert found.items == 60
    reasons = dict.fromkeys(path for _, _, path in found.common_reasons())
    assert set(reasons) == {"cat/broken.png", "dog/blank.png", "owl/copy.png"}
    assert any("the same content as cat/000.png" in why for why, _, _ in found.common_reasons())
    assert any("blank image" in why for why, _, _ in found.common_reasons())
    assert found.near_duplicates == 1
    assert found.quarantined_share == pytest.approx(3 / 63)


def test_grey_and_coloured_images_are_read_alike(tmp_path):
    folder = images(tmp_path / "own", 40)
    images(folder, 8, labels=("grey",), shape=(16, 16))
    found = surveyed(tmp_path, folder)
    assert found.dataset.mode == "rgb"
    assert found.items == 48


def test_of_many_files_a_sample_is_read_and_all_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ", 20)
    found = surveyed(tmp_path, images(tmp_path / "own"))
    assert not found.complete
    assert (len(found.table), len(found.content.paths), found.items) == (20, 60, 60)
    paths = found.table["path"].to_pylist()
    assert paths == sorted(paths)


def test_reading_stops_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(module, "_CHUNK", 16)
    assert len(surveyed(tmp_path, images(tmp_path / "own")).table) == 16


def test_nothing_readable_is_refused_with_the_first_reason(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 3 files can be read.*0\.wav: empty file"):
        surveyed(tmp_path, folder)


def test_recordings_of_mixed_formats(tmp_path):
    found = surveyed(tmp_path, clips(tmp_path / "own"))
    assert found.items == 60
    assert set(found.column("sample_rate")) == {8000, 16_000, 44_100}
    assert set(found.column("channels")) == {1, 2}
