"""Files stored with registered versions, and the earlier champions of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError, RegistryError
from genmint.common.files import read_json
from genmint.common.project import Project
from genmint.registry.championship import Championship
from genmint.registry.journal_entries import Entry, NamedVersion, RegistryState
from genmint.registry.registry import Registry
from genmint.registry.versions import Version

# Maximum number of earlier champions whose metrics are fetched from the registry.
_SHOWN = 10


@dataclass(frozen=True)
class PastChampion:
    """One entry of the journal that made a version champion.

    Attributes:
        entry: the entry.
        metrics: metrics stored with the version, by name; {} if the version is gone.
        note: why there are no metrics; "" if there are.
    """

    entry: Entry
    metrics: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def stored_files(registry: Registry, version: Version, folder: Path) -> Project | None:
    """Copy the signed files of a version, without weights; return them laid out as a project.

    Args:
        registry: registry that has the version.
        version: version of a model.
        folder: target folder; it is created.

    Returns:
        The files; None if genmint stored none with the version.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = registry.evaluation(version, folder)
    return None if evaluation is None else Project(evaluation)


def past_champions(
    registry: Registry, name: str, registry_state: RegistryState, folder: Path
) -> list[PastChampion]:
    """Return the latest champions with their stored metrics, oldest first.

    Args:
        registry: registry of the project.
        name: name of the model.
        registry_state: journal of the model.
        folder: folder for copies of stored files.
    """
    entries = [
        entry for entry in registry_state.written if entry.valid and entry.version is not None
    ][-_SHOWN:]
    # A version that became champion again, as by a rollback, is fetched once.
    fetched: dict[NamedVersion | None, PastChampion] = {}
    for entry in entries:
        if entry.champion not in fetched:
            fetched[entry.champion] = _past(registry, name, entry, folder / str(entry.number))
    return [replace(fetched[entry.champion], entry=entry) for entry in entries]


def _past(registry: Registry, name: str, entry: Entry, folder: Path) -> PastChampion:
    assert entry.champion is not None
    try:
        version = Championship(registry).find_named(name, entry.champion)
        if version is None:
            return PastChampion(entry, note="this version does not exist any more")
        stored = stored_files(registry, version, folder)
        metrics = {} if stored is None else read_json(stored.metrics(name))
    except RegistryError as error:
        return PastChampion(entry, note=str(error))
    except GenmintError:
        metrics = {}
    if not isinstance(metrics, dict) or not metrics:
        return PastChampion(entry, note="no metrics are stored with this version")
    return PastChampion(entry, metrics)
