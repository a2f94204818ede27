"""Refusal of versions whose gate failed, and notices about versions that may not be what they seem.

An alias can be moved by hand to any version, and stays there until the next `genmint reconcile`. So
each loader asks for the gate record that is stored with the version.
"""

from __future__ import annotations

import sys
from typing import Any

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.escaping import printable
from genmint.common.files import read_json
from genmint.common.gate_verdict import failures, is_dry_run
from genmint.common.project import Project
from genmint.config import Gate, load_params
from genmint.registry.champion import alias_remedy, effect, judged, move_by_hand, moved_by_hand
from genmint.registry.championship import Championship
from genmint.registry.journal import CHAMPION, PREVIOUS
from genmint.registry.registry import Registry
from genmint.registry.versions import Version


def refuse_failed(
    registry: Registry,
    version: Version,
    evaluation: Project,
    *,
    alias: str | None,
    allow_refused: bool,
) -> None:
    """Refuse a version whose gate failed, and print a line if it is used all the same.

    A line on stderr also says that the gate was in dry-run, that the version is used by override,
    or that a person moved the alias and no command has checked the move since.

    Args:
        registry: registry of the version.
        version: the version.
        evaluation: its verified evaluation files, laid out as in a project.
        alias: alias by which it was requested, None if it was requested by number.
        allow_refused: print a warning instead of refusing.

    Raises:
        GenmintError: its gate failed, or no gate record proves that it passed.
        RegistryUnreachableError: the registry does not answer.
    """
    name = version.name
    named = f"{name}/{version.version}"
    journal = None if alias is None else _moved_from(registry, version, alias)
    by_hand = journal is not None
    gate = _policy(registry.project, name)
    admission = judged(registry, version, gate)
    record = _record(evaluation, name)
    failed = failures(record)
    reason = f"{admission.problem} ({failed})" if failed else admission.problem
    # A person may move `previous-champion` nowhere.
    purpose = "revert the move" if alias == PREVIOUS else effect(admission, by_hand=by_hand)
    remedy = alias_remedy(name, gate, purpose)
    if admission.override:
        _report(f"{named}: {reason}. It is used by override: {admission.override}")
    elif reason is not None and is_dry_run(record):
        _report(f"{named}: {reason}, so that nothing was decided.")
    elif reason is not None and allow_refused:
        _report(f"{named}: {reason}. It is used because refused versions are allowed here.")
    elif reason is not None:
        first = f"Use {name}@{CHAMPION}."
        if by_hand or alias == CHAMPION:
            first = f"T{journal[1:]}. {remedy}" if journal else remedy
        raise GenmintError(
            printable(
                f"{named}: {reason}. {first} To use this version all the same, add "
                "`--allow-refused` (in Python: allow_refused=True)."
            )
        )
    if by_hand:
        _report(f"{name}@{alias}: {journal}. {remedy}")


def _moved_from(registry: Registry, version: Version, alias: str) -> str | None:
    """Return who says what about an alias that a person moved to the version; else None."""
    if alias not in (CHAMPION, PREVIOUS):
        return None
    state = Championship(registry).read(version.name, None)
    entry = state.entry
    if alias == CHAMPION:
        if not moved_by_hand(state) or state.champion != version.version:
            return None
        return move_by_hand(alias, version.version, None if entry is None else entry.version)
    # An entry that is not finalised is a move by genmint, which is going on.
    by_hand = state.previous_by_hand and not state.unfinished
    if not by_hand or state.previous != version.version:
        return None
    return move_by_hand(alias, version.version, None if entry is None else entry.previous)


def _policy(project: Project, name: str) -> Gate | None:
    """Return the gate of a model, None if there is no valid params.yaml, as outside a project."""
    try:
        return load_params(project.params).gates.get(name)
    except ConfigError:
        return None


def _record(evaluation: Project, name: str) -> dict[str, Any]:
    """Return the gate record as plain JSON; {} if there is none, which `Admission` reports."""
    try:
        record = read_json(evaluation.gate_record(name), "")
    except GenmintError:
        return {}
    return record if isinstance(record, dict) else {}


def _report(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)  # noqa: T201 - the user must see it
