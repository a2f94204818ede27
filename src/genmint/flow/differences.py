"""Whether two commits have the same results; measured times and memory use do not count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from genmint.common.dvc_config import cache_dir
from genmint.common.dvc_lock import Entries, hashes
from genmint.common.errors import GenmintError
from genmint.common.layout import LOCK
from genmint.common.programs import git
from genmint.common.project import RELATIVE, Project
from genmint.common.reading import read_bytes
from genmint.decision.gate_record import Record

# Far above the size of any gate record.
_RECORD_BYTES = 10_000_000


def same_inputs(checkout: Project, commit: str, other: str, results: str) -> bool:
    """Return whether two commits have the same files, except dvc.lock and the folder `results`.

    Raises:
        GenmintError: git fails.
    """
    left_out = [f":(exclude){path}" for path in (LOCK, results)]
    return not git(checkout, "diff", "--name-only", commit, other, "--", ".", *left_out)


def same_results(checkout: Project, entries: Entries, *others: Entries) -> bool:
    """Return whether each stage has the same inputs and outputs as in one of `others`.

    Two results of a model that differ only in measured times and memory use are the same, if its
    gate decided the same.

    Args:
        checkout: project whose DVC cache has the gate records.
        entries: dvc.lock of the results.
        others: further dvc.lock files; the first that has a stage need not be the one that agrees.
    """
    return all(
        any(_same_stage(checkout, stage, entry, other.get(stage)) for other in others)
        for stage, entry in entries.items()
    )


def _same_stage(
    checkout: Project, stage: str, entry: Mapping[str, Any], other: Mapping[str, Any] | None
) -> bool:
    if other is None or entry == other:
        return other is not None
    verb, _, name = stage.partition("@")
    if verb not in ("evaluate", "gate"):
        return False
    measured = {str(RELATIVE.cost(name)), str(RELATIVE.gate_record(name))}
    if _without(entry, measured) != _without(other, measured):
        return False
    record = str(RELATIVE.gate_record(name))
    mine, theirs = (hashes(each, "outs").get(record) for each in (entry, other))
    return mine == theirs or _same_decision(checkout, mine, theirs)


def _without(entry: Mapping[str, Any], paths: set[str]) -> dict[str, Any]:
    kept = dict(entry)
    for part in ("deps", "outs"):
        kept[part] = [item for item in entry.get(part) or [] if item["path"] not in paths]
    return kept


def _same_decision(checkout: Project, *digests: str | None) -> bool:
    """Whether two gate records decide the same for the same reasons; False if one is not here."""
    # It imports MLflow, which takes seconds; mostly no record differs.
    from genmint.promotion.version_info import gate_inputs

    cache = cache_dir(checkout.root)
    try:
        mine, theirs = (gate_inputs(_record(cache, digest)) for digest in digests)
    except (GenmintError, OSError, ValidationError):
        return False
    return mine == theirs


def _record(cache: Path, digest: str | None) -> Record:
    if digest is None:
        raise GenmintError("no gate record")
    path = cache / "files" / "md5" / digest[:2] / digest[2:]
    return Record.model_validate_json(read_bytes(path, _RECORD_BYTES))
