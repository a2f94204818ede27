"""What a commit says, read without a checkout."""

from __future__ import annotations

from genmint.config import Params, parse_params
from genmint.errors import GenmintError
from genmint.flow.checkout import git
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
    prefix = git(home, "rev-parse", "--show-prefix").strip()
    return git(home, "show", f"{commit}:{prefix}{path}")


def object_at(home: Project, commit: str, path: str) -> str | None:
    """Hash of what git keeps at a path of the project, None if it keeps nothing there."""
    prefix = git(home, "rev-parse", "--show-prefix").strip()
    try:
        return git(home, "rev-parse", "--verify", "--quiet", f"{commit}:{prefix}{path}").strip()
    except GenmintError:
        return None  # it names nothing, which is what was asked
