"""Whether what a promotion rests on holds: gate record, dvc.lock, data and code of the metrics."""

from __future__ import annotations

from typing import Any

from genmint.config import Params
from genmint.data.prepared import Prepared
from genmint.dvc_cache import damage_in_cache
from genmint.errors import DataError, GenmintError
from genmint.files import sha256_file
from genmint.gate_record import Evidence, Record
from genmint.lock import Entries, contradictions, other_files, read_lock, stages_of
from genmint.metrics.code import code_sha256
from genmint.metrics.reference import REFERENCE
from genmint.models import store
from genmint.models.record import WEIGHTS
from genmint.project import Project
from genmint.reading import read_yaml
from genmint.scoring import read_protocol
from genmint.stages import gate


def verify(project: Project, files: Project, params: Params, name: str) -> Record:
    """Return the gate record of a model, made sure that it speaks of the files that lie here.

    The decision is pure, so it is simply made again: weights, configuration, metrics, protocol,
    costs, validation report, gate block and verdicts must all come out as recorded. dvc.lock must
    say that DVC's stages wrote these files, with the settings that params.yaml has; the data, the
    reference and the code that measured the model must be those that are here.

    Args:
        project: with the prepared data and the reference.
        files: a copy of the model's files (`snapshot.taken`).
        params: of its params.yaml.
        name: of the model.

    Raises:
        GenmintError: a file is missing or damaged, or the record is not the one that these files
            and params.yaml lead to.
    """
    way_out = f"Run `dvc repro gate@{name}`."
    if not (files.model(name) / WEIGHTS).is_file():
        raise GenmintError(f"models/{name} is not here. {way_out}")
    record = gate.read_record(files, name)
    now = gate.judge(files, params, name)
    if record != now:
        hint = _damage_in_cache(project, record, now)
        raise GenmintError(f"{_difference(record, now)}. {hint or way_out}")
    distrusted = record.distrusted()
    if distrusted:
        reasons = "; ".join(check.reason for check in distrusted)
        raise GenmintError(f"{reasons}. {way_out}")
    store.load(files.model(name))
    dataset = params.models[name].dataset
    problem = _lock_problem(files, name, dataset)
    if problem is not None:
        raise GenmintError(f"{problem}. {way_out}")
    code = code_sha256(params.models[name].family)
    if read_protocol(files, name)["protocol"].get("code") != code:
        raise GenmintError(f"metrics/{name}.json was measured by other code of genmint. {way_out}")
    if project.prepared(dataset).exists() or project.reference(dataset).exists():
        check_data(project, files, name, dataset)
    return record


def check_data(project: Project, files: Project, name: str, dataset: str) -> None:
    """Refuse prepared data and a reference that are not those that a model was measured on.

    Reads and hashes all of the prepared data.

    Raises:
        GenmintError: names the folder and the way out.
    """
    measured = read_protocol(files, name)
    prepared, reference = Prepared(project.prepared(dataset)), project.reference(dataset)
    prepared.check()
    if prepared.sha256 != measured["protocol"].get("data"):
        raise DataError(
            f"{prepared.path}: not the data that {name} was measured on. "
            f"Run `dvc repro gate@{name}`."
        )
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
    return "the gate record is not what params.yaml and the metrics lead to"


def _damage_in_cache(project: Project, record: Record, now: Record) -> str | None:
    changed = _changed(record, now)
    if changed is None or changed.sha256 is None:
        return None
    return damage_in_cache(project, project.root / changed.file)


def _changed(record: Record, now: Record) -> Evidence | None:
    """The first file that is missing, or not the one of the record; None if there is none."""
    recorded = record.hashes()
    for item in now.evidence:
        if item.sha256 is None or recorded.get(item.file) != item.sha256:
            return item
    return None


def _lock_problem(files: Project, name: str, dataset: str) -> str | None:
    """Say what in dvc.lock speaks against the files or the settings; None if nothing does."""
    lock = read_lock(files.lock)
    wanted = stages_of(name, dataset)
    missing = [stage for stage in wanted if stage not in lock]
    if missing:
        return f"dvc.lock has no {missing[0]}: it did not run under DVC"
    entries = {stage: lock[stage] for stage in wanted}
    found = contradictions(entries)
    if found:
        return f"by dvc.lock, {found[0]}"
    others = other_files(entries, files.root, folders=True)
    if others:
        path, stage = others[0]
        return f"{path} is not what {stage} wrote by dvc.lock"
    return _other_settings(entries, read_yaml(files.params))


def _other_settings(entries: Entries, settings: Any) -> str | None:
    for stage, entry in entries.items():
        for key, value in (entry.get("params") or {}).get("params.yaml", {}).items():
            # The gate decided again by what is there now; it reads those of all models.
            if key != "gates" and _value(settings, key) != value:
                return f"{key} of params.yaml is not what {stage} ran with"
    return None


def _value(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings
