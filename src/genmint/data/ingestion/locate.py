"""Resolution of a data set's `path`, shared by all commands, flows and stages."""

from __future__ import annotations

import os
from pathlib import Path

from genmint.common.errors import ConfigError, DataError
from genmint.common.git_repository import working_tree
from genmint.common.layout import STATE
from genmint.common.project import Project
from genmint.data.ingestion import pointers
from genmint.data.ingestion.pointers import keeper_of

# Folders written by stages, git and DVC; a source there would change while it is used.
_WRITTEN = (
    *("data/raw", "data/manifest", "data/quarantine", "data/prepared", "data/reference"),
    *("models", "metrics", "samples", "reports", STATE, ".git", ".dvc"),
)


def source_path(project: Project, name: str, path: str) -> Path:
    """Return the absolute path of a source; it need not exist, and its links are not resolved.

    A relative path is relative to the folder of params.yaml and must be inside the repository. DVC
    uses the path as written, so in a flow's checkout, in `dvc exp run --temp` and in another
    worktree an outside path would name another folder.

    Args:
        project: project of the params.yaml; may be a checkout.
        name: name of the data set, for messages.
        path: path as in params.yaml.

    Raises:
        ConfigError: the path is outside the repository, or in a folder that stages write.
    """
    key = f"datasets.{name}.path: {path}"
    location = Path(os.path.normpath(project.root / path))
    if not Path(path).is_absolute() and not _is_in_repository(project, path):
        meant = os.path.normpath(project.home / path)
        raise ConfigError(
            f"{key}: leads out of the repository, so it would name another folder in each checkout "
            f"of it. Write the absolute path ({meant}), or put the data at data/own/{name}."
        )
    real, root = Path(os.path.realpath(location)), Path(os.path.realpath(project.root))
    if root.is_relative_to(real):
        raise ConfigError(
            f"{key}: contains this project and the outputs of its stages. Put the data at "
            f"data/own/{name}."
        )
    for folder in _WRITTEN:
        if real.is_relative_to(root / folder) or (root / folder).is_relative_to(real):
            raise ConfigError(
                f"{key}: {folder} is written by the stages, git or DVC. Put the data at "
                f"data/own/{name}."
            )
    return location


def existing_source(project: Project, name: str, path: str) -> Path:
    """Return the path of an existing file or folder, with links resolved.

    Raises:
        ConfigError: as `source_path`.
        DataError: the path does not exist on this machine, or is neither a file nor a folder.
    """
    location = source_path(project, name, path)
    key = f"datasets.{name}.path"
    way_out = "Put the data there, or correct the path in params.yaml."
    real = Path(os.path.realpath(location))
    try:
        real.stat()
    except (FileNotFoundError, NotADirectoryError):
        if location.is_symlink():
            keeper = keeper_of(location)
            bring = way_out if keeper is None else pointers.way_out(keeper, location.parent)
            raise DataError(f"{key}: {location}: broken symbolic link. {bring}") from None
        if location.with_name(f"{location.name}.dvc").is_file():
            raise DataError(
                f"{key}: {location}: not on this machine; DVC keeps it. Run `dvc pull {path}`."
            ) from None
        raise DataError(
            f"{key}: {location}: no such file or folder on this machine. {way_out}"
        ) from None
    except OSError as error:
        raise DataError(f"{key}: {location}: {error.strerror}. {way_out}") from None
    if not real.is_dir() and not real.is_file():
        raise DataError(f"{key}: {location}: neither a file nor a folder. {way_out}")
    return real


def _is_in_repository(project: Project, path: str) -> bool:
    """Return whether a relative path is inside the git working tree, or without git the project."""
    root = project.root.resolve()
    location = Path(os.path.normpath(root / path))
    if location.is_relative_to(root):
        return True
    tree = working_tree(root)
    return tree is not None and location.is_relative_to(tree.top)
