"""Loading of models by NAME, NAME@alias or NAME/version, with the installed code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import scratch_dir
from genmint.common.login import hand_on
from genmint.common.project import Project
from genmint.registry.model_ref import ModelRef

if TYPE_CHECKING:
    from genmint.models.shared.family import Family


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
    from genmint.models.shared import store

    wanted = ModelRef.parse(target)
    name = wanted.name
    if wanted.alias is None and wanted.version is None:
        folder = project.model(name)
        if not folder.is_dir():
            raise GenmintError(
                f"models/{name}: not trained here. Run `dvc repro train@{name}`, or name a "
                f"registered one: {name}@champion"
            )
        yield name, store.load(folder)[0]
        return
    from genmint.registry.resolve import download

    with scratch_dir() as scratch:
        folder = download(
            project,
            name,
            scratch,
            alias=wanted.alias,
            version=wanted.version,
            allow_refused=allow_refused,
        )
        yield name, store.load(folder)[0]


def load(target: str, project: str | Path | None, *, allow_refused: bool = False) -> Family:
    """Load a model; see `genmint.load`."""
    hand_on(os.environ)
    root = Path.cwd() if project is None else Path(project)
    try:
        home = Project.find(root)
    except ConfigError:
        if "MLFLOW_TRACKING_URI" not in os.environ:
            raise
        home = Project(root)
    with open_model(home, target, allow_refused=allow_refused) as (_, model):
        return model
