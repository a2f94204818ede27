"""Repository that a worker uses."""

from __future__ import annotations

import os
from pathlib import Path

import genmint
from genmint.common.errors import ConfigError
from genmint.common.project import HOME, Project, is_project

__all__ = ["HOME", "enter", "find_home"]


def find_home() -> Project:
    """Return the repository of this machine: GENMINT_HOME, or the one genmint is installed from.

    Raises:
        ConfigError: neither is a genmint checkout.
    """
    setting = os.environ.get(HOME)
    folder = Path(setting) if setting else Path(genmint.__file__).parents[2]
    if not is_project(folder):
        raise ConfigError(
            f"{folder}: no params.yaml with a dvc.yaml beside it. Set {HOME} to the genmint "
            "checkout of this machine."
        )
    return Project(folder.resolve())


def enter() -> dict[str, str]:
    """Step of prefect.yaml: start a worker's run in this machine's repository."""
    folder = find_home().root
    os.chdir(folder)
    return {"directory": str(folder)}
