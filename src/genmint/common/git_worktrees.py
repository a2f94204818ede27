"""Creation and removal of git worktrees of one commit that share the DVC cache.

`git worktree prune` is never run. It removes every worktree whose folder is missing at that moment,
including a user's worktree on an unmounted disk. Its index and the commits that only its HEAD
refers to would be lost.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from genmint.common.dvc_config import share_cache
from genmint.common.git_repository import note_home
from genmint.common.programs import git
from genmint.common.project import Project

# Files must equal those of the commit byte by byte, because DVC hashes bytes; `core.autocrlf` would
# change them.
_AS_COMMITTED = ("core.autocrlf=false", "core.eol=lf")


def add_worktree(project: Project, target: Path, commit: str) -> Project:
    """Create a worktree at `target` with a detached HEAD at `commit`.

    It uses the registry of `project` and shares its DVC cache and remotes.

    Args:
        project: project of the repository.
        target: missing or empty folder.
        commit: commit of the repository.

    Returns:
        The project in the worktree.

    Raises:
        GenmintError: git cannot create it, or DVC's configuration is damaged; nothing is left.
    """
    target = target.resolve()
    prefix = git(project, "rev-parse", "--show-prefix").strip()
    # If this fails, git has cleaned up, and any remaining files are not from genmint.
    add = ("worktree", "add", "--quiet", "--detach", str(target), commit)
    git(project, *add, settings=_AS_COMMITTED)
    worktree = Project(target / prefix)
    try:
        note_home(target, project.home)
        share_cache(project.root, worktree.root)
    except BaseException:
        remove_worktree(project, target)
        raise
    return worktree


def remove_worktree(project: Project, target: Path) -> None:
    """Remove the folder `target` and git's record of a worktree there, but no other worktree.

    Nothing happens if neither exists. If the folder cannot be removed, git's record is kept.

    Raises:
        GitError: git is not usable, or cannot remove its record.
    """
    target = target.resolve()
    shutil.rmtree(target, ignore_errors=True)
    if not target.exists() and target in _known(project):
        # A `git worktree add` that was killed leaves its worktree locked; --force twice overrides
        # this.
        git(project, "worktree", "remove", "--force", "--force", str(target))


def worktrees_in(project: Project, folder: Path) -> list[Path]:
    """Return the worktrees directly in `folder`, including those whose folder is gone.

    Raises:
        GitError: git is not usable here.
    """
    folder = folder.resolve()
    return [path for path in _known(project) if path.parent == folder]


def _known(project: Project) -> list[Path]:
    listed = git(project, "worktree", "list", "--porcelain").splitlines()
    return [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
