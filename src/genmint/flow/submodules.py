"""Submodules in a flow's checkout, whose folders git leaves empty in a new worktree."""

from __future__ import annotations

from pathlib import Path

from genmint.common.errors import ConfigError
from genmint.common.programs import GitError, git
from genmint.common.project import Project

_SUBMODULE = "160000"


def fill_submodules(home: Path, checkout: Path) -> None:
    """Check out those submodules of a worktree that are checked out in the home tree.

    Objects are shared with the home tree, so nothing is fetched or has to be pushed before. The
    submodules' git folders lie in that of the checkout, as git itself does, and are removed with
    it.

    Args:
        home: top of the working tree that has the submodules.
        checkout: top of the new working tree of the same repository.

    Raises:
        ConfigError: the recorded commit of a submodule does not exist and cannot be fetched.
        GenmintError: git fails.
    """
    for path, commit in _submodules(checkout):
        source, target = home / path, checkout / path
        # A submodule that is not checked out in the home tree stays empty here, too.
        if not (source / ".git").exists():
            continue
        own = git(Project(checkout), "rev-parse", "--absolute-git-dir").strip()
        folder = Path(own) / "modules" / path
        folder.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        # `.git` is a file as in the home tree, because all files of a data folder count.
        git(
            Project(checkout), "clone", "--quiet", "--no-checkout", "--shared",
            f"--separate-git-dir={folder}", str(source), str(target),
        )  # fmt: skip
        _check_out(Project(source), Project(target), commit, path)
        fill_submodules(source, target)


def _submodules(checkout: Path) -> list[tuple[str, str]]:
    """Return path and recorded commit of each submodule of a working tree."""
    submodules = []
    for entry in git(Project(checkout), "ls-files", "--stage", "-z").split("\0"):
        fields, _, path = entry.partition("\t")
        if fields.startswith(f"{_SUBMODULE} "):
            submodules.append((path, fields.split()[1]))
    return submodules


def _check_out(source: Project, target: Project, commit: str, path: str) -> None:
    try:
        try:
            git(source, "cat-file", "-e", f"{commit}^{{commit}}")
        except GitError:
            git(source, "fetch", "--quiet", "--recurse-submodules=no")
        git(target, "checkout", "--quiet", "--detach", commit)
    except GitError as error:
        raise ConfigError(
            f"{source.root}: the submodule {path} has no commit {commit[:12]}, which is recorded "
            f"of it. Run `git submodule update --init {path}`. ({error})"
        ) from None
