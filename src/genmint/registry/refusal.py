"""Refusal of versions whose gate failed, and notices about versions that may not be what they seem.

An alias can be moved by hand to any version, and stays there until the next `genmint reconcile`. So
each loader asks for the gate record that is stored with the version.
"""

from __future__ import annotations

import sys
from typing import Any

from genmint import tracking
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.escaping import printable
from genmint.common.files import read_json
from genmint.common.gate_verdict import failures, is_dry_run
from genmint.common.project import Project
from genmint.config import Gate, load_params
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

    A line on stderr also says that the gate was in dry-run, or that a person moved the alias and no
    command has checked the move since. An override that the policy allows counts as passed.

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
    name, number = version.name, version.version
    by_hand = alias is not None and _moved_by_hand(registry, version, alias)
    gate = _policy(registry.project, name) if version.override else None
    with tracking.reaching(registry.address):
        problem = registry.judge(name, gate).why_not(version.named, whole=False)
    record = _record(evaluation, name)
    failed = failures(record)
    reason = f"{problem} ({failed})" if failed else problem
    if problem is not None and not is_dry_run(record):
        message = f"{name}/{number}: {reason}."
        if not allow_refused:
            raise GenmintError(printable(f"{message} {_way_out(name, alias, by_hand=by_hand)}"))
        _report(f"{message} It is used because refused versions are allowed here.")
    elif problem is not None:
        _report(f"{name}/{number}: {reason}, so that nothing was decided.")
    if by_hand:
        _report(
            f"{name}@{alias}: the alias was moved to version {number} by hand, and the journal "
            f"does not have the move yet. `genmint reconcile {name}` confirms or reverts it."
        )


def _way_out(name: str, alias: str | None, *, by_hand: bool) -> str:
    if by_hand:
        first = (
            f"The alias {alias} was moved to it by hand: `genmint reconcile {name}` reverts that."
        )
    elif alias == CHAMPION:
        first = f"`genmint reconcile {name}` finds another champion or none."
    else:
        first = f"Use {name}@{CHAMPION}."
    return (
        f"{first} To use this version all the same, add `--allow-refused` "
        "(in Python: allow_refused=True)."
    )


def _moved_by_hand(registry: Registry, version: Version, alias: str) -> bool:
    """Whether the alias points to the version, and the journal does not have that move."""
    if alias not in (CHAMPION, PREVIOUS):
        return False
    state = Championship(registry).read(version.name, None)
    # An entry that is not finalised is a move by genmint, which is going on.
    if state.unfinished:
        return False
    if alias == CHAMPION:
        return state.by_hand and state.champion == version.version
    return state.previous_by_hand and state.previous == version.version


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
