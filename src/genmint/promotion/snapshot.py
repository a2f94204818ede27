"""Private copy of a promotion's files, so that the registered files are the verified ones.

A `dvc repro` that ends during a promotion replaces the files. All files are therefore copied first,
and nothing is read again from where it may change.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from genmint.common.errors import GenmintError
from genmint.common.files import scratch_dir
from genmint.common.project import Project
from genmint.data.prepared import TRAINED


@contextlib.contextmanager
def taken(project: Project, name: str, dataset: str) -> Iterator[Project]:
    """Yield a folder with a copy of the current files of a model, under the same paths.

    A file that does not exist is missing in the copy, too. This function does not check that the
    files belong together. Errors raised in the `with` block that name a copied file are rewritten
    to name the original path.

    Args:
        project: project with the files.
        name: name of the model.
        dataset: name of the data set that the model was trained on.

    Raises:
        GenmintError: a file cannot be read for lack of permission.
    """
    with scratch_dir() as scratch:
        for path in _files(project, name, dataset):
            _copy(path, scratch / path.relative_to(project.root))
        _copy(project.prepared(dataset) / TRAINED, Project(scratch).trained(dataset))
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
    yield project.protocol(name)
    yield project.gate_record(name)
    yield project.validation(dataset)
    yield project.spread(name)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(path, target)
        # A run that is recreated from a history file takes its time from that file.
        os.utime(target, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    except FileNotFoundError:
        target.unlink(missing_ok=True)
    except PermissionError as error:
        raise GenmintError(f"{path}: {error.strerror}. Ask its owner for it.") from None
