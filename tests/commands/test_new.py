"""`genmint new`: shows the diff, asks, and writes only what was agreed to."""

import io
import sys

import pytest
from tests.proposal.own_files import images, project_at

from genmint import cli
from genmint.config import load_params
from genmint.proposal import propose
from genmint.proposal.sizing import Sized


class Terminal(io.StringIO):
    """A person at a terminal who types an answer."""

    def isatty(self):
        return True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    project = project_at(tmp_path / "project")
    monkeypatch.chdir(project.root)

    def size(options, name, specs, dataset, amounts, seconds, clock):
        return Sized(options[-1], 100, 10.0, 1.0, 1.0, 5.0)

    monkeypatch.setattr(propose, "size", size)
    monkeypatch.setattr(propose, "extractor_epochs", lambda *_: 7)
    return images(project.root / "data" / "own" / "pets", 40)


def test_yes_writes_and_names_the_next_commands(folder, capsys):
    assert cli.run(["new", str(folder), "--yes", "--family", "gan", "--family", "rnn"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder}: 40 images (40 .png)\n")
    assert "+  pets:\n" in out
    assert "  dvc repro gate@pets-gan gate@pets-rnn\n" in out
    assert "  genmint promote pets-gan pets-rnn\n" in out
    assert "  genmint sample pets-gan@champion -n 16 --out pets-gan.png\n" in out
    assert {"pets-gan", "pets-rnn"} <= set(load_params(folder.parents[2] / "params.yaml").models)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_is_asked_after_the_diff(folder, monkeypatch, capsys, answer, code):
    params = folder.parents[2] / "params.yaml"
    before = params.read_bytes()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert cli.run(["new", str(folder), "--family", "gan"]) == code
    assert (params.read_bytes() == before) == (code == 1)
    out = capsys.readouterr().out
    assert out.index("+  pets:\n") < out.index("Write this into params.yaml?")
    assert ("nothing was written" in out) == (code == 1)


def test_without_a_terminal_it_asks_for_yes(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert cli.run(["new", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error == (
        "genmint new: it asks before it writes, and this is no terminal: add --yes\n"
    )  # fmt: skip


def test_a_read_only_params_file_is_refused_before_the_survey(folder, capsys):
    params = folder.parents[2] / "params.yaml"
    params.chmod(0o444)
    assert cli.run(["new", str(folder), "--yes"]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"genmint new: {params}: is read-only; nothing was written. Make it writable (chmod u+w) "
        "and run it again.\n"
    )


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "1e9"])
def test_minutes_that_are_none(folder, capsys, minutes):
    assert cli.run(["new", str(folder), "--yes", "--minutes", minutes]) == 2
    assert "between 0.1 and 43200" in capsys.readouterr().err


def test_an_error_is_one_line(folder, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert cli.run(["new", str(empty), "--yes"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"genmint new: {empty}: an empty folder; put images")
    assert len([line for line in lines if "empty folder" in line]) == 1


def test_the_help_teaches(capsys):
    assert cli.run(["new", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("genmint new data/own/photos", "dvc repro gate@photos-rnn", "baseline: png"):
        assert part in shown
