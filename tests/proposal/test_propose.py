"""From a path to entries in params.yaml: what is proposed, and what is refused."""

import os
import re

import pytest
from tests.awkward.folders import FOLDERS
from tests.proposal.own_files import clips, image, images, project_at, text

from genmint.common.errors import ConfigError, DataError, GenmintError
from genmint.config import load_params
from genmint.proposal import propose as module
from genmint.proposal.propose import Wishes, propose
from genmint.proposal.sizing import Sized

# Folders of tests/awkward that are made with the folder itself.
_OWN_FOLDER = ("photos of a phone", "only photos of a phone", "thumbnails beside images")


@pytest.fixture(autouse=True)
def no_timing(monkeypatch):
    """Networks are proposed without timing them; tests/proposal/test_sizing.py does that."""

    def size(options, name, specs, dataset, amounts, seconds, clock):
        return Sized(options[-1], 100, 10.0, seconds / 2, seconds / 4, min(5.0, seconds / 10))

    monkeypatch.setattr(module, "size", size)
    monkeypatch.setattr(module, "extractor_epochs", lambda *_: 7)


@pytest.fixture
def project(tmp_path):
    return project_at(tmp_path / "project")


def proposed(project, path, name=None, families=(), minutes=10.0, kind=None):
    return propose(project, str(path), Wishes(name, families, minutes, kind), lambda _: None)


def test_images_get_a_data_set_three_models_and_three_gates(project, tmp_path):
    before = project.params.read_text()
    proposal = proposed(project, images(tmp_path / "My Photos"))
    assert project.params.read_text() == before, "nothing is written yet"
    assert proposal.models == ("my-photos-rnn", "my-photos-vae", "my-photos-gan")
    proposal.insertion.write()
    params = load_params(project.params)
    assert params.datasets["my-photos"].path == str(tmp_path / "My Photos")
    for name in proposal.models:
        assert params.models[name].dataset == "my-photos"
        assert params.gates[name].champion.superior
    assert params.datasets["my-photos"].reference.epochs == 7
    lines = iter(project.params.read_text().splitlines())
    assert all(any(line == other for other in lines) for line in before.splitlines())
    measured = (
        r"  # 10 steps a second here: 100 steps, 5 passes, about [0-9.]+ minutes with evaluate"
    )
    assert len(re.findall(measured, project.params.read_text())) == 3


def test_the_overview_states_what_the_files_are(project, tmp_path):
    folder = images(tmp_path / "own")
    (folder / "cat" / "broken.png").write_bytes(b"no image")
    (folder / "notes.pdf").write_bytes(b"x")
    lines = proposed(project, folder).overview.splitlines()
    assert lines[0] == f"{folder}: 61 images (61 .png)"
    shown = {line[2:16].strip(): line[17:] for line in lines[1:]}
    assert shown["size"] == "16×16 (60)"
    assert shown["colours"] == "60 of 60 have colours"
    assert shown["labels"] == "3 classes by folder: cat 21, dog 20, owl 20"
    assert shown["duplicates"] == "none"
    assert shown["cannot be used"].startswith("1: ")
    assert shown["left out"] == "1 file was left out: 1 .pdf (export its images as png or jpg)"


def test_copies_and_near_copies_are_counted_apart(project, tmp_path):
    folder = images(tmp_path / "own", labels=())
    (folder / "copy.png").write_bytes((folder / "000.png").read_bytes())
    shown = proposed(project, folder).overview
    assert re.search(r"^  duplicates +1 copy$", shown, re.MULTILINE), shown


def test_too_few_images_are_told_the_limit(project, tmp_path):
    with pytest.raises(DataError, match=r"image\.yaml: \S+ \(min_value: 30\) found 10\. Add files"):
        proposed(project, images(tmp_path / "own", 10))


@pytest.mark.parametrize("own", [0, 10])
def test_links_that_lead_out_have_a_way_out(project, tmp_path, own):
    elsewhere, folder = images(tmp_path / "elsewhere", 40, labels=()), tmp_path / "own"
    folder.mkdir()
    for path in sorted(elsewhere.iterdir()):
        (folder / path.name).symlink_to(path)
    images(folder, own, labels=("cat",))
    with pytest.raises(DataError, match="Copy the files into the folder, or write the data set"):
        proposed(project, folder)


def test_audio_and_text(project, tmp_path):
    audio = proposed(project, clips(tmp_path / "drums"))
    assert "part 2 repeats (anna, bob)" in audio.overview
    assert audio.models == ("drums-rnn", "drums-vae", "drums-gan")
    one = proposed(project, text(tmp_path / "book.txt", 20_000))
    assert one.models == ("book-rnn",)
    assert one.notes[:2] == (
        "no vae: takes grids, and this is text", "no gan: takes grids, and this is text"
    )  # fmt: skip


def test_too_little_time_is_stated(project, tmp_path):
    folder = images(tmp_path / "own")
    assert not any("passes" in note for note in proposed(project, folder).notes)
    notes = proposed(project, folder, minutes=0.5, families=("rnn", "vae")).notes
    for name in ("own-rnn", "own-vae"):
        assert any(re.match(rf"{name}: 0\.\d+ passes .* more with --minutes$", n) for n in notes)


def test_a_family_of_choice(project, tmp_path):
    folder = images(tmp_path / "own")
    assert proposed(project, folder, families=("gan",)).models == ("own-gan",)
    with pytest.raises(ConfigError, match="--family vae: takes grids, and this is text"):
        proposed(project, text(tmp_path / "book.txt", 20_000), families=("vae",))


def test_nearly_black_and_white_images_are_binarised(project, tmp_path):
    import numpy as np
    from PIL import Image

    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(40):
        strokes = np.random.default_rng(number).random((16, 16)) > 0.8
        Image.fromarray((strokes * 255).astype(np.uint8)).save(folder / f"{number}.png")
    proposal = proposed(project, folder, families=("vae",))
    assert "likelihood: bernoulli" in proposal.insertion.after
    assert "pixel_bernoulli" in proposal.insertion.diff()


def test_a_folder_of_the_project_is_written_relative_to_it(project, monkeypatch):
    folder = images(project.root / "data" / "own" / "pets")
    proposal = proposed(project, folder)
    assert "path: data/own/pets\n" in proposal.insertion.after
    monkeypatch.chdir(project.root / "data")
    assert "path: data/own/pets\n" in proposed(project, "own/pets").insertion.after
    monkeypatch.chdir(folder)
    assert proposed(project, ".").models[0] == "pets-rnn"


def test_an_entry_is_never_overwritten(project, tmp_path):
    folder = images(tmp_path / "own")
    proposed(project, folder).insertion.write()
    before = project.params.read_bytes()
    with pytest.raises(ConfigError, match=r"datasets\.own is there already.*--name own-2"):
        proposed(project, folder)
    assert project.params.read_bytes() == before
    assert proposed(project, folder, name="own-2").models[0] == "own-2-rnn"
    with pytest.raises(ConfigError, match=r"models\.image-vae is there already"):
        proposed(project, folder, name="image", families=("vae",))


def test_dots_in_the_name_of_a_folder_are_no_endings(project, tmp_path):
    folder = images(tmp_path / "2024.01.15 photos", 40)
    assert proposed(project, folder, families=("gan",)).models == ("data-2024-01-15-photos-gan",)
    book = text(tmp_path / "my.book.txt", 20_000)
    assert proposed(project, book).models == ("my-book-rnn",)


def test_a_params_file_that_changed_meanwhile_is_not_overwritten(project, tmp_path):
    proposal = proposed(project, images(tmp_path / "own"))
    project.params.write_text(project.params.read_text() + "# a note\n")
    with pytest.raises(ConfigError, match="changed meanwhile"):
        proposal.insertion.write()


@pytest.mark.parametrize("name", ["Photos", "9lives", "a/b", "x" * 60, ""])
def test_a_name_that_is_none(project, tmp_path, name):
    with pytest.raises(ConfigError, match="--name"):
        proposed(project, images(tmp_path / "own", 40), name=name or "-")


def test_paths_that_are_none(project, tmp_path):
    with pytest.raises(DataError, match="gone: no such file or folder"):
        proposed(project, tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match="loop: Too many levels of symbolic links"):
        proposed(project, tmp_path / "loop")
    with pytest.raises(ConfigError, match="contains this project"):
        proposed(project, tmp_path)
    with pytest.raises(ConfigError, match="contains this project"):
        proposed(project, "/")
    with pytest.raises(ConfigError, match="is written by the stages"):
        proposed(project, images(project.root / "models" / "x", 3))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        proposed(project, tmp_path / "pipe")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_any_folder_ends_in_a_proposal_or_in_one_line(project, tmp_path, name):
    folder, outside = project.root / "data" / "own" / "mine", tmp_path / "outside"
    folder.parent.mkdir(parents=True)
    if name not in _OWN_FOLDER:
        folder.mkdir()
    outside.mkdir()
    FOLDERS[name].make(folder, outside)
    try:
        proposed(project, folder)
    except GenmintError as error:
        message = str(error)
    else:
        assert not FOLDERS[name].fails
        return
    assert message
    assert "\n" not in message


def test_names_with_any_character_become_a_valid_entry(project, tmp_path):
    folder = tmp_path / "Äpfel & Birnen (2026)"
    for number in range(40):
        image(folder / ("rot: #1", 'grün "x"')[number % 2] / f"{number}.png", number)
    proposal = proposed(project, folder)
    proposal.insertion.write()
    params = load_params(project.params)
    assert params.datasets["pfel-birnen-2026"].path == str(folder)
