"""Where a data set lies now, and whether anything of it moved since the last look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genmint.config import Dataset
from genmint.data.locate import source_path
from genmint.errors import DataError
from genmint.escaping import escape_name
from genmint.files import sha256_json
from genmint.flow.committed import object_at
from genmint.project import Project


@dataclass(frozen=True)
class Place:
    """Where a source lies.

    Attributes:
        path: to look at; relative to a checkout of the commit where git or DVC keep it, absolute
            where it lies on this machine alone.
        content: changes when what lies there does, as far as that shows without reading it.
    """

    path: str
    content: str


def place(home: Project, commit: str, name: str, dataset: Dataset) -> Place:
    """Find the source of a data set.

    What git keeps is looked at as committed; a folder at data/own as it lies in the home
    repository, whatever its `.dvc` pointer says, since that is where new files arrive; where it
    does not lie here, as the pointer says.

    Raises:
        ConfigError: its path leads out of the repository.
        DataError: there is nothing at its path on this machine.
    """
    here = source_path(home, name, dataset.path)
    if Path(dataset.path).is_absolute():
        return _here(here, name)
    relative = os.path.normpath(dataset.path)
    kept = object_at(home, commit, relative)
    if kept is not None:
        return Place(relative, kept)
    if not os.path.lexists(here):
        pointer = object_at(home, commit, f"{relative}.dvc")
        if pointer is not None:
            return Place(relative, pointer)
    return _here(here, name)


def _here(path: Path, name: str) -> Place:
    if not os.path.lexists(path):
        raise DataError(
            f"datasets.{name}.path: {path}: no such file or folder on this machine. Run the drift "
            "flow where the data are, or correct the path in params.yaml."
        )
    real = Path(os.path.realpath(path))
    return Place(str(real), sha256_json(_stamps(real)))


def _stamps(path: Path) -> list[list[str | int]]:
    """Name, size and time of change of every file; of a link, those of what it leads to."""
    if not path.is_dir():
        return [_stamp(path, path.name)]
    found: list[list[str | int]] = []
    for folder, folders, files in os.walk(path, onerror=_refuse):
        folders.sort()
        found += [
            _stamp(Path(folder) / name, str((Path(folder) / name).relative_to(path)))
            for name in sorted(files)
        ]
    return found


def _stamp(path: Path, name: str) -> list[str | int]:
    try:
        about = path.stat()
    except OSError:  # a link to nothing, which is not read either
        about = path.lstat()
    return [escape_name(name), about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from None
