"""Loading of models by NAME, NAME@alias, NAME/version or folder, with the installed code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import scratch_dir
from genmint.common.login import hand_on
from genmint.common.nearest import nearest
from genmint.common.project import Project
from genmint.common.reading import shortened
from genmint.registry.model_ref import ModelRef

if TYPE_CHECKING:
    from genmint.models.shared.family import Family
    from genmint.models.shared.record import ModelRecord
    from genmint.registry.loaded_model import LoadedModel


@contextmanager
def open_model(
    project: Project, target: str, *, allow_refused: bool = False
) -> Iterator[tuple[str, Family]]:
    """Yield the name and the model, on the CPU, for NAME, NAME@alias or NAME/version.

    Raises:
        ConfigError: `target` has another form.
        GenmintError: there is no such model, or its files are damaged; or the gate of the version
            failed and `allow_refused` is false.
        RegistryUnreachableError: an alias or version was requested and the registry does not
            answer.
    """
    wanted = ModelRef.parse(target)
    module, _, _ = _loaded(project, wanted, allow_refused=allow_refused)
    yield wanted.name, module


def _loaded(
    project: Project, wanted: ModelRef, *, allow_refused: bool
) -> tuple[Family, ModelRecord, str | None]:
    """Return a model with its record and the number of its version, None for local files."""
    from genmint.models.shared import store

    name = wanted.name
    if wanted.alias is None and wanted.version is None:
        folder = project.model(name)
        if not folder.is_dir():
            raise GenmintError(
                f"models/{name}: not trained here{_nearest(project, name)}. Run `dvc repro "
                f"train@{name}`, or name a registered one: {name}@champion"
            )
        return (*store.load(folder), None)
    from genmint.registry.resolve import download_version

    with scratch_dir() as scratch:
        files = download_version(project, wanted, scratch, allow_refused=allow_refused)
        return (*store.load(files.weights), files.version.version)


def _nearest(project: Project, name: str) -> str:
    """Return a question for the trained model with the nearest name; "" if none is near."""
    folder = project.model(name).parent
    trained = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    near = nearest(name, trained)
    return "" if near is None else f" (did you mean {near!r}?)"


def load(
    target: str | Path, project: str | Path | None, *, allow_refused: bool = False
) -> LoadedModel:
    """Load a model; see `genmint.load`."""
    from genmint.registry.loaded_model import LoadedModel

    hand_on(os.environ)
    folder = _folder(target)
    if folder is not None:
        from genmint.registry.exported import load_export

        return load_export(folder, allow_refused=allow_refused)
    try:
        home = _home(Path.cwd() if project is None else Path(project))
        wanted = ModelRef.parse(str(target))
        return LoadedModel(*_loaded(home, wanted, allow_refused=allow_refused))
    except GenmintError as error:
        if not os.path.isdir(target):  # noqa: PTH112 - see _folder
            raise
        raise type(error)(f"{error} For the folder of that name, write ./{target}.") from None


def _home(root: Path) -> Project:
    """Return the project of a folder; without one, what the variable names is the registry."""
    try:
        return Project.find(root)
    except ConfigError:
        if "MLFLOW_TRACKING_URI" not in os.environ:
            raise
        return Project(root)


def _folder(target: str | Path) -> Path | None:
    """Return the folder that a target names, None if it is a model reference.

    A text that has the form of a reference is always one, so that no folder that lies in the
    working folder can replace a model of the registry.
    """
    if isinstance(target, Path):
        return target
    if not isinstance(target, str):
        raise ConfigError(f"{shortened(target)}: write NAME@champion as text, or a Path")
    try:
        ModelRef.parse(target)
    except ConfigError as error:
        # os.path.isdir is false for names that are too long, where Path.is_dir raises.
        if target and os.path.isdir(target):  # noqa: PTH112
            return Path(target)
        if "/" in target:
            raise ConfigError(f"{error}; and there is no folder of that path") from None
        raise
    return None
