"""What a folder holds: the kind, the number, and what is no item."""

import os

import pytest
from tests.awkward.folders import FOLDERS
from tests.proposal.own_files import images, text

from genmint.common.errors import ConfigError, DataError, GenmintError
from genmint.proposal import content
from genmint.proposal.content import list_content


def no_stores():
    return ()


def listed(path, kind=None):
    return list_content(path.resolve(), kind, no_stores)


def files(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return folder


def test_the_kind_is_that_of_the_files(tmp_path):
    found = listed(files(tmp_path, "a.png", "sub/b.JPG", "c.jpg", "notes.pdf"))
    assert (found.kind, found.paths) == ("image", ("a.png", "c.jpg", "sub/b.JPG"))
    assert found.endings == [(".jpg", 2), (".png", 1)]
    assert str(found) == "3 images (2 .jpg, 1 .png)"
    assert [(each.ending, each.advice) for each in found.left_out] == [
        (".pdf", "export its images as png or jpg")
    ]


def test_a_readme_beside_images_is_left_out(tmp_path):
    found = listed(files(tmp_path, "README.md", *(f"{n}.png" for n in range(9))))
    assert found.kind == "image"
    assert len(found.paths) == 9
    assert "kind: text" in found.left_out[0].advice


def test_mixed_kinds_are_refused_with_their_numbers(tmp_path):
    files(tmp_path, *(f"{n}.png" for n in range(9)), *(f"{n}.wav" for n in range(8)))
    with pytest.raises(ConfigError, match=r"9 images and 8 recordings.*--kind image"):
        listed(tmp_path)
    assert listed(tmp_path, "audio").paths == tuple(f"{n}.wav" for n in range(8))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"an empty folder; put images \(\.png"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (("a.heic", "b.heic"), r"2 \.heic \(convert to png or jpg\)"),
        (("a.mp3", "b.mp3", "c.zip"), r"2 \.mp3 \(convert to flac or wav\), 1 \.zip \(unpack"),
        (("a.pdf",), r"1 \.pdf \(convert to txt"),
        (("a.csv",), r"1 \.csv \(export each item as a file: png or jpg\)"),
    ],
)
def test_only_other_endings_are_refused_with_what_to_convert_them_to(tmp_path, names, advice):
    with pytest.raises(DataError, match=advice):
        listed(files(tmp_path, *names))


def test_none_of_the_wanted_kind(tmp_path):
    with pytest.raises(
        DataError, match=r"no audio \(\.wav, \.flac\); 1 file was left out: 1 \.png"
    ):
        listed(files(tmp_path, "a.png"), "audio")


def test_a_single_text_is_fine_and_other_files_are_not(tmp_path):
    assert listed(text(tmp_path / "a.txt", 100)).kind == "text"
    assert listed(files(tmp_path, "b.wav") / "b.wav").kind == "audio"
    for name, problem in {
        "c.png": "one image is no data set",
        "d.mp3": "convert to flac or wav",
        "e.yaml": "a description of a data set",
        "f": "without ending is not read; genmint reads images",
    }.items():
        with pytest.raises(GenmintError, match=problem):
            listed(files(tmp_path, name) / name)
    with pytest.raises(ConfigError, match="is text, not image"):
        listed(tmp_path / "a.txt", "image")


def test_pointers_are_refused_with_the_command(tmp_path):
    images(tmp_path, 3, labels=())
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n"
    (tmp_path / "x.png").write_bytes(pointer)
    with pytest.raises(DataError, match="git lfs pull"):
        listed(tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", sorted(name for name in FOLDERS if FOLDERS[name].stops_dvc))
def test_what_stops_dvc_is_refused_by_name(tmp_path, name):
    folder, outside = tmp_path / "data" / "own" / "mine", tmp_path / "outside"
    folder.mkdir(parents=True)
    outside.mkdir()
    FOLDERS[name].make(folder, outside)
    with pytest.raises(DataError, match=r"`dvc repro` would stop at "):
        listed(folder)


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    files(tmp_path, "a.png", "locked/b.png")
    scan = os.scandir

    def denied(path):
        if str(path).rstrip("/").endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match=r"locked: cannot be listed: Permission denied"):
        listed(tmp_path)


def test_many_files_are_counted_on_and_the_number_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(content, "_REPORTED", 4)
    found = listed(files(tmp_path, *(f"{n}.png" for n in range(9))))
    assert len(found.paths) == 9
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" files")[0] for line in lines] == ["genmint new: 4", "genmint new: 8"]
    assert all("counting on" in line for line in lines)


def test_a_link_in_a_circle_does_not_loop(tmp_path):
    files(tmp_path, "a.png", "b.png")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    # ingest quarantines it by name, whatever its ending.
    assert listed(tmp_path).paths == ("a.png", "again", "b.png")
