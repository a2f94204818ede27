"""What doctor says of an installation."""

import os
import subprocess

import pytest

from genmint import doctor
from genmint.project import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("GENMINT_HOME", "MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


def said(project, check):
    return doctor.check(project, check)


def init(root):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True)


def test_git_is_asked_and_not_only_found(project, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    mark, text = said(project, "git")
    assert (mark, "not a git repository" in text) == ("failed", True)
    init(project.root)
    assert said(project, "git")[0] == "ok"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    mark, text = said(project, "git")
    assert mark == "failed"
    assert "dubious ownership" in text
    assert "safe.directory" in text
    monkeypatch.setenv("PATH", os.devnull)
    assert said(project, "git") == (
        "failed",
        "not found on PATH; install git: DVC, lineage and flows need it",
    )


def test_the_folder_with_the_registry_is_named(project, tmp_path, monkeypatch):
    init(project.root)
    git = ["git", "-C", str(project.root), "worktree", "add", "-q", str(tmp_path / "other")]
    subprocess.run(git, check=True)
    other = Project(tmp_path / "other")
    assert said(other, "home") == ("ok", f"{project.root} keeps registry and checkpoints")
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(project.root), str(bare)], check=True)
    git = ["git", "-C", str(bare), "worktree", "add", "-q", str(tmp_path / "third")]
    subprocess.run(git, check=True)
    mark, text = said(Project(tmp_path / "third"), "home")
    assert (mark, "Set GENMINT_HOME to the one of" in text) == ("!", True)
    monkeypatch.setenv("GENMINT_HOME", str(tmp_path / "third"))
    assert said(Project(tmp_path / "third"), "home")[0] == "ok"
