"""Resolution of `MLFLOW_TRACKING_URI`, independent of the working directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from genmint.common.errors import ConfigError
from genmint.common.project import Project

TRACKING = "MLFLOW_TRACKING_URI"
_REGISTRY = "MLFLOW_REGISTRY_URI"
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?)://(?:/([^?]*))?(\?.*)?")
_WITH_SCHEME = re.compile(r"[a-z][\w+.-]*:", re.IGNORECASE)


def named_address(project: Project) -> str | None:
    """Return the tracker address from the environment, None if there is none.

    A relative database path is resolved against the project's home. Stages, flows and experiments
    run in other folders, some of which are deleted afterwards.

    Raises:
        ConfigError: the address does not persist anything, or names a folder, which MLflow refuses;
            or `MLFLOW_REGISTRY_URI` names a different store for the registry.
    """
    setting = os.environ.get(TRACKING)
    address = _absolute(setting, project, TRACKING) if setting else None
    registry = os.environ.get(_REGISTRY)
    if registry and _absolute(registry, project, _REGISTRY) != address:
        raise ConfigError(
            f"{_REGISTRY}={registry}: genmint keeps runs and registry in one store. Set it and "
            f"{TRACKING} to the one whose registered models count."
        )
    return address


def database_of(address: str) -> Path | None:
    """Return the file of a SQLite address; None for another tracker."""
    match = _SQLITE.fullmatch(address)
    return Path(match[2]) if match and match[2] else None


def _absolute(setting: str, project: Project, variable: str) -> str:
    match = _SQLITE.fullmatch(setting)
    if match is None:
        if _WITH_SCHEME.match(setting) and not setting.lower().startswith("file:"):
            return setting
        raise ConfigError(
            f"{variable}={setting}: MLflow keeps no runs in folders any more. Name a server "
            "(http://…) or a database (sqlite:////absolute/path.db); `mlflow migrate-filestore` "
            "puts into one what the folder holds. If it holds nothing, unset the variable: the "
            f"store is then {project.home / 'mlflow.db'}."
        )
    scheme, path, query = match[1], match[2] or "", match[3] or ""
    if not path or path.startswith((":", "file:")) or path.endswith("/"):
        raise ConfigError(
            f"{variable}={setting}: names no file that outlives the process. Write "
            "sqlite:////absolute/path.db, or a path relative to the checkout."
        )
    whole = os.path.normpath(project.home / Path(path).expanduser())
    return f"{scheme}:///{whole}{query}"
