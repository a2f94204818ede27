"""Champions seen from this machine, so that an emptied registry is not taken for a new one."""

from __future__ import annotations

from pathlib import Path

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import read_json, write_json
from genmint.common.project import Project
from genmint.registry.versions import Version
from genmint.tracking.failures import without_password


def remember(project: Project, version: Version) -> None:
    """Record in the registry's home folder that a version was champion."""
    seen = {
        "registry": without_password(tracking.uri(project)),
        "version": version.version,
        "weights": version.weights,
    }
    write_json(_path(project, version.name), seen)


def had_champion(project: Project, name: str) -> str | None:
    """Return the last champion of a model seen from this machine; None if there was none.

    Raises:
        GenmintError: the file with this record is damaged.
    """
    path = _path(project, name)
    if not path.is_file():
        return None
    way_out = f"Delete it to start anew with `genmint promote --first {name}`."
    seen = read_json(path, way_out)
    if not isinstance(seen, dict):
        raise GenmintError(f"{path}: does not name a champion. {way_out}")
    return f"version {seen.get('version')} of {seen.get('registry')}"


def _path(project: Project, name: str) -> Path:
    return Project(project.home).state / "champions" / f"{name}.json"
