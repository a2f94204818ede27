import subprocess

import pytest

from genmint.common.errors import ConfigError
from genmint.common.project import Project


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "main"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=root, check=True)
    return root


def test_it_is_found_from_a_folder_inside(repository):
    inside = repository / "a" / "b"
    inside.mkdir(parents=True)
    assert Project.find(inside).root == repository


def test_outside_there_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"no params.yaml with a dvc.yaml"):
        Project.find(tmp_path)


def test_home_of_a_worktree_is_the_main_repository(repository, tmp_path):
    subprocess.run(
        ["git", "worktree", "add", "-q", str(tmp_path / "other")], cwd=repository, check=True
    )
    assert Project.find(tmp_path / "other").home == repository


def test_home_inside_a_temporary_experiment_is_the_workspace(repository, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", str(repository), str(copy)], check=True)
    monkeypatch.setenv("DVC_ROOT", str(repository))
    assert Project.find(copy).home == copy
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    assert Project.find(copy).home == repository


def test_home_of_a_project_below_the_top_of_its_repository(repository):
    inner = repository / "services" / "faces"
    inner.mkdir(parents=True)
    (inner / "params.yaml").write_text("{}\n")
    (inner / "dvc.yaml").write_text("stages: {}\n")
    assert Project.find(inner).home == inner


def test_home_without_git_is_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    (tmp_path / "params.yaml").write_text("{}\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    assert Project.find(tmp_path).home == tmp_path


@pytest.mark.parametrize("name", ["what?", "line\nbreak", "esc\x1b[2J", "bytes\udcff"])
def test_a_folder_that_no_database_address_can_name_is_refused(name, tmp_path):
    root = tmp_path / name
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(ConfigError, match=r"cannot hold a checkout.*Rename the folder") as caught:
        Project.find(root)
    assert str(caught.value).isprintable()
