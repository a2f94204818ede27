"""Verification of a promotion's evidence: gate record, dvc.lock, data and metric code."""

from __future__ import annotations

from typing import Any

from genmint.common.dvc_cache import damage_in_cache
from genmint.common.dvc_lock import Entries, contradictions, other_files, read_lock, stages_of
from genmint.common.errors import DataError, GenmintError
from genmint.common.files import sha256_file
from genmint.common.layout import PARAMS, WEIGHTS
from genmint.common.project import Project
from genmint.common.reading import read_yaml
from genmint.config import Params
from genmint.data.prepared import TRAINED, Prepared
from genmint.decision.evaluation import Evaluation
from genmint.decision.gate_record import Evidence, Record
from genmint.evaluation.code_hash import code_sha256
from genmint.evaluation.reference import REFERENCE
from genmint.models.shared import store
from genmint.stages import gate


def verified_record(
    project: Project, files: Project, params: Params, evaluation: Evaluation
) -> Record:
    """Return the gate record of a model after checking that it matches the files on disk.

    The gate decision is a pure function, so it is repeated. Weights, configuration, metrics,
    protocol, costs, validation report, gate entry and results must equal those of the record.
    dvc.lock must show that DVC stages wrote these files with the current settings of params.yaml.
    The data, the reference and the code that measured the model must be the current ones.

    Args:
        project: project with the prepared data and the reference.
        files: copy of the model's files (`snapshot.taken`).
        params: settings from the params.yaml of that copy.
        evaluation: evaluation of the model in that copy.

    Raises:
        GenmintError: a file is missing or damaged, or the record does not follow from these files
            and params.yaml.
    """
    name, dataset = evaluation.name, evaluation.dataset
    way_out = f"Run `dvc repro gate@{name}`."
    if not (files.model(name) / WEIGHTS).is_file():
        raise GenmintError(f"models/{name} does not exist. {way_out}")
    record = gate.read_record(files, name)
    now = gate.judge(evaluation, params)
    if record != now:
        hint = _damage_in_cache(project, record, now)
        raise GenmintError(f"{_difference(record, now)}. {hint or way_out}")
    distrusted = record.distrusted()
    if distrusted:
        reasons = "; ".join(check.reason for check in distrusted)
        raise GenmintError(f"{reasons}. {way_out}")
    store.load(files.model(name))
    problem = _lock_problem(files, name, dataset)
    if problem is not None:
        raise GenmintError(f"{problem}. {way_out}")
    code = code_sha256(params.models[name].family)
    if evaluation.measured()["protocol"].get("code") != code:
        raise GenmintError(
            f"metrics/{name}.json was measured with other code of genmint. {way_out}"
        )
    if project.prepared(dataset).exists() or project.reference(dataset).exists():
        check_data(project, files, evaluation)
    return record


def check_data(project: Project, files: Project, evaluation: Evaluation) -> None:
    """Check that prepared data and reference are those that a model was measured on.

    The check reads and hashes all prepared data.

    Raises:
        GenmintError: they differ or are missing; the message names the folder and the remedy.
    """
    name, dataset, measured = evaluation.name, evaluation.dataset, evaluation.measured()
    prepared, reference = Prepared(project.prepared(dataset)), project.reference(dataset)
    prepared.check()
    if prepared.sha256 != measured["protocol"].get("data"):
        raise DataError(
            f"{prepared.path}: not the data that {name} was measured on. "
            f"Run `dvc repro gate@{name}`."
        )
    trained = files.trained(dataset)
    if trained.is_file() and sha256_file(trained) != prepared.meta.files.get(TRAINED):
        raise DataError(f"{trained}: not what {name} was trained on. Run `dvc repro gate@{name}`.")
    path = reference / REFERENCE
    if not path.is_file() or sha256_file(path) != measured.get("reference"):
        raise DataError(
            f"{path}: missing, or not what {name} was measured by. Run `dvc repro gate@{name}`."
        )


def _difference(record: Record, now: Record) -> str:
    changed = _changed(record, now)
    if changed is not None:
        what = "is missing" if changed.sha256 is None else "is not the file that was gated"
        return f"{changed.file} {what}"
    if record.model != now.model:
        return f"the gate record is that of {record.model}"
    return "the gate record does not follow from params.yaml and the metrics"


def _damage_in_cache(project: Project, record: Record, now: Record) -> str | None:
    changed = _changed(record, now)
    if changed is None or changed.sha256 is None:
        return None
    return damage_in_cache(project, project.root / changed.file)


def _changed(record: Record, now: Record) -> Evidence | None:
    """Return the first file that is missing or differs from the record; None if all match."""
    recorded = record.hashes()
    for item in now.evidence:
        if item.sha256 is None or recorded.get(item.file) != item.sha256:
            return item
    return None


def _lock_problem(files: Project, name: str, dataset: str) -> str | None:
    """Return how dvc.lock contradicts the files or the settings; None if it does not."""
    lock = read_lock(files.lock)
    wanted = stages_of(name, dataset)
    missing = [stage for stage in wanted if stage not in lock]
    if missing:
        return f"dvc.lock has no {missing[0]}: it did not run under DVC"
    entries = {stage: lock[stage] for stage in wanted}
    problems = contradictions(entries)
    if problems:
        return f"according to dvc.lock, {problems[0]}"
    others = other_files(entries, files.root, folders=True)
    if others:
        path, stage = others[0]
        return f"{path} is not the output of {stage} that dvc.lock records"
    return _other_settings(entries, read_yaml(files.params))


def _other_settings(entries: Entries, settings: Any) -> str | None:
    for stage, entry in entries.items():
        for key, value in (entry.get("params") or {}).get(PARAMS, {}).items():
            # The gate decision was already repeated with current settings, and `gates` covers all
            # models.
            if key != "gates" and _value(settings, key) != value:
                return f"{key} of params.yaml is not the value that {stage} ran with"
    return None


def _value(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings
