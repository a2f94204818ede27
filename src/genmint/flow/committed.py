"""What a commit says, read without a checkout."""

from __future__ import annotations

from genmint.config import Params, parse_params
from genmint.errors import GenmintError
from genmint.programs import file_at, git
from genmint.project import Project


def params_at(home: Project, commit: str) -> Params:
    """params.yaml of a commit.

    Raises:
        ConfigError: it is not valid.
        GenmintError: the commit has none.
    """
    return parse_params(text_at(home, commit, home.params.name), home.params)


def text_at(home: Project, commit: str, path: str) -> str:
    """The file that a commit has at a path of the project.

    Raises:
        GenmintError: the commit has none.
    """
    text = file_at(home, commit, path)
    if text is None:
        raise GenmintError(f"{home.root}: commit {commit[:12]} has no {path}")
    return text


def object_at(home: Project, commit: str, path: str) -> str | None:
    """Hash of what git keeps at a path of the project, None if it keeps nothing there.

    Raises:
        GitError: there is no such commit, or git cannot be used here.
    """
    listed = git(home, "ls-tree", commit, "--", path)
    return listed.partition("\t")[0].split()[2] if listed else None
