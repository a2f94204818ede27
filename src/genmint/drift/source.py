"""Where a data set lies now, and whether anything of it moved since the last look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genmint.config import Dataset
from genmint.errors import DataError
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
        DataError: there is nothing at its path on this machine.
    """
    path = Path(dataset.path).expanduser()
    if path.is_absolute():
        return _here(path, name)
    kept = object_at(home, commit, dataset.path)
    if kept is not None:
        return Place(dataset.path, kept)
    here = home.root / path
    if not here.exists():
        pointer = object_at(home, commit, f"{dataset.path.rstrip('/')}.dvc")
        if pointer is not None:
            return Place(dataset.path, pointer)
    return _here(here, name)


def _here(path: Path, name: str) -> Place:
    if not path.exists():
        raise DataError(
            f"datasets.{name}.path: {path}: no such file or folder on this machine. Run the drift "
            "flow where the data are, or correct the path in params.yaml."
        )
    return Place(str(path.resolve()), sha256_json(_stamps(path.resolve())))


def _stamps(path: Path) -> list[list[str | int]]:
    """Name, size and time of change of every file."""
    if path.is_file():
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
    about = path.lstat()
    return [name, about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from None
