"""git and DVC as programs: their output, or their own words when they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from genmint.errors import GenmintError
from genmint.escaping import printable
from genmint.project import Project
from genmint.repository import working_tree
from genmint.rwlock import mend_rwlock

_DVC = (sys.executable, "-m", "dvc")
# Hooks and signatures are for people; garbage collection would be a process that outlives us.
_GIT = (
    *("git", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false"),
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),
)
# Set in a git hook, and in a stage of DVC: they name another repository or another index.
NOT_INHERITED = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"),
    *("DVC_ROOT", "DVC_EXP_BASELINE_REV"),
)
_SHOWN_CHARACTERS = 600


class GitError(GenmintError):
    """git failed.

    Attributes:
        unusable: whether git cannot work in this folder at all: it is not installed, the folder is
            no repository, or git refuses it (another owner, damaged).
    """

    def __init__(self, message: str, *, unusable: bool) -> None:
        super().__init__(message)
        self.unusable = unusable


def git(project: Project, *arguments: str) -> str:
    """Output of git in the project, without hooks.

    Raises:
        GitError: git failed; the message has its words.
    """
    done = _start([*_GIT, *arguments], project.root)
    if done.returncode == 0:
        return done.stdout
    refusal = problem(project)
    if refusal is not None:
        raise GitError(refusal, unusable=True)
    words = _words(done)
    raise GitError(f"`git {arguments[0]}` failed in {project.root}: {words}", unusable=False)


def problem(project: Project) -> str | None:
    """Why git cannot work in the project's folder, in git's own words; None if it can."""
    done = _start([*_GIT, "rev-parse", "--git-dir"], project.root)
    if done.returncode == 0:
        return None
    hint = ""
    if working_tree(project.root) is None:
        hint = " Clone the repository, or run `git init` and commit its files."
    return f"{project.root}: git cannot be used here: {_words(done)}.{hint}".replace("..", ".")


def file_at(project: Project, commit: str, path: str) -> str | None:
    """Text of the file that a commit has at a path of the project; None if it has none there.

    Raises:
        GitError: there is no such commit, or git cannot be used here.
    """
    # Not only `git show`, which fails in the same way for every reason.
    if not git(project, "ls-tree", commit, "--", path):
        return None
    return git(project, "show", f"{commit}:./{path}")


def has_git(project: Project) -> bool:
    """Whether the project lies in a git working tree, usable or not."""
    return working_tree(project.root) is not None


def run_dvc(project: Project, *arguments: str) -> str:
    """Output of DVC in the project; locks that a killed DVC left unreadable are removed first.

    Raises:
        GenmintError: DVC failed; the message has its words.
    """
    mend_rwlock(project)
    done = _start([*_DVC, *arguments], project.root)
    if done.returncode != 0:
        raise GenmintError(f"`dvc {arguments[0]}` failed in {project.root}: {_words(done)}")
    return done.stdout


def _start(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    env["GIT_TERMINAL_PROMPT"] = "0"
    # Or a mere `git status` would rewrite the user's index.
    env["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
    except OSError as error:
        words = f"{command[0]} cannot be started ({error.strerror}). Install it, or correct PATH"
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            words = f"{command[0]}: not found on PATH. Install it"
        if not folder.is_dir():
            words = f"{folder}: no such folder"
        return subprocess.CompletedProcess(command, 127, "", words)


def _words(done: subprocess.CompletedProcess[str]) -> str:
    said = printable(" ".join((done.stderr or done.stdout).split()))[:_SHOWN_CHARACTERS]
    return said.removeprefix("fatal: ") or f"exit code {done.returncode}"
