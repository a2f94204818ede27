"""Which store `MLFLOW_TRACKING_URI` means, the same from every folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from genmint.errors import ConfigError
from genmint.project import Project

TRACKING = "MLFLOW_TRACKING_URI"
_REGISTRY = "MLFLOW_REGISTRY_URI"
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?)://(?:/([^?]*))?(\?.*)?")
_WITH_SCHEME = re.compile(r"[a-z][\w+.-]*:", re.IGNORECASE)


def named_address(project: Project) -> str | None:
    """The tracker that the environment names, None if it names none.

    A relative path of a database is taken against the project's home: stages, flows and
    experiments work in other folders, some of which are deleted afterwards.

    Raises:
        ConfigError: the address keeps nothing, or names a folder, which MLflow refuses; or
            `MLFLOW_REGISTRY_URI` names another store for the registry.
    """
    said = os.environ.get(TRACKING)
    found = _absolute(said, project, TRACKING) if said else None
    registry = os.environ.get(_REGISTRY)
    if registry and _absolute(registry, project, _REGISTRY) != found:
        raise ConfigError(
            f"{_REGISTRY}={registry}: genmint keeps runs and registry in one store. Unset it, or "
            f"set {TRACKING} to the same."
        )
    return found


def database_of(address: str) -> Path | None:
    """The file of a SQLite address; None if it is another tracker."""
    match = _SQLITE.fullmatch(address)
    return Path(match[2]) if match and match[2] else None


def _absolute(said: str, project: Project, variable: str) -> str:
    match = _SQLITE.fullmatch(said)
    if match is None:
        if _WITH_SCHEME.match(said) and not said.lower().startswith("file:"):
            return said
        raise ConfigError(
            f"{variable}={said}: MLflow keeps no runs in folders any more. Name a server "
            "(http://…) or a database (sqlite:////absolute/path.db), or unset it: the store is "
            f"then {project.home / 'mlflow.db'}."
        )
    scheme, path, query = match[1], match[2] or "", match[3] or ""
    if not path or path.startswith((":", "file:")) or path.endswith("/"):
        raise ConfigError(
            f"{variable}={said}: names no file that outlives the process. Write "
            "sqlite:////absolute/path.db, or a path relative to the checkout."
        )
    whole = os.path.normpath(project.home / Path(path).expanduser())
    return f"{scheme}:///{whole}{query}"
