"""Champion beside challenger: two versions on one sheet, drawn from the same probe set."""

from __future__ import annotations

import sys

from genmint import tracking
from genmint.errors import GenmintError, RegistryUnreachableError
from genmint.files import scratch_dir
from genmint.metrics.probe import PROBE, Probe, read_probe
from genmint.metrics.probe_sheet import write_sheet
from genmint.project import Project
from genmint.registered import Version
from genmint.registry import Registry

_FOLDER = "probe"


def local_probe(project: Project, name: str) -> Probe | None:
    """Read the probe set of the model that lies here; None if it was not drawn.

    Raises:
        GenmintError: its file is damaged.
    """
    path = project.samples(name) / PROBE
    return read_probe(path) if path.is_file() else None


def version_probe(registry: Registry, version: Version) -> Probe | None:
    """Read the probe set that a version was registered with; None if there was none.

    Raises:
        GenmintError: its file is damaged.
        RegistryUnreachableError: the registry does not answer.
    """
    with scratch_dir() as scratch:
        evaluation = registry.evaluation(version, scratch)
        if evaluation is None:
            return None
        path = Project(evaluation).samples(version.name) / PROBE
        return read_probe(path) if path.is_file() else None


def log_beside(registry: Registry, champion: Version, challenger: Version) -> None:
    """Store the two versions' probe sets on one sheet with the challenger's run, under `probe/`.

    It is for people: where a version has no probe set, or a damaged one, that is said on stderr,
    and promotion goes on.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    if challenger.run_id is None:
        return
    try:
        probes = [(version, version_probe(registry, version)) for version in (champion, challenger)]
    except RegistryUnreachableError:
        raise
    except GenmintError as error:
        print(f"{champion.name}: no sheet of champion beside challenger: {error}", file=sys.stderr)  # noqa: T201
        return
    (_, first), (_, second) = probes
    if first is None or second is None or first.kind != second.kind:
        return
    with scratch_dir() as scratch:
        headings = (f"champion, version {champion.version}", f"version {challenger.version}")
        files = write_sheet(
            scratch,
            f"beside-version-{champion.version}",
            list(zip(headings, (first, second), strict=True)),
        )
        with tracking.reaching(registry.address):
            for path in files:
                registry.client.log_artifact(challenger.run_id, str(path), _FOLDER)
