"""Current location of a data set, and detection of changes since the last drift check."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genmint.common.errors import DataError
from genmint.common.escaping import escape_name
from genmint.common.files import sha256_json
from genmint.common.project import Project
from genmint.config import Dataset
from genmint.data.ingestion.locate import source_path
from genmint.flow.committed import object_at


@dataclass(frozen=True)
class Place:
    """Location of a source.

    Attributes:
        path: path to read; relative to a checkout of the commit if git or DVC track it, absolute if
            it exists on this machine only.
        content: fingerprint of the content from file metadata, without reading the files.
    """

    path: str
    content: str


def place(home: Project, commit: str, name: str, dataset: Dataset) -> Place:
    """Return the location of a data set's source.

    Files tracked by git are read from the commit. A folder at data/own is read from the home
    repository, whatever its `.dvc` pointer says, since new files arrive there. If it does not exist
    there, the pointer is used.

    Raises:
        ConfigError: the path is outside the repository.
        DataError: the path does not exist on this machine.
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
    """Return name, size and modification times of every file; links are followed."""
    if not path.is_dir():
        return [_stamp(path, path.name)]
    stamps: list[list[str | int]] = []
    for folder, folders, files in os.walk(path, onerror=_refuse):
        folders.sort()
        stamps += [
            _stamp(Path(folder) / name, str((Path(folder) / name).relative_to(path)))
            for name in sorted(files)
        ]
    return stamps


def _stamp(path: Path, name: str) -> list[str | int]:
    try:
        about = path.stat()
    except OSError:  # a broken link, which ingest does not read either
        about = path.lstat()
    return [escape_name(name), about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from None
