"""Contact sheets of champion and challenger, drawn from the same probe set."""

from __future__ import annotations

import sys

from genmint import tracking
from genmint.common.errors import GenmintError, RegistryUnreachableError
from genmint.common.files import scratch_dir
from genmint.common.project import RELATIVE, Project
from genmint.evaluation.probe import PROBE, ProbeOutput, read_probe
from genmint.evaluation.probe_sheet import write_sheet
from genmint.registry import signature
from genmint.registry.registry import Registry
from genmint.registry.versions import Version

_FOLDER = "probe"


def local_probe(project: Project, name: str) -> ProbeOutput | None:
    """Read the probe set of the local model; None if there is none.

    Raises:
        GenmintError: the file of the probe set is damaged.
    """
    path = project.samples(name) / PROBE
    return read_probe(path) if path.is_file() else None


def version_probe(registry: Registry, version: Version) -> ProbeOutput | None:
    """Read the probe set that a version was registered with; None if there was none.

    Raises:
        GenmintError: the file of the probe set is damaged.
        RegistryUnreachableError: the registry does not answer.
    """
    with scratch_dir() as scratch:
        evaluation = registry.evaluation(version, scratch)
        if evaluation is None:
            return None
        path = Project(evaluation).samples(version.name) / PROBE
        if path.is_file():
            return read_probe(path)
    signed = signature.read(version.tags)
    if (
        signed is not None
        and (RELATIVE.samples(version.name) / PROBE).as_posix() in signed[0].evaluation
    ):
        raise GenmintError(
            f"{version.name}/{version.version}: its {PROBE} is not the one that was registered"
        )
    return None


def log_beside(registry: Registry, champion: Version, challenger: Version) -> None:
    """Log a sheet with the probe sets of two versions under `probe/` of the challenger's run.

    The sheet is informative. If a probe set is damaged, a warning goes to stderr; if one is
    missing, there is no sheet. Promotion continues in both cases.

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
        print(f"{champion.name}: no sheet of champion and challenger: {error}", file=sys.stderr)  # noqa: T201
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
                tracking.upload(registry.client, challenger.run_id, path, _FOLDER)
