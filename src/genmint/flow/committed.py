"""Reading files of a commit without a checkout."""

from __future__ import annotations

from genmint.common.errors import GenmintError
from genmint.common.programs import file_at, git
from genmint.common.project import Project
from genmint.config import Params, parse_params


def params_at(home: Project, commit: str) -> Params:
    """Return the settings in params.yaml of a commit.

    Raises:
        ConfigError: the file is not valid.
        GenmintError: the commit does not have the file.
    """
    return parse_params(text_at(home, commit, home.params.name), home.params)


def text_at(home: Project, commit: str, path: str) -> str:
    """Return the text of a project file in a commit.

    Raises:
        GenmintError: the commit does not have the file.
    """
    text = file_at(home, commit, path)
    if text is None:
        raise GenmintError(f"{home.root}: commit {commit[:12]} has no {path}")
    return text


def object_at(home: Project, commit: str, path: str) -> str | None:
    """Return git's hash of a path of the project in a commit, None if the path is not tracked.

    Raises:
        GitError: there is no such commit, or git is not usable here.
    """
    listed = git(home, "ls-tree", commit, "--", path)
    return listed.partition("\t")[0].split()[2] if listed else None
