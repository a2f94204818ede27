"""Where the registry of a project lies, for every layout that git and DVC have."""

import os
import subprocess
from pathlib import Path

import pytest

from genmint import tracking
from genmint.common.dvc_config import cache_dir, has_remote
from genmint.common.errors import GenmintError
from genmint.common.programs import run_dvc
from genmint.common.project import Project
from genmint.flow.checkout import checked_out

GIT = [
    *("git", "-c", "user.name=a", "-c", "user.email=a@b.c"),
    *("-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"),
]


def git(folder, *arguments):
    done = subprocess.run([*GIT, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("DVC_EXP_BASELINE_REV", "DVC_ROOT", "GENMINT_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def origin(tmp_path):
    """A repository with one commit of a project."""
    root = tmp_path / "origin"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / ".gitignore").write_text("/.genmint/\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def bare_with_worktree(origin, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", str(origin), "project.git")
    git(tmp_path / "project.git", "worktree", "add", "-q", str(tmp_path / "work"))
    return tmp_path / "work"


def hidden_bare_with_worktree(origin, tmp_path):
    """As many people have it: NAME/.bare, a file NAME/.git that names it, NAME/main."""
    (tmp_path / "name").mkdir()
    git(tmp_path / "name", "clone", "-q", "--bare", str(origin), ".bare")
    (tmp_path / "name" / ".git").write_text("gitdir: ./.bare\n")
    git(tmp_path / "name", "worktree", "add", "-q", "work")
    return tmp_path / "name" / "work"


def separate_git_dir(origin, tmp_path):
    folder = tmp_path / "elsewhere.git"
    git(tmp_path, "clone", "-q", "--separate-git-dir", str(folder), str(origin), "work")
    return tmp_path / "work"


def submodule(origin, tmp_path):
    (tmp_path / "outer").mkdir()
    git(tmp_path / "outer", "init", "-q")
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(origin), "parts/inner")
    return tmp_path / "outer" / "parts" / "inner"


def plain_clone(origin, tmp_path):
    git(tmp_path, "clone", "-q", str(origin), "work")
    return tmp_path / "work"


def linked_worktree_of_submodule(origin, tmp_path):
    inner = submodule(origin, tmp_path)
    git(inner, "worktree", "add", "-q", str(tmp_path / "linked"))
    return inner


LAYOUTS = [
    *(plain_clone, bare_with_worktree, hidden_bare_with_worktree, separate_git_dir),
    *(submodule, linked_worktree_of_submodule),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_flow_keeps_its_registry_where_it_was_started(layout, origin, tmp_path):
    work = layout(origin, tmp_path)
    home = Project(work)
    assert home.home == work
    commit = git(work, "rev-parse", "HEAD")
    with checked_out(home, commit, "night") as checkout:
        assert checkout.root != work
        assert tracking.database(checkout) == work / "mlflow.db"
        # As a stage finds itself, in a process of its own.
        assert Project.find(checkout.root).home == work


@pytest.mark.parametrize("layout", [bare_with_worktree, separate_git_dir])
def test_a_flow_through_a_linked_folder_of_checkouts(layout, origin, tmp_path):
    work = layout(origin, tmp_path)
    (tmp_path / "scratch").mkdir()
    (work / ".genmint").symlink_to(tmp_path / "scratch")
    with checked_out(Project(work), git(work, "rev-parse", "HEAD"), "night") as checkout:
        assert Project(checkout.root.resolve()).home == work


def test_a_worktree_of_a_submodule_shares_its_registry(origin, tmp_path):
    inner = linked_worktree_of_submodule(origin, tmp_path)
    assert Project(tmp_path / "linked").home == inner


def test_worktrees_of_a_bare_repository_share_the_registry_that_is_named(
    origin, tmp_path, monkeypatch
):
    work = bare_with_worktree(origin, tmp_path)
    git(work, "worktree", "add", "-q", str(tmp_path / "other"))
    assert Project(tmp_path / "other").home == tmp_path / "other"
    monkeypatch.setenv("GENMINT_HOME", str(work))
    assert Project(tmp_path / "other").home == work
    # That of another repository is none of theirs.
    monkeypatch.setenv("GENMINT_HOME", str(origin))
    assert Project(tmp_path / "other").home == tmp_path / "other"


@pytest.mark.parametrize("inside", ["tmpabc", "standalone/tmpabc"])
def test_an_experiment_belongs_to_its_workspace_also_without_the_environment(
    inside, origin, tmp_path
):
    work = plain_clone(origin, tmp_path)
    copy = work / ".dvc" / "tmp" / "exps" / inside
    copy.parent.mkdir(parents=True)
    git(tmp_path, "clone", "-q", str(origin), str(copy))
    assert Project(copy).home == work


def test_an_experiment_in_a_worktree_of_a_bare_repository(origin, tmp_path, monkeypatch):
    """`dvc exp run` sets the variables in the workspace, too."""
    work = bare_with_worktree(origin, tmp_path)
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    monkeypatch.setenv("DVC_ROOT", str(work))
    assert Project(work).home == work
    git(tmp_path, "clone", "-q", str(origin), "copy")
    assert Project(tmp_path / "copy").home == work


def test_no_registry_is_made_in_a_checkout_that_will_be_deleted(origin, tmp_path):
    """A bare repository's worktree there that no flow of ours made: nobody knows its home."""
    work = bare_with_worktree(origin, tmp_path)
    stray = work / ".genmint" / "checkouts" / "stray"
    git(work, "worktree", "add", "-q", "--detach", str(stray))
    with pytest.raises(GenmintError, match=r"no registry is made here\. Set MLFLOW_TRACKING_URI"):
        tracking.create_store(Project(stray))
    assert not (stray / "mlflow.db").exists()
    assert not (stray / ".genmint").exists()


def test_the_home_is_known_where_git_refuses_to_work(origin, tmp_path, monkeypatch):
    """As with a repository of another user, or without git."""
    git(origin, "worktree", "add", "-q", str(tmp_path / "other"))
    monkeypatch.setenv("PATH", os.devnull)
    assert Project(tmp_path / "other").home == origin
    assert Project(Path(tmp_path / "other" / ".")).home == origin


def test_a_flow_works_in_a_folder_with_blanks_quotes_and_foreign_letters(origin, tmp_path):
    """DVC itself cannot write such a path into its configuration."""
    work = tmp_path / "a b's #%&+é 図"
    git(tmp_path, "clone", "-q", str(origin), str(work))
    (work / ".dvc" / "config.local").write_text(
        f"['remote \"store\"']\n    url = {tmp_path / 'é'}\n[core]\n    remote = store\n"
    )
    home = Project(work)
    with checked_out(home, git(work, "rev-parse", "HEAD"), "night") as checkout:
        assert cache_dir(checkout.root) == work / ".dvc" / "cache"
        assert has_remote(checkout.root)
        # DVC as a program reads it, too.
        assert run_dvc(checkout, "cache", "dir").strip() == str(work / ".dvc" / "cache")
        assert str(tmp_path / "é") in run_dvc(checkout, "remote", "list")
