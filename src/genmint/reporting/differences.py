"""What changed between the champion and the files in the project: settings, data and code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import read_json
from genmint.common.layout import CONFIG
from genmint.common.project import RELATIVE, Project
from genmint.common.tags import GIT_COMMIT_TAG, GIT_DIRTY_TAG
from genmint.promotion.gate_changes import flat_entry
from genmint.registry.champion import Champion
from genmint.reporting.status import ModelStatus


@dataclass(frozen=True)
class ChangedValue:
    """One value that differs; "–" stands for a missing one.

    Attributes:
        file: file that has the value, relative to the project or to the version's stored files.
        key: key or path within the file.
        champion: value of the champion.
        here: value of the files in the project.
    """

    file: str
    key: str
    champion: str
    here: str


def changes(
    project: Project, dataset: str, status: ModelStatus, champion: Champion, stored: Project
) -> list[ChangedValue]:
    """Return settings, data hashes and commit that differ, in this order.

    Args:
        project: project with the files.
        dataset: name of the data set entry of the model.
        status: state of the model.
        champion: the champion; it has a version.
        stored: files stored with the champion.
    """
    name = status.name
    config = (RELATIVE.model(name) / CONFIG).as_posix()
    changed = _differing(config, _trained_with(stored, name), _trained_with(project, name))
    entries = (("datasets", dataset), ("gates", name))
    before, now = (_settings(where, entries) for where in (stored, project))
    changed += _differing(project.params.name, before, now)
    changed += _differing(
        project.lock.name, *(_data(at, name, dataset) for at in (stored, project))
    )
    return changed + _commit(project, status, champion)


def _differing(file: str, before: Mapping[str, str], now: Mapping[str, str]) -> list[ChangedValue]:
    return [
        ChangedValue(file, key, before.get(key, "–"), now.get(key, "–"))
        for key in dict.fromkeys([*now, *before])
        if before.get(key) != now.get(key)
    ]


def _trained_with(project: Project, name: str) -> dict[str, str]:
    """Return the settings of the model entry, with defaults, that the weights were trained with."""
    try:
        content = read_json(project.model(name) / CONFIG)
    except GenmintError:
        return {}
    settings = content.get("model") if isinstance(content, dict) else None
    return tracking.flatten(settings) if isinstance(settings, dict) else {}


def _settings(project: Project, entries: tuple[tuple[str, str], ...]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for section, name in entries:
        try:
            settings = flat_entry(project.params, section, name)
        except GenmintError:
            return {}
        flat |= {f"{section}.{name}.{key}": value for key, value in settings.items()}
    return flat


def _data(project: Project, name: str, dataset: str) -> dict[str, str]:
    """Return DVC's hashes of the data that model and metrics rest on."""
    try:
        hashes = tracking.model_hashes(project, name, dataset)
    except GenmintError:
        return {}
    return {path: digest for path, digest in hashes.items() if path.startswith("data/")}


def _commit(project: Project, status: ModelStatus, champion: Champion) -> list[ChangedValue]:
    assert champion.version is not None
    before = champion.version.tags.get(GIT_COMMIT_TAG, "–")
    if status.registered is not None and GIT_COMMIT_TAG in status.registered.tags:
        now, key = status.registered.tags[GIT_COMMIT_TAG], "commit of the training run"
    else:
        state = tracking.git_state(project)
        now, key = state.get(GIT_COMMIT_TAG, "–"), "commit (of the files: what is checked out)"
        if state.get(GIT_DIRTY_TAG) == "1":
            now += " with uncommitted changes"
    return [] if before == now else [ChangedValue("git", key, before, now)]
