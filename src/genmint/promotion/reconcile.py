"""Reconciliation of manual alias changes in MLflow with the journal.

A person may move `champion` to a version that passed its gate; the journal then records the move. A
move to any other version is reverted, and a deleted alias is restored. The exception is a version
with a written reason (tag `override`) while `gates.NAME.allow_overrides` is true. The alias is only
ever restored to a version that may be champion (see `admission`). If the version named by the
journal is gone, or its recorded gate has failed since, there is no champion and the journal states
why. `genmint reconcile`, `genmint promote` and `genmint rollback` share this code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genmint import tracking
from genmint.common.errors import GenmintError, RegistryError, RegistryMissingError
from genmint.common.escaping import printable
from genmint.common.project import Project
from genmint.common.tags import OVERRIDE_TAG, WEIGHTS_TAG
from genmint.config import Gate, Params
from genmint.registry.championship import CHALLENGER, Championship
from genmint.registry.conflicts import retry_on_conflict
from genmint.registry.journal import CHAMPION, PREVIOUS
from genmint.registry.journal_entries import EntryKind, RegistryState
from genmint.registry.registry import Registry
from genmint.registry.versions import Version

ReconcileVerdict = Literal[
    "in order",
    "finished",
    "confirmed",
    "overridden",
    "reverted",
    "withdrawn",
    "dry-run",
    "not fixed",
]


@dataclass(frozen=True)
class ReconcileResult:
    """Result of reconciling one model's aliases.

    Attributes:
        name: name of the model.
        verdict: short result; "not fixed" is the only failure.
        champion: number of the current champion version, None if there is none.
        reason: explanation of the result.
    """

    name: str
    verdict: ReconcileVerdict
    champion: str | None
    reason: str

    @property
    def exit_code(self) -> int:
        """1 if a problem remains, else 0."""
        return 1 if self.verdict == "not fixed" else 0

    def __str__(self) -> str:
        champion = f"champion is version {self.champion}" if self.champion else "no champion"
        return printable(f"{self.name}: {self.verdict} ({champion}): {self.reason}")


def reconcile(project: Project, params: Params, names: Sequence[str]) -> list[ReconcileResult]:
    """Reconcile aliases and journal of each model in one pass; idempotent.

    Completes the entries of interrupted writers, then handles manual changes of the aliases. Prints
    one line per model, to stderr if a problem remains, else to stdout.

    Raises:
        RegistryError: the registry does not answer, or rejects a request; nothing was written
            since.
    """
    registry = Registry.existing(project)
    championship = None if registry is None else Championship(registry)
    outcomes = []
    for name in names:
        if championship is None:
            outcome = ReconcileResult(name, "in order", None, "nothing is registered")
        else:
            try:
                outcome = _reconcile_one(championship, params.gates.get(name), name)
            except GenmintError as error:
                if isinstance(error, RegistryError) and not isinstance(error, RegistryMissingError):
                    raise
                outcome = ReconcileResult(name, "not fixed", None, str(error))
        print(outcome, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)
        outcomes.append(outcome)
    return outcomes


def settle_all(championship: Championship, gate: Gate | None, name: str) -> RegistryState:
    """Return the registry state after aliases, journal and gate records agree.

    Prints the result for each manual change on stderr.

    Raises:
        GenmintError: others keep moving the aliases.
    """

    def attempt() -> RegistryState | None:
        registry_state = championship.finish_moves(name, gate)
        if registry_state.in_order:
            if registry_state.forged:
                print(f"{name}: {registry_state.forged}", file=sys.stderr, flush=True)  # noqa: T201
            return registry_state
        failure = resolve_manual_change(championship, gate, name, registry_state)
        if failure is not None:
            print(failure, file=sys.stderr, flush=True)  # noqa: T201 - the user must see it
        return None

    return retry_on_conflict(
        attempt,
        lambda attempts: GenmintError(
            f"{name}: the champion was moved by others {attempts} times meanwhile. Run it again."
        ),
    )


def resolve_manual_change(
    championship: Championship, gate: Gate | None, name: str, registry_state: RegistryState
) -> ReconcileResult | None:
    """Accept or revert a manual change, and remove the alias from an inadmissible version.

    Args:
        championship: state of the registry that holds the aliases.
        gate: gate of the model in params.yaml; None if it has none.
        name: name of the model.
        registry_state: registry state from `Championship.finish_moves` that is not in order.

    Returns:
        The result; None if another process wrote in between and the state must be read again.
    """
    if registry_state.champion is None:
        if registry_state.problem is not None:
            return _withdraw(championship, gate, name, registry_state, registry_state.problem)
        if registry_state.by_hand:
            return _taken_away(championship, gate, name, registry_state)
    elif not registry_state.by_hand and registry_state.problem is not None:
        return _withdraw(championship, gate, name, registry_state, registry_state.problem)
    if not registry_state.by_hand:
        assert registry_state.entry is not None
        championship.follow(name, registry_state.entry, gate)
        reason = f"`{PREVIOUS}` did not point to the champion to go back to"
        return ReconcileResult(name, "reverted", registry_state.champion, reason)
    assert registry_state.champion is not None
    version = championship.registry.get(name, registry_state.champion)
    if version is None:
        problem = f"there is no version {registry_state.champion}"
        return _put_back(championship, gate, name, None, registry_state, problem)
    verdict = championship.verdict(version)
    if verdict is None:
        reason = f"moved by hand from {_champion_of(registry_state)}; it passed its gate"
        return _moved(championship, gate, version, registry_state, "by-hand", "confirmed", reason)
    if championship.why_not(name, version.named, gate) is None:
        reason = (
            f"{version.override} (by hand from {_champion_of(registry_state)}, though {verdict})"
        )
        return _moved(championship, gate, version, registry_state, "override", "overridden", reason)
    problem = verdict + _no_override(version, gate)
    return _put_back(championship, gate, name, version, registry_state, problem)


def _reconcile_one(championship: Championship, gate: Gate | None, name: str) -> ReconcileResult:
    left = [entry.number for entry in championship.read(name, gate).unfinished]
    if gate is not None and gate.mode == "dry-run":
        return _dry(championship, gate, name)

    def attempt() -> ReconcileResult | None:
        # Promotion refuses to compare with modified weights; reconciliation removes their alias.
        registry_state = championship.finish_moves(name, gate, whole=True)
        if registry_state.in_order:
            return _finished(championship, name, registry_state, left)
        return resolve_manual_change(championship, gate, name, registry_state)

    return retry_on_conflict(
        attempt,
        lambda attempts: GenmintError(
            f"the champion was moved by others {attempts} times meanwhile. "
            f"Run `genmint reconcile {name}` again."
        ),
    )


def _finished(
    championship: Championship, name: str, registry_state: RegistryState, left: list[int]
) -> ReconcileResult:
    """Complete the last step of an interrupted writer, and return what was incomplete."""
    champion = registry_state.champion
    done = [f"entry {number} was incomplete" for number in left]
    if champion is not None and championship.registry.aliases(name).get(CHALLENGER) == champion:
        championship.clear_challenger(name, champion)
        done.append(f"`{CHALLENGER}` still pointed to the champion")
    if done:
        return ReconcileResult(name, "finished", champion, "; ".join(done))
    reason = "aliases and journal agree"
    if champion is None:
        reason += f"; {registry_state.why_none}"
    if registry_state.forged:
        reason += f"; {registry_state.forged}"
    return ReconcileResult(name, "in order", champion, reason)


def _dry(championship: Championship, gate: Gate, name: str) -> ReconcileResult:
    """Report without writing: a dry-run gate moves no alias."""
    registry_state = championship.read(name, gate)
    if registry_state.by_hand:
        version = (
            None
            if registry_state.champion is None
            else championship.registry.get(name, registry_state.champion)
        )
        problem = "there is none" if version is None else championship.verdict(version)
        reason = f"the alias was moved by hand from {_champion_of(registry_state)}, and stays: "
        return ReconcileResult(
            name, "dry-run", registry_state.champion, reason + (problem or "it passed")
        )
    reason = registry_state.problem or "no alias moves"
    return ReconcileResult(name, "dry-run", registry_state.champion, reason)


def _moved(
    championship: Championship,
    gate: Gate | None,
    version: Version,
    registry_state: RegistryState,
    kind: EntryKind,
    verdict: ReconcileVerdict,
    reason: str,
) -> ReconcileResult | None:
    """Record in the journal that a person moved the alias to `version`."""
    name = version.name
    moved = championship.move_champion(
        name,
        version,
        gate,
        registry_state=registry_state,
        kind=kind,
        reason=reason,
        user=_found_by(),
    )
    return ReconcileResult(name, verdict, version.version, reason) if moved else None


def _put_back(
    championship: Championship,
    gate: Gate | None,
    name: str,
    version: Version | None,
    registry_state: RegistryState,
    problem: str,
) -> ReconcileResult | None:
    """Restore the alias to the version of the journal, if that version may be champion.

    Args:
        championship: state of the registry that holds the aliases.
        gate: gate of the model.
        name: name of the model.
        version: version that the alias points to, None if it points to nothing.
        registry_state: registry state with a manually moved alias.
        problem: why the alias may not stay there.
    """
    back, why = None, ""
    named = None if registry_state.entry is None else registry_state.entry.champion
    if named is not None:
        unfit = championship.why_not(name, named, gate)
        if unfit is None:
            back = championship.find_named(name, named)
        else:
            why = f"; it cannot be reverted to version {named.version}: {unfit}"
    if version is not None:
        done = "removed" if back is None else f"reverted to version {back.version}"
        championship.set_reverted(
            version, f"`{CHAMPION}` was moved here by hand and was {done}: {problem}."
        )
    reason = f"moved by hand to version {registry_state.champion}: {problem}{why}"
    moved = championship.move_champion(
        name,
        back,
        gate,
        registry_state=registry_state,
        kind="reverted",
        reason=reason,
        user=_found_by(),
        left=version if back is None else None,
    )
    champion = None if back is None else back.version
    return ReconcileResult(name, "reverted", champion, reason) if moved else None


def _withdraw(
    championship: Championship,
    gate: Gate | None,
    name: str,
    registry_state: RegistryState,
    problem: str,
) -> ReconcileResult | None:
    """Remove the champion, because the journal's version may no longer be champion."""
    entry = registry_state.entry
    assert entry is not None
    assert entry.champion is not None
    version = championship.find_named(name, entry.champion)
    if version is not None:
        championship.set_reverted(version, f"`{CHAMPION}` was removed from here: {problem}.")
    reason = f"{entry.kind} of entry {entry.number} is no longer valid: {problem}"
    moved = championship.move_champion(
        name,
        None,
        gate,
        registry_state=registry_state,
        kind="withdrawn",
        reason=reason,
        user=_found_by(),
        left=version,
    )
    way_out = (
        f". `genmint rollback {name} --reason …` goes back to an earlier champion, and "
        f"`genmint promote {name}` makes the next model that passes its gate champion"
    )
    return ReconcileResult(name, "withdrawn", None, reason + way_out) if moved else None


def _taken_away(
    championship: Championship, gate: Gate | None, name: str, registry_state: RegistryState
) -> ReconcileResult | None:
    """Restore a deleted alias, unless an override on its version justifies the deletion."""
    entry = registry_state.entry
    assert entry is not None
    assert entry.champion is not None
    version = championship.find_named(name, entry.champion)
    if version is None:
        return None
    if version.override and gate is not None and gate.allow_overrides:
        reason = (
            f"{version.override} (the alias was removed by hand from version {version.version})"
        )
        moved = championship.move_champion(
            name,
            None,
            gate,
            registry_state=registry_state,
            kind="override",
            reason=reason,
            user=_found_by(),
            left=version,
        )
        return ReconcileResult(name, "overridden", None, reason) if moved else None
    unfit = championship.why_not(name, entry.champion, gate)
    if unfit is not None:
        return _withdraw(championship, gate, name, registry_state, f"{entry.champion}: {unfit}")
    reason = "removed by hand" + _no_override(version, gate)
    return _moved(championship, gate, version, registry_state, "reverted", "reverted", reason)


def _champion_of(registry_state: RegistryState) -> str:
    entry = registry_state.entry
    return "none" if entry is None or entry.version is None else f"version {entry.version}"


def _no_override(version: Version, gate: Gate | None) -> str:
    if not version.override:
        return ""
    if gate is not None and gate.allow_overrides:
        return (
            f"; its tag `{OVERRIDE_TAG}` counts only for a version with the weights that its tag "
            f"`{WEIGHTS_TAG}` names"
        )
    return (
        f"; its tag `{OVERRIDE_TAG}` does not count while gates.{version.name}.allow_overrides "
        "is false"
    )


def _found_by() -> str:
    return f"found by {tracking.user()}"
