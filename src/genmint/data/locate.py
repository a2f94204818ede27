"""Where `path` of a data set leads: one rule for every command, flow and stage."""

from __future__ import annotations

import os
from pathlib import Path

from genmint.errors import ConfigError, DataError
from genmint.project import Project
from genmint.repository import working_tree

# What stages write, git and DVC keep: a source there would change whenever it is read.
_WRITTEN = (
    *("data/raw", "data/manifest", "data/quarantine", "data/prepared", "data/reference"),
    *("models", "metrics", "samples", "reports", ".genmint", ".git", ".dvc"),
)


def source_path(project: Project, name: str, path: str) -> Path:
    """Absolute path of a source; it need not exist, and links in it are not resolved.

    A relative path is relative to the folder of params.yaml. It may not lead out of the repository:
    DVC takes it as it is written, so in a flow's checkout, in `dvc exp run --temp` and in another
    worktree it would name another folder.

    Args:
        project: whose params.yaml has it; may be a checkout.
        name: of the data set, for messages.
        path: as in params.yaml.

    Raises:
        ConfigError: it leads out of the repository, or into what the stages write.
    """
    key = f"datasets.{name}.path: {path}"
    found = Path(os.path.normpath(project.root / path))
    if not Path(path).is_absolute() and not _is_in_repository(project, path):
        meant = os.path.normpath(project.home / path)
        raise ConfigError(
            f"{key}: leads out of the repository, so it would name another folder in each checkout "
            f"of it. Write the absolute path ({meant}), or put the data at data/own/{name}."
        )
    real, root = Path(os.path.realpath(found)), Path(os.path.realpath(project.root))
    if root.is_relative_to(real):
        raise ConfigError(
            f"{key}: holds this project, and with it what the stages write. Put the data at "
            f"data/own/{name}."
        )
    for folder in _WRITTEN:
        if real.is_relative_to(root / folder) or (root / folder).is_relative_to(real):
            raise ConfigError(
                f"{key}: {folder} is written by the stages, git or DVC. Put the data at "
                f"data/own/{name}."
            )
    return found


def existing_source(project: Project, name: str, path: str) -> Path:
    """A file or folder that is there, with links resolved.

    Raises:
        ConfigError: as `source_path`.
        DataError: there is nothing on this machine, or neither a file nor a folder.
    """
    found = source_path(project, name, path)
    key = f"datasets.{name}.path"
    way_out = "Put the data there, or correct the path in params.yaml."
    real = Path(os.path.realpath(found))
    try:
        real.stat()
    except (FileNotFoundError, NotADirectoryError):
        if found.is_symlink():
            raise DataError(f"{key}: {found}: symbolic link to nothing. {way_out}") from None
        raise DataError(
            f"{key}: {found}: no such file or folder on this machine. {way_out}"
        ) from None
    except OSError as error:
        raise DataError(f"{key}: {found}: {error.strerror}. {way_out}") from None
    if not real.is_dir() and not real.is_file():
        raise DataError(f"{key}: {found}: neither a file nor a folder. {way_out}")
    return real


def _is_in_repository(project: Project, path: str) -> bool:
    """Whether a relative path stays within the git working tree; without git, in the project."""
    root = project.root.resolve()
    found = Path(os.path.normpath(root / path))
    if found.is_relative_to(root):
        return True
    tree = working_tree(root)
    return tree is not None and found.is_relative_to(tree.top)
