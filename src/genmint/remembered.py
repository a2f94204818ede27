"""Which champions this machine has seen: an empty registry is then not taken for a new one."""

from __future__ import annotations

from pathlib import Path

from genmint import tracking
from genmint.errors import GenmintError
from genmint.files import read_json, write_json
from genmint.project import Project
from genmint.registered import Version
from genmint.tracking.failures import without_password


def remember(project: Project, version: Version) -> None:
    """Keep that a version was champion, in the home of the registry."""
    seen = {
        "registry": without_password(tracking.uri(project)),
        "version": version.version,
        "weights": version.weights,
    }
    write_json(_path(project, version.name), seen)


def had_champion(project: Project, name: str) -> str | None:
    """Say which champion of a model was seen last from here, None if none ever was.

    Raises:
        GenmintError: the file that says so is damaged.
    """
    path = _path(project, name)
    if not path.is_file():
        return None
    way_out = f"Delete it to start anew with `genmint promote --first {name}`."
    seen = read_json(path, way_out)
    if not isinstance(seen, dict):
        raise GenmintError(f"{path}: does not say who was champion. {way_out}")
    return f"version {seen.get('version')} of {seen.get('registry')}"


def _path(project: Project, name: str) -> Path:
    return Project(project.home).state / "champions" / f"{name}.json"
