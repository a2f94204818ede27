"""Where `path` of a data set leads, and what is refused."""

import os
import subprocess

import pytest

from genmint.common.errors import ConfigError, DataError
from genmint.common.project import Project
from genmint.config import load_params
from genmint.data.ingestion.locate import existing_source, source_path
from genmint.diagnostics.doctor import doctor


@pytest.fixture
def project(tmp_path):
    """A project in a folder of a git repository."""
    root = tmp_path / "repository" / "models"
    root.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=root.parent, check=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("data/own/faces", "models/data/own/faces"),
        ("./data//own/x/../faces/", "models/data/own/faces"),
        ("../shared/faces", "shared/faces"),
        ("data/own/~old", "models/data/own/~old"),
    ],
)
def test_a_path_is_relative_to_params_yaml_and_stays_in_the_repository(project, path, found):
    assert source_path(project, "faces", path) == project.root.parent / found


def test_an_absolute_path_is_taken_as_it_is(project, tmp_path):
    assert source_path(project, "faces", str(tmp_path / "faces")) == tmp_path / "faces"


@pytest.mark.parametrize(
    "path", ["../../faces", "data/../../../faces", "../../../../../../../../srv/x"]
)
def test_a_relative_path_out_of_the_repository_is_refused_with_the_absolute_one(project, path):
    meant = os.path.normpath(project.root / path)
    with pytest.raises(ConfigError, match=r"datasets\.faces\.path: .*leads out") as caught:
        source_path(project, "faces", path)
    assert f"({meant})" in str(caught.value)
    # The advice works.
    assert str(source_path(project, "faces", meant)) == meant


@pytest.mark.parametrize(
    "path", [".", "..", "data", "data/raw/faces", "models/x", ".git", ".dvc/cache", "/", "reports/"]
)
def test_what_the_stages_write_is_no_source(project, path):
    with pytest.raises(ConfigError, match="Put the data at data/own/faces"):
        source_path(project, "faces", path)


def test_a_link_in_the_path_is_followed_and_judged_by_where_it_leads(project, tmp_path):
    (tmp_path / "drive").mkdir()
    (project.root / "faces").symlink_to(tmp_path / "drive")
    assert existing_source(project, "faces", "faces") == tmp_path / "drive"
    (project.root / "loop").symlink_to(project.root)
    with pytest.raises(ConfigError, match="contains this project"):
        existing_source(project, "faces", "loop")


def dangling(root):
    (root / "x").symlink_to("nothing")


def circle(root):
    (root / "x").symlink_to("x")


def pipe(root):
    os.mkfifo(root / "x")


def device(root):
    (root / "x").symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "path", "says"),
    [
        (lambda root: None, "x", "no such file or folder"),
        (lambda root: (root / "x").touch(), "x/y", "no such file or folder"),
        (dangling, "x", "broken symbolic link"),
        (circle, "x", "symbolic link|Too many levels"),
        (pipe, "x", "neither a file nor a folder"),
        (device, "x", "neither a file nor a folder"),
        (lambda root: None, "n" * 300, "File name too long"),
        (lambda root: None, "/".join(["n" * 250] * 20), "File name too long"),
    ],
)
def test_what_is_no_source_is_named_in_one_line(project, make, path, says):
    make(project.root)
    with pytest.raises(DataError, match=says) as caught:
        existing_source(project, "faces", path)
    assert "datasets.faces.path" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("~/faces", r"DVC does not know ~.*absolute path \(/.*/faces\)"),
        ("~nobody-of-this-name/faces", "DVC does not know ~"),
        ("s3://bucket/faces", "dvc import-url"),
        ("data/own/a\\u0000b", "control character"),
        ("data/own/a\\e[31m", "control character"),
    ],
)
def test_a_path_that_dvc_reads_otherwise_is_refused_by_every_command(project, path, says):
    project.params.write_text(
        f'datasets: {{faces: {{path: "{path}", kind: text}}}}\nmodels: {{}}\ngates: {{}}\n'
    )
    with pytest.raises(ConfigError, match=says):
        load_params(project.params)


def test_doctor_names_what_no_stage_could_read(project, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    faces = project.root / "data" / "own" / "faces"
    faces.mkdir(parents=True)
    (faces / os.fsdecode(b"caf\xe9.txt")).touch()
    (faces / "dead.txt").symlink_to("nothing")
    entries = "\n".join(
        f"  {name}: {{path: {path}, kind: text}}"
        for name, path in (
            ("faces", "data/own/faces"),
            ("out", "../../out"),
            ("gone", "data/own/g"),
        )
    )
    project.params.write_text(f"datasets:\n{entries}\nmodels: {{}}\ngates: {{}}\n")
    assert doctor(project) == 1
    said = capsys.readouterr().out
    assert "caf\\xe9.txt: name is not UTF-8" in said
    assert "data/own/faces/dead.txt: broken symbolic link" in said
    assert "../../out: leads out of the repository" in said
    assert "datasets.gone.path" in said
