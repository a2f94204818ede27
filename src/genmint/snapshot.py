"""A private copy of the files that a promotion rests on: what is verified is what is registered.

A `dvc repro` that ends while a model is promoted puts other files in their places. So all of them
are copied first, and nothing is read a second time from where it may change.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from genmint.errors import GenmintError
from genmint.files import scratch_dir
from genmint.project import Project
from genmint.scoring import protocol_path


@contextlib.contextmanager
def taken(project: Project, name: str, dataset: str) -> Iterator[Project]:
    """Yield a folder that holds the files of a model as they lie here now, under the same paths.

    A file that does not exist is not in the copy either; whether the files belong together is not
    asked here. Errors of the block that name a file of the copy come out with the file's own path.

    Args:
        project: with the files.
        name: of the model.
        dataset: name of the data set that it is trained on.

    Raises:
        GenmintError: a file may not be read.
    """
    with scratch_dir() as scratch:
        for path in _files(project, name, dataset):
            _copy(path, scratch / path.relative_to(project.root))
        try:
            yield Project(scratch)
        except GenmintError as error:
            error.args = (str(error).replace(f"{scratch}/", f"{project.root}/"),)
            raise


def _files(project: Project, name: str, dataset: str) -> Iterator[Path]:
    for folder in (project.model(name), project.samples(name)):
        yield from (path for path in folder.rglob("*") if path.is_file())
    yield project.params
    yield project.lock
    yield project.metrics(name)
    yield project.cost(name)
    yield protocol_path(project, name)
    yield project.gate_record(name)
    yield project.validation(dataset)
    yield project.spread(name)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(path, target)
        # A run that is made from a history takes its time from the file.
        os.utime(target, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    except FileNotFoundError:
        target.unlink(missing_ok=True)
    except PermissionError as error:
        raise GenmintError(f"{path}: {error.strerror}. Ask its owner for it.") from None
