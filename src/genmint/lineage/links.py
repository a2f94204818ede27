"""Tracing of a version to its origins, from the files stored at registration.

A missing link is reported as unknown with the reason. Links that contradict each other are reported
as broken. Files of the working tree are not used.
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
from genmint.common.dvc_lock import (
    Entries,
    contradictions,
    hashes,
    other_files,
    read_lock,
    stages_of,
    written,
)
from genmint.common.errors import GenmintError, RegistryMissingError
from genmint.common.files import read_json, sha256_file, sha256_json
from genmint.common.project import Project
from genmint.common.tags import (
    DATASET_TAG,
    ENVIRONMENT_TAGS,
    GATE_RECORD_TAG,
    GIT_COMMIT_TAG,
    GIT_DIRTY_TAG,
    RECREATED_TAG,
)
from genmint.decision.gate_record import Record
from genmint.lineage.commit_search import recorded_in
from genmint.registry import signature
from genmint.registry.championship import Championship
from genmint.registry.journal_entries import previous
from genmint.registry.registry import Registry
from genmint.registry.versions import Version
from genmint.stages.gate import read_record

_RECREATED = "the run was re-created from DVC's cache"


@dataclass
class Lineage:
    """Lineage of a version; `unknown` gives the reason for each part that is None.

    Attributes:
        model: name of the model entry.
        version: version number.
        aliases: aliases that point to the version.
        weights: sha256 of model.safetensors.
        dataset: name of the data set entry.
        run: id, start (UTC), user, whether it was recreated, environment.
        commit: `training` is the commit checked out during training, with whether tracked files
            differed from it. `recorded` is the first commit whose dvc.lock has exactly the entries
            of this version.
        stages: stages from ingest to gate, with command, hashes of code and data read, hashes of
            outputs, and parameters.
        validation: data validation: sha256 of the report, items, quarantined, expectations.
        gate: result, counts, hash of the record, and the failed checks.
        signature: signing key, and hash of the stored code (None if it was stored unsigned).
        journal: entries that made it champion, or that name it as the previous champion.
        unknown: link → reason why it is unknown.
        broken: descriptions of contradictions.
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
    signature: dict[str, Any] | None = None
    journal: list[dict[str, Any]] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return all attributes by name."""
        return asdict(self)


def trace(registry: Registry, version: Version, evaluation: Path | None) -> Lineage:
    """Trace a version to its data.

    Args:
        registry: registry that has the version.
        version: version of a model.
        evaluation: folder with the files stored with it (`Registry.evaluation`), or None.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    aliases = registry.aliases(version.name)
    lineage = Lineage(
        model=version.name,
        version=version.version,
        aliases=sorted(alias for alias, number in aliases.items() if number == version.version),
        weights=version.weights,
        dataset=version.tags.get(DATASET_TAG),
    )
    if version.weights:
        problem = registry.other_files(version)
        lineage.broken += [] if problem is None else [f"version {version.version}: {problem}"]
    _follow_signature(lineage, registry, version, evaluation)
    _follow_run(lineage, registry, version)
    if evaluation is None or lineage.dataset is None:
        for link in ("commit", "stages", "validation", "gate"):
            lineage.unknown.setdefault(link, "nothing was stored: not registered by genmint")
    else:
        stored = Project(evaluation)
        record = _follow_gate(lineage, version, stored)
        _follow_validation(lineage, stored, record)
        entries = _follow_stages(lineage, stored)
        _follow_commit(lineage, registry.project, entries)
    _follow_journal(lineage, registry, version)
    return lineage


def _follow_signature(
    lineage: Lineage, registry: Registry, version: Version, evaluation: Path | None
) -> None:
    if not version.weights:
        lineage.unknown["signature"] = "it was not registered by genmint"
        return
    signed = signature.read(version.tags)
    if registry.key is None:
        lineage.unknown["signature"] = "the project's key is not on this machine"
        return
    problem = signature.signature_problem(registry.key, version.name, version.weights, version.tags)
    if problem is None and signed is not None and evaluation is not None:
        problem = signature.other_evaluation(signed[0], evaluation)
    if problem is not None or signed is None:
        lineage.broken.append(f"version {version.version}: {problem}")
        lineage.unknown["signature"] = str(problem)
        return
    lineage.signature = {"key": registry.key.id, "code": signed[0].code or None}


def _follow_run(lineage: Lineage, registry: Registry, version: Version) -> None:
    run = None if version.run_id is None else _run(registry, version.run_id)
    if run is None:
        lineage.unknown["run"] = "the version names no run, or the tracker no longer has it"
        return
    tags = run.data.tags
    recreated = tags.get(RECREATED_TAG) == "1"
    lineage.run = {
        "id": str(run.info.run_id),
        # The start time of a recreated run is that of its files, not of the training run.
        "started": None if recreated else _utc(run.info.start_time),
        "user": tags.get("mlflow.user"),
        "recreated": recreated,
        "environment": {
            key.removeprefix(ENVIRONMENT_TAGS): value
            for key, value in sorted(tags.items())
            if key.startswith(ENVIRONMENT_TAGS)
        },
    }
    if recreated:
        lineage.unknown["training"] = f"commit, time and machine of the training: {_RECREATED}"
    lineage.commit = {
        # An earlier genmint stored the commit checked out at recreation, which is not that of
        # training.
        "training": None if recreated else tags.get(GIT_COMMIT_TAG),
        "uncommitted_changes": None if recreated else _flag(tags.get(GIT_DIRTY_TAG)),
        "recorded": None,
    }


def _run(registry: Registry, run_id: str) -> Run | None:
    """Return a run, even a deleted one; None if the tracker no longer has it."""
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
    if digest != version.tags.get(GATE_RECORD_TAG):
        lineage.broken.append("the stored gate record is not the one that the version names")
    for item in record.evidence:
        if item.file.endswith(".safetensors"):
            actual: str | None = version.weights
        else:
            path = stored.root / item.file
            actual = sha256_file(path) if path.is_file() else None
        if actual != item.sha256:
            lineage.broken.append(
                f"{item.file}, as stored, differs from the file that the gate read"
            )
    return record


def _note_damage(lineage: Lineage, link: str, path: Path, error: GenmintError) -> None:
    """Record that a stored file is damaged, which is different from missing."""
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
        lineage.unknown["validation"] = "no gate record names the report that was used"
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
    """Read the hashes of every stage from the stored dvc.lock, if it matches this version."""
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
    problems = contradictions(entries)
    problems += [
        f"{path}, as stored, is not what {stage} wrote by the stored dvc.lock"
        for path, stage in other_files(entries, stored.root, folders=False)
    ]
    if problems:
        lineage.broken += problems
        lineage.unknown["stages"] = "the stored dvc.lock lists other files: stages were run by hand"
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
    written = Championship(registry).entries(lineage.model)
    for entry in written:
        # Compared by number and hash, because a number may be reused for other weights.
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
    """Whether a stage reads a file of the repository: code, or rules in config/expectations."""
    return path not in written and not path.startswith("data/") and not Path(path).is_absolute()


def _parameters(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a stage by key of params.yaml, as JSON values."""
    parameters: dict[str, Any] = {}
    for values in (entry.get("params") or {}).values():
        parameters |= values
    plain: dict[str, Any] = json.loads(json.dumps(parameters, default=str))
    return plain


def _utc(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "1"
