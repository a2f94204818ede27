"""Report page: verdicts, metrics, samples and gates of all models, beside their champions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError, RegistryError
from genmint.common.files import scratch_dir, write_text
from genmint.common.html import render
from genmint.common.layout import HISTORY
from genmint.common.project import RELATIVE, Project
from genmint.config import Params
from genmint.data.ingestion.left_out import LeftOut
from genmint.evaluation.reference import REFERENCE
from genmint.registry.registry import Registry
from genmint.reporting.champions import Champion, past_champions, read_champion, stored_files
from genmint.reporting.comparison_table import comparison_rows
from genmint.reporting.differences import ChangedValue, changes
from genmint.reporting.figures import (
    as_prose,
    check_skill,
    data_uri,
    format_number,
    loss_curves,
    metric_rows,
    optional,
    samples,
)
from genmint.reporting.page_facts import page_facts
from genmint.reporting.status import ModelStatus, open_registry, read_status
from genmint.reporting.verdicts import champion_badge, files_badges, is_same, severity


@dataclass(frozen=True)
class _Sources:
    """Where a report gets its content.

    Attributes:
        project: the project.
        params: its settings.
        registry: its registry; None if there is none or it does not answer.
        note: why the registry could not be read; "" if it could, or if there is none.
        scratch: folder for copies of the files of registered versions.
    """

    project: Project
    params: Params
    registry: Registry | None
    note: str
    scratch: Path


def write_report(project: Project, params: Params) -> Path:
    """Write reports/index.html from stage outputs and the registry; return its path.

    The page embeds images and audio clips, so that it can be sent as one file. For missing parts it
    names the command that creates them.

    Raises:
        GenmintError: nothing was trained yet.
    """
    with scratch_dir() as scratch:
        sources = _Sources(project, params, *open_registry(project), scratch)
        models = [_model(sources, name) for name in params.models]
    if not any(model["trained"] for model in models):
        raise GenmintError("nothing is trained yet. Run `dvc repro` first.")
    page = render(
        "genmint.reporting",
        "report.html",
        {"figure": format_number, "prose": as_prose, "skill": check_skill},
        models=sorted(models, key=lambda model: model["severity"]),
        datasets=[_dataset(project, name) for name in params.datasets],
        registry_note=sources.note,
        facts=page_facts(project),
        settings=project.params.read_text(encoding="utf-8"),
    )
    target = project.root / "reports" / "index.html"
    write_text(target, page)
    return target


def _model(sources: _Sources, name: str) -> dict[str, Any]:
    """Return all that the page shows of one model."""
    project, block = sources.project, sources.params.models[name]
    status = read_status(project, sources.params, sources.registry, name)
    champion, stored, note = _champion(sources, status)
    gate = optional(project.gate_record(name))
    checks = [check for check in gate.get("checks", []) if isinstance(check, dict)]
    files = files_badges(status, champion, note, str(gate.get("mode", "enforce")))
    badge, sentence = champion_badge(status, champion, note)
    rows = metric_rows(project, name, stored)
    marked = [row.name for row in rows if row.mark]
    level = severity([*files, badge])
    return {
        "name": name,
        "family": block.family,
        "dataset": block.dataset,
        "trained": status.weights is not None,
        "files": files,
        "champion": badge,
        "champion_note": sentence,
        "version": None if champion is None else champion.number,
        "same": is_same(status, champion),
        "problems": status.problems,
        "severity": min(level, 1) if status.problems or marked else level,
        "gate": gate,
        "failed": [check for check in checks if not check.get("passed")],
        "passed": [check for check in checks if check.get("passed")],
        "metrics": rows,
        "marked": marked,
        "cost": optional(project.cost(name)),
        "samples": _samples(sources, status, champion, stored),
        "probe": _probe(sources, status, champion),
        "curves": loss_curves(project.model(name) / HISTORY),
        "comparison": comparison_rows(status, champion),
        "changes": _changes(sources, status, champion, stored),
        "history": _history(sources, status),
    }


def _champion(
    sources: _Sources, status: ModelStatus
) -> tuple[Champion | None, Project | None, str]:
    """Return the champion, the files stored with it, and why it is unknown ("" if it is known)."""
    registry, state = sources.registry, status.registry_state
    if registry is None:
        return None, None, sources.note
    if state is None:
        return None, None, "the registry could not be read: " + "; ".join(status.problems[-1:])
    try:
        gate = sources.params.gates.get(status.name)
        champion = read_champion(registry, status.name, gate, state)
    except RegistryError as error:
        return None, None, str(error)
    if champion is None or champion.version is None:
        return champion, None, ""
    try:
        folder = sources.scratch / "champions" / status.name
        return champion, stored_files(registry, champion.version, folder), ""
    except GenmintError:
        # Its admission is known; without its files the columns stay empty.
        return champion, None, ""


def _samples(
    sources: _Sources, status: ModelStatus, champion: Champion | None, stored: Project | None
) -> list[dict[str, str]]:
    """Return the samples of the files and, if that is another model, those of the champion."""
    folder = RELATIVE.samples(status.name).as_posix()
    parts = [{"heading": "files here", **samples(sources.project, status.name)}]
    if champion is not None and stored is not None and not is_same(status, champion):
        heading = f"champion, version {champion.number}"
        parts.append({"heading": heading, **samples(stored, status.name)})
    for part in parts:
        part["folder"] = folder
    return parts


def _probe(sources: _Sources, status: ModelStatus, champion: Champion | None) -> dict[str, str]:
    """Return sheet and audio of the probe set, beside the champion's if that is another model."""
    from genmint.evaluation.probe import PROBE
    from genmint.evaluation.probe_sheet import write_sheet
    from genmint.promotion.side_by_side import local_probe, version_probe

    name = status.name
    probe = local_probe(sources.project, name)
    if probe is None:
        return {}
    parts, heading = [(name, probe)], "Probe set"
    other = None
    if sources.registry is not None and champion is not None and not is_same(status, champion):
        try:
            if champion.version is not None:
                other = version_probe(sources.registry, champion.version)
        except GenmintError as error:
            heading = f"Probe set (no comparison with the champion: {error})"
    if other is not None and champion is not None and other.kind == probe.kind:
        parts = [(f"champion, version {champion.number}", other), (f"models/{name}", probe)]
        heading = f"Probe set: champion, version {champion.number}, beside models/{name}"
    with scratch_dir() as folder:
        write_sheet(folder, "probe", parts)
        return {
            "heading": heading,
            "file": (RELATIVE.samples(name) / PROBE).as_posix(),
            "sheet": data_uri(folder / "probe.png", "image/png"),
            "sound": data_uri(folder / "probe.wav", "audio/wav"),
        }


def _changes(
    sources: _Sources, status: ModelStatus, champion: Champion | None, stored: Project | None
) -> list[ChangedValue] | None:
    """Return what changed since the champion; None if there is no other champion to compare."""
    if champion is None or champion.version is None or stored is None or is_same(status, champion):
        return None
    dataset = sources.params.models[status.name].dataset
    return changes(sources.project, dataset, status, champion, stored)


def _history(sources: _Sources, status: ModelStatus) -> Mapping[str, Any]:
    """Return the metrics of the champion rule of all recent champions, by journal entry."""
    gate, state = sources.params.gates.get(status.name), status.registry_state
    if sources.registry is None or state is None or not state.written:
        return {"metrics": (), "champions": ()}
    metrics = () if gate is None else (*gate.champion.superior, *gate.champion.non_inferior)
    folder = sources.scratch / "past" / status.name
    champions = past_champions(sources.registry, status.name, state, folder)
    return {"metrics": metrics, "champions": champions}


def _dataset(project: Project, name: str) -> dict[str, Any]:
    reference = optional(project.reference(name) / REFERENCE)
    left_out: dict[str, list[str]] = {}
    for metric, reason in reference.get("left_out", {}).items():
        left_out.setdefault(reason, []).append(metric)
    report = optional(project.validation(name))
    # Reports of older versions do not count the files left out.
    other_files = [LeftOut(**each) for each in report.get("left_out", [])]
    quarantine = project.quarantine(name)
    return {
        "name": name,
        "other_files": ", ".join(map(str, other_files)),
        "left_out": left_out,
        "report": report,
        "extractor": reference.get("extractor"),
        "page": f"data/{name}.html" if project.validation_page(name).is_file() else None,
        "quarantine": f"../{quarantine.relative_to(project.root).as_posix()}"
        if quarantine.is_file()
        else None,
    }
