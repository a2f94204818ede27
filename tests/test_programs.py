"""git and DVC fail in their own words."""

import shutil
import subprocess

import pytest

from genmint import tracking
from genmint.errors import GenmintError
from genmint.flow.checkout import resolve
from genmint.flow.committed import object_at, params_at, text_at
from genmint.lineage.history import recorded_in
from genmint.programs import GitError, file_at, git, problem, run_dvc
from genmint.project import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "DVC_ROOT", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


def init(root):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True)


def dubious(root, monkeypatch):
    """Another user's repository, by the switch that git's own tests use."""
    init(root)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    return "dubious ownership.*safe.directory"


def zip_download(root, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(root.parent))
    return r"not a git repository.*Clone the repository, or run `git init`"


def no_program(root, monkeypatch):
    init(root)
    monkeypatch.setenv("PATH", str(root))
    return "git: not found on PATH. Install it"


def damaged(root, monkeypatch):
    init(root)
    (root / ".git" / "config").write_text("[core\n")
    return "bad config"


CASES = [dubious, zip_download, no_program, damaged]


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_gits_own(case, project, monkeypatch):
    words = case(project.root, monkeypatch)
    with pytest.raises(GitError, match=words) as caught:
        git(project, "rev-parse", "HEAD")
    assert caught.value.unusable
    assert "\n" not in str(caught.value)
    assert problem(project) == str(caught.value)


@pytest.mark.parametrize("case", CASES)
def test_it_comes_through_wherever_git_is_asked(case, project, monkeypatch):
    words = case(project.root, monkeypatch)
    for ask in (
        lambda: resolve(project, "HEAD", ignore_uncommitted=False),
        lambda: object_at(project, "HEAD", "params.yaml"),
        lambda: params_at(project, "HEAD"),
        lambda: file_at(project, "HEAD", "dvc.lock"),
    ):
        with pytest.raises(GitError, match=words):
            ask()
    tags = tracking.git_state(project)
    if case is zip_download:  # outside of git there is nothing to be known
        assert tags == {}
        assert recorded_in(project, {}) is None
    else:
        assert list(tags) == ["genmint.git_problem"]
        with pytest.raises(GitError, match=words):
            recorded_in(project, {})


def test_what_a_commit_lacks_is_no_failure_of_git(project):
    init(project.root)
    assert file_at(project, "HEAD", "params.yaml") == "{}\n"
    assert file_at(project, "HEAD", "dvc.lock") is None
    assert object_at(project, "HEAD", "params.yaml")
    assert object_at(project, "HEAD", "dvc.lock") is None
    with pytest.raises(GitError, match="Not a valid object name nowhere") as caught:
        file_at(project, "nowhere", "dvc.lock")
    assert not caught.value.unusable
    with pytest.raises(GenmintError, match=r"has no gx/image\.yaml"):
        text_at(project, "HEAD", "gx/image.yaml")


def test_below_the_top_of_a_repository(project):
    inner = project.root / "inner"
    inner.mkdir()
    shutil.copy(project.params, inner)
    (inner / "dvc.lock").write_text("inner\n")
    init(project.root)
    assert file_at(Project(inner), "HEAD", "dvc.lock") == "inner\n"
    assert file_at(project, "HEAD", "dvc.lock") is None


def test_a_hook_of_another_repository_changes_nothing(project, tmp_path, monkeypatch):
    init(project.root)
    expected = git(project, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=other, check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert git(project, "rev-parse", "HEAD") == expected


def test_dvc_fails_in_its_own_words(project):
    with pytest.raises(GenmintError, match=r"`dvc checkout` failed in .*not inside of a DVC"):
        run_dvc(project, "checkout")
