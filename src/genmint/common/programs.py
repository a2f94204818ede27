"""Running git and DVC as programs; errors contain their messages.

Every child process that may run git or DVC gets `clean_environment`.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from genmint.common.dvc_rwlock import repair_rwlock
from genmint.common.errors import GenmintError
from genmint.common.escaping import printable
from genmint.common.git_repository import working_tree
from genmint.common.project import Project

_DVC = (sys.executable, "-m", "dvc")
# Hooks and signatures are meant for users; garbage collection would outlive this process.
_GIT = (
    *("git", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false"),
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),
)
# Variables that a parent git sets for hooks, aliases or `rebase --exec`, in addition to `git
# rev-parse --local-env-vars`: path parsing, the quarantine of pushed objects, and commit times.
_OF_ANOTHER_GIT = (
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS"),
    *("GIT_ICASE_PATHSPECS", "GIT_ATTR_SOURCE", "GIT_NAMESPACE", "GIT_QUARANTINE_PATH"),
    *("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"),
)
# Variables that a parent DVC sets for its stages.
_OF_ANOTHER_DVC = ("DVC_ROOT", "DVC_EXP_BASELINE_REV")
# User settings for every git, such as safe.directory in a container, which git never sets itself.
_SETTINGS = ("GIT_CONFIG_COUNT",)
_SHOWN_CHARACTERS = 600


class GitError(GenmintError):
    """git failed.

    Attributes:
        unusable: whether git cannot work in this folder at all: it is not installed, the folder is
            not in a repository, or git refuses the repository (another owner, damaged).
    """

    def __init__(self, message: str, *, unusable: bool) -> None:
        super().__init__(message)
        self.unusable = unusable


def git(project: Project, *arguments: str, settings: Sequence[str] = ()) -> str:
    """Run git in the project, without hooks, and return its output.

    Args:
        project: project in whose folder git runs.
        arguments: arguments of git.
        settings: configuration KEY=VALUE for this command only.

    Raises:
        GitError: git failed; the message contains its output.
    """
    own = [word for setting in settings for word in ("-c", setting)]
    done = _start([*_GIT, *own, *arguments], project.root)
    if done.returncode == 0:
        return done.stdout
    refusal = git_problem(project)
    if refusal is not None:
        raise GitError(refusal, unusable=True)
    words = _words(done)
    raise GitError(f"`git {arguments[0]}` failed in {project.root}: {words}", unusable=False)


def git_problem(project: Project) -> str | None:
    """Return git's message why it cannot work in the project's folder; None if it can."""
    done = _start([*_GIT, "rev-parse", "--git-dir"], project.root)
    if done.returncode == 0:
        return None
    hint = ""
    if working_tree(project.root) is None:
        hint = " Clone the repository, or run `git init` and commit its files."
    return f"{project.root}: git cannot be used here: {_words(done)}.{hint}".replace("..", ".")


def file_at(project: Project, commit: str, path: str) -> str | None:
    """Return the text of a project file in a commit; None if the commit does not have it.

    Raises:
        GitError: there is no such commit, or git is not usable here.
    """
    # `git show` alone does not distinguish a missing file from other failures.
    if not git(project, "ls-tree", commit, "--", path):
        return None
    return git(project, "show", f"{commit}:./{path}")


def has_git(project: Project) -> bool:
    """Return whether the project is in a git working tree, usable or not."""
    return working_tree(project.root) is not None


def run_dvc(project: Project, *arguments: str) -> str:
    """Run DVC in the project and return its output; a damaged lock table is removed first.

    Raises:
        GenmintError: DVC failed; the message contains its output.
    """
    repair_rwlock(project)
    done = _start([*_DVC, *arguments], project.root)
    if done.returncode != 0:
        raise GenmintError(f"`dvc {arguments[0]}` failed in {project.root}: {_words(done)}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Return the environment for child processes that may run git or DVC.

    Variables set by a parent git or DVC are removed, because they name another repository, index or
    workspace than the child's working folder.
    """
    left_out = {*_local_variables(), *_OF_ANOTHER_GIT, *_OF_ANOTHER_DVC}.difference(_SETTINGS)
    return {name: value for name, value in os.environ.items() if name not in left_out}


@functools.cache
def _local_variables() -> tuple[str, ...]:
    """Return the variables that tie git to one repository, as listed by the installed git."""
    command = ["git", "rev-parse", "--local-env-vars"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ()  # without git, nothing has set them
    return tuple(done.stdout.split())


def _start(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = clean_environment()
    env["GIT_TERMINAL_PROMPT"] = "0"
    # Without this, even `git status` would rewrite the user's index.
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
    message = printable(" ".join((done.stderr or done.stdout).split()))[:_SHOWN_CHARACTERS]
    return message.removeprefix("fatal: ") or f"exit code {done.returncode}"
