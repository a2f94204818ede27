"""Following a version back, link by link, from what was stored with it when it was registered.

A link that is missing is told as unknown, with why; two that contradict each other are told as
broken. Nothing is taken from the files that happen to lie here now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from genmint import tracking
from genmint.errors import GenmintError, RegistryMissingError
from genmint.files import read_json, sha256_file, sha256_json
from genmint.gate_record import Record
from genmint.history import previous
from genmint.lineage.history import recorded_in
from genmint.lock import (
    Entries,
    contradictions,
    hashes,
    other_files,
    read_lock,
    stages_of,
    written,
)
from genmint.project import Project
from genmint.registered import Version
from genmint.registry import Registry
from genmint.stages.gate import read_record

_RECREATED = "the run was re-created from DVC's cache"


@dataclass
class Lineage:
    """What is known of a version; a part that is None is explained in `unknown`.

    Attributes:
        model: name of its block.
        version: number.
        aliases: that point to it.
        weights: sha256 of model.safetensors.
        dataset: name of its block.
        run: id, start (UTC), user, whether it was re-created, environment.
        commit: `training` is what was checked out then, with whether tracked files differed from
            it; `recorded` the first whose dvc.lock has exactly the entries of this version.
        stages: from ingest to gate: command, hashes of code and data read and of what was written,
            parameters.
        validation: who let the data in: sha256 of the report, items, quarantined, expectations.
        gate: verdict, counts, hash of the record, the checks that failed.
        journal: entries that made it champion, or made another champion in its place.
        unknown: link → why it is not known.
        broken: contradictions, in words.
    """

    model: str
    version: str
    aliases: list[str]
    weights: str
    dataset: str | None
    run: dict[str, Any] | None = None
    commit: dict[str, Any] | None = None
    stages: dict[str, dict[str, Any]] | None = None
    validation: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None
    journal: list[dict[str, Any]] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the names of the attributes."""
        return asdict(self)


def trace(registry: Registry, version: Version, evaluation: Path | None) -> Lineage:
    """Follow a version back to its data.

    Args:
        registry: that has it.
        version: of a model.
        evaluation: folder with the files that were stored with it (`Registry.evaluation`), or None.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    aliases = registry.aliases(version.name)
    lineage = Lineage(
        model=version.name,
        version=version.version,
        aliases=sorted(alias for alias, number in aliases.items() if number == version.version),
        weights=version.weights,
        dataset=version.tags.get("genmint.dataset"),
    )
    if version.weights:
        problem = registry.other_files(version)
        lineage.broken += [] if problem is None else [f"version {version.version}: {problem}"]
    _follow_run(lineage, registry, version)
    if evaluation is None or lineage.dataset is None:
        for link in ("commit", "stages", "validation", "gate"):
            lineage.unknown.setdefault(link, "nothing of it was stored: not registered by genmint")
    else:
        stored = Project(evaluation)
        record = _follow_gate(lineage, version, stored)
        _follow_validation(lineage, stored, record)
        entries = _follow_stages(lineage, stored)
        _follow_commit(lineage, registry.project, entries)
    _follow_journal(lineage, registry, version)
    return lineage


def _follow_run(lineage: Lineage, registry: Registry, version: Version) -> None:
    found = None if version.run_id is None else _run(registry, version.run_id)
    if found is None:
        lineage.unknown["run"] = "the version names none, or the tracker has it no more"
        return
    tags = found.data.tags
    recreated = tags.get("genmint.recreated") == "1"
    lineage.run = {
        "id": str(found.info.run_id),
        # Of a run made from files, that is when the files were written.
        "started": None if recreated else _utc(found.info.start_time),
        "user": tags.get("mlflow.user"),
        "recreated": recreated,
        "environment": {
            key.removeprefix("env."): value
            for key, value in sorted(tags.items())
            if key.startswith("env.")
        },
    }
    if recreated:
        lineage.unknown["training"] = f"commit, time and machine of the training: {_RECREATED}"
    lineage.commit = {
        # A run re-created by an earlier genmint names the commit that was checked out then.
        "training": None if recreated else tags.get("genmint.git_commit"),
        "uncommitted_changes": None if recreated else _flag(tags.get("genmint.git_dirty")),
        "recorded": None,
    }


def _run(registry: Registry, run_id: str) -> Run | None:
    """Return a run, a deleted one included; None if the tracker has it no more."""
    try:
        with tracking.reaching(registry.address):
            return registry.client.get_run(run_id)
    except RegistryMissingError:
        return None


def _follow_gate(lineage: Lineage, version: Version, stored: Project) -> Record | None:
    if not stored.gate_record(lineage.model).is_file():
        lineage.unknown["gate"] = "no gate record was stored with the version"
        return None
    try:
        record = read_record(stored, lineage.model)
    except GenmintError as error:
        _note_damage(lineage, "gate", stored.gate_record(lineage.model), error)
        return None
    digest = sha256_json(record.model_dump(mode="json"))
    lineage.gate = {
        "passed": bool(record.passed),
        "mode": record.mode,
        "checks_passed": record.checks_passed,
        "checks_failed": record.checks_failed,
        "sha256": digest,
        "failed": [check.model_dump(mode="json") for check in record.failed()],
    }
    if digest != version.tags.get("genmint.record"):
        lineage.broken.append("the stored gate record is not the one that the version names")
    for item in record.evidence:
        if item.file.endswith(".safetensors"):
            actual: str | None = version.weights
        else:
            path = stored.root / item.file
            actual = sha256_file(path) if path.is_file() else None
        if actual != item.sha256:
            lineage.broken.append(f"{item.file}, as stored, is not what the gate looked at")
    return record


def _note_damage(lineage: Lineage, link: str, path: Path, error: GenmintError) -> None:
    """A stored file that cannot be read is no absent one."""
    lineage.unknown[link] = f"the stored {path.name} is damaged"
    words = str(error).removeprefix(f"{path}: ")
    lineage.broken.append(f"{path.name}, as stored, is damaged: {words}")


def _follow_validation(lineage: Lineage, stored: Project, record: Record | None) -> None:
    assert lineage.dataset is not None
    path = stored.validation(lineage.dataset)
    if not path.is_file():
        lineage.unknown["validation"] = "no report was stored with the version"
        return
    try:
        report = read_json(path)
    except GenmintError as error:
        _note_damage(lineage, "validation", path, error)
        return
    if not isinstance(report, dict):
        _note_damage(lineage, "validation", path, GenmintError("not a report of a validation"))
        return
    if record is None:
        lineage.unknown["validation"] = "no gate record says which report it was judged by"
        return
    lineage.validation = {
        "dataset": lineage.dataset,
        "sha256": sha256_file(path),
        **{
            key: report.get(key)
            for key in ("passed", "items", "quarantined", "max_quarantined", "manifest")
        },
        "expectations": report.get("expectations", []),
    }


def _follow_stages(lineage: Lineage, stored: Project) -> Entries:
    """Take the hashes of every stage from the stored dvc.lock, if it speaks of this version."""
    assert lineage.dataset is not None
    wanted = stages_of(lineage.model, lineage.dataset)
    try:
        lock = read_lock(stored.lock)
    except GenmintError as error:
        _note_damage(lineage, "stages", stored.lock, error)
        return {}
    missing = [stage for stage in wanted if stage not in lock]
    if missing:
        reason = (
            "no dvc.lock was stored with the version"
            if not lock
            else (f"the stored dvc.lock has no {missing[0]}")
        )
        lineage.unknown["stages"] = f"{reason}: the stages ran without DVC"
        return {}
    entries = {stage: lock[stage] for stage in wanted}
    outs = written(entries)
    found = contradictions(entries)
    found += [
        f"{path}, as stored, is not what {stage} wrote by the stored dvc.lock"
        for path, stage in other_files(entries, stored.root, folders=False)
    ]
    if found:
        lineage.broken += found
        lineage.unknown["stages"] = "the stored dvc.lock speaks of other files: stages ran by hand"
        return {}
    lineage.stages = {}
    for stage, entry in entries.items():
        read = hashes(entry, "deps")
        lineage.stages[stage] = {
            "command": entry.get("cmd"),
            "code": {path: value for path, value in read.items() if _is_code(path, outs)},
            "data": {path: value for path, value in read.items() if not _is_code(path, outs)},
            "parameters": _parameters(entry),
            "wrote": hashes(entry, "outs"),
        }
    return entries


def _follow_commit(lineage: Lineage, project: Project, entries: Entries) -> None:
    commit = lineage.commit or {"training": None, "uncommitted_changes": None, "recorded": None}
    try:
        commit["recorded"] = recorded_in(project, entries) if entries else None
    except GenmintError as error:
        lineage.unknown["recorded"] = f"the commit that recorded these hashes: {error}"
    lineage.commit = commit
    if commit["training"] is None and commit["recorded"] is None:
        reason = "the run names none"
        if lineage.run is None or lineage.run["recreated"]:
            reason = _RECREATED if lineage.run else "its run is unknown"
        lineage.commit = None
        searched = lineage.unknown.pop("recorded", None)
        rest = searched or "no commit here has these hashes in its dvc.lock"
        lineage.unknown["commit"] = f"{reason}, and {rest}"


def _follow_journal(lineage: Lineage, registry: Registry, version: Version) -> None:
    written = registry.entries(lineage.model)
    for entry in written:
        # By number and hash: an old number may have come to mean other weights.
        if entry.valid and version.named in (entry.champion, previous(written, entry)):
            lineage.journal.append(
                {
                    "number": entry.number,
                    "kind": entry.kind,
                    "version": entry.version,
                    "previous": entry.previous,
                    "reason": entry.reason,
                }
            )


def _is_code(path: str, written: Mapping[str, Any]) -> bool:
    """Whether a stage reads a file of the repository: code, or rules such as gx/image.yaml."""
    return path not in written and not path.startswith("data/") and not Path(path).is_absolute()


def _parameters(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by key of params.yaml, as JSON can hold them."""
    found: dict[str, Any] = {}
    for values in (entry.get("params") or {}).values():
        found |= values
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _utc(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "1"
