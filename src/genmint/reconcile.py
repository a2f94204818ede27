"""What a person did in MLflow's UI: honoured, put back, or a champion that can be none any more.

`champion` may be moved by hand to a version that passed its gate; then the journal says so. From
any other version it is put back, and so is an alias that was taken away, unless a person wrote
down why (the tag `override` on the version) and `gates.NAME.allow_overrides` lets that count. The
alias only ever returns to a version that may be champion (see `admission`). Where the version that
the journal names is gone, or the gate recorded for it failed since, there is no champion from then
on, and the journal says why. `genmint reconcile`, `genmint promote` and `genmint rollback` follow
these rules by the same code.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genmint import tracking
from genmint.config import Gate, Params
from genmint.errors import GenmintError, RegistryError, RegistryMissingError
from genmint.history import Kind, Standing
from genmint.journal import CHAMPION, PREVIOUS
from genmint.project import Project
from genmint.registered import OVERRIDE_TAG, WEIGHTS_TAG, Version
from genmint.registry import CHALLENGER, Registry

# Each attempt was beaten by a real move of somebody else's.
_ATTEMPTS = 50
_SECONDS_BETWEEN_ATTEMPTS = 0.05

Verdict = Literal[
    "in order",
    "finished",
    "confirmed",
    "overridden",
    "put back",
    "withdrawn",
    "dry-run",
    "not mended",
]


@dataclass(frozen=True)
class Outcome:
    """What became of one model's aliases.

    Attributes:
        name: of the model.
        verdict: in one word; "not mended" is the only failure.
        champion: version that is champion now, None if there is none.
        reason: the verdict in words.
    """

    name: str
    verdict: Verdict
    champion: str | None
    reason: str

    @property
    def exit_code(self) -> int:
        """1 if something is still amiss."""
        return 1 if self.verdict == "not mended" else 0

    def __str__(self) -> str:
        champion = f"champion is version {self.champion}" if self.champion else "no champion"
        return f"{self.name}: {self.verdict} ({champion}): {self.reason}"


def reconcile(project: Project, params: Params, names: Sequence[str]) -> list[Outcome]:
    """Bring aliases and journal together, one pass over the models; idempotent.

    Finishes what a killed writer left, then judges what a person did to the aliases. Prints one
    line per model: to stderr those that could not be mended, else to stdout.

    Raises:
        RegistryError: the registry does not answer, or refuses; nothing was written since.
    """
    registry = Registry.existing(project)
    outcomes = []
    for name in names:
        if registry is None:
            outcome = Outcome(name, "in order", None, "nothing is registered")
        else:
            try:
                outcome = _reconcile_one(registry, params.gates.get(name), name)
            except GenmintError as error:
                if isinstance(error, RegistryError) and not isinstance(error, RegistryMissingError):
                    raise
                outcome = Outcome(name, "not mended", None, str(error))
        print(outcome, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)
        outcomes.append(outcome)
    return outcomes


def settle_all(registry: Registry, gate: Gate | None, name: str) -> Standing:
    """Tell who is champion, once aliases, journal and gate records agree.

    Prints what became of each thing that a person did on stderr.

    Raises:
        GenmintError: somebody moves the aliases without end.
    """
    for _ in range(_ATTEMPTS):
        standing = registry.stand(name, gate)
        if standing.in_order:
            return standing
        settled = settle(registry, gate, name, standing)
        if settled is None:
            time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
        else:
            print(settled, file=sys.stderr, flush=True)  # noqa: T201 - the user must see it
    raise GenmintError(
        f"{name}: the champion was moved by others {_ATTEMPTS} times meanwhile. Run it again."
    )


def settle(registry: Registry, gate: Gate | None, name: str, standing: Standing) -> Outcome | None:
    """Honour or put back what a person did; take the alias from what may not be champion.

    Args:
        registry: that holds the aliases.
        gate: of the model in params.yaml; None if it has none.
        name: of the model.
        standing: from `Registry.stand`, not in order.

    Returns:
        What became of it; None if somebody else wrote in between: look again.
    """
    if standing.champion is None:
        if standing.problem is not None:
            return _withdraw(registry, gate, name, standing, standing.problem)
        if standing.by_hand:
            return _taken_away(registry, gate, name, standing)
    elif not standing.by_hand and standing.problem is not None:
        return _withdraw(registry, gate, name, standing, standing.problem)
    if not standing.by_hand:
        assert standing.entry is not None
        registry.follow(name, standing.entry, gate)
        reason = f"`{PREVIOUS}` did not point to the champion to go back to"
        return Outcome(name, "put back", standing.champion, reason)
    assert standing.champion is not None
    version = registry.get(name, standing.champion)
    if version is None:
        problem = f"there is no version {standing.champion}"
        return _put_back(registry, gate, name, None, standing, problem)
    verdict = registry.verdict(version)
    if verdict is None:
        reason = f"moved by hand from {_champion_of(standing)}; it passed its gate"
        return _moved(registry, gate, version, standing, "by-hand", "confirmed", reason)
    if registry.why_not(name, version.named, gate) is None:
        reason = f"{version.override} (by hand from {_champion_of(standing)}, though {verdict})"
        return _moved(registry, gate, version, standing, "override", "overridden", reason)
    problem = verdict + _no_override(version, gate)
    return _put_back(registry, gate, name, version, standing, problem)


def _reconcile_one(registry: Registry, gate: Gate | None, name: str) -> Outcome:
    left = [entry.number for entry in registry.read(name, gate).unsettled]
    if gate is not None and gate.mode == "dry-run":
        return _dry(registry, gate, name)
    for _ in range(_ATTEMPTS):
        # Promotion refuses to compare with weights that were changed; here they lose the alias.
        standing = registry.stand(name, gate, whole=True)
        if standing.in_order:
            return _finished(registry, name, standing, left)
        outcome = settle(registry, gate, name, standing)
        if outcome is not None:
            return outcome
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
    raise GenmintError(
        f"the champion was moved by others {_ATTEMPTS} times meanwhile. "
        f"Run `genmint reconcile {name}` again."
    )


def _finished(registry: Registry, name: str, standing: Standing, left: list[int]) -> Outcome:
    """Say what was half done, having taken the last step of a writer that was killed before it."""
    champion = standing.champion
    done = [f"entry {number} was half done" for number in left]
    if champion is not None and registry.aliases(name).get(CHALLENGER) == champion:
        registry.clear_challenger(name, champion)
        done.append(f"`{CHALLENGER}` was left on the champion")
    if done:
        return Outcome(name, "finished", champion, "; ".join(done))
    reason = "aliases and journal agree"
    if champion is None:
        reason += f"; {standing.why_none}"
    return Outcome(name, "in order", champion, reason)


def _dry(registry: Registry, gate: Gate, name: str) -> Outcome:
    """Only look: a gate in dry-run moves no alias."""
    standing = registry.read(name, gate)
    if standing.by_hand:
        version = None if standing.champion is None else registry.get(name, standing.champion)
        problem = "there is none" if version is None else registry.verdict(version)
        reason = f"the alias was moved by hand from {_champion_of(standing)}, and stays: "
        return Outcome(name, "dry-run", standing.champion, reason + (problem or "it passed"))
    reason = standing.problem or "nothing moves"
    return Outcome(name, "dry-run", standing.champion, reason)


def _moved(
    registry: Registry,
    gate: Gate | None,
    version: Version,
    standing: Standing,
    kind: Kind,
    verdict: Verdict,
    reason: str,
) -> Outcome | None:
    """Write into the journal that a person moved the alias to `version`."""
    name = version.name
    moved = registry.move_champion(
        name, version, gate, standing=standing, kind=kind, reason=reason, user=_found_by()
    )
    return Outcome(name, verdict, version.version, reason) if moved else None


def _put_back(
    registry: Registry,
    gate: Gate | None,
    name: str,
    version: Version | None,
    standing: Standing,
    problem: str,
) -> Outcome | None:
    """Put the alias back where the journal has it, if that may be champion.

    Args:
        registry: that holds the aliases.
        gate: of the model.
        name: of the model.
        version: that the alias points to, None if it points to nothing.
        standing: with the alias moved by hand.
        problem: why it may not stay there.
    """
    back, why = None, ""
    named = None if standing.entry is None else standing.entry.champion
    if named is not None:
        unfit = registry.why_not(name, named, gate)
        if unfit is None:
            back = registry.find_named(name, named)
        else:
            why = f"; it cannot go back to version {named.version}: {unfit}"
    if version is not None:
        to = "away from it" if back is None else f"back to version {back.version}"
        registry.set_reverted(
            version, f"`{CHAMPION}` was moved here by hand and was put {to}: {problem}."
        )
    reason = f"moved by hand to version {standing.champion}: {problem}{why}"
    moved = registry.move_champion(
        name,
        back,
        gate,
        standing=standing,
        kind="reverted",
        reason=reason,
        user=_found_by(),
        left=version if back is None else None,
    )
    champion = None if back is None else back.version
    return Outcome(name, "put back", champion, reason) if moved else None


def _withdraw(
    registry: Registry, gate: Gate | None, name: str, standing: Standing, problem: str
) -> Outcome | None:
    """Have no champion, since the version that the journal names may not be champion any more."""
    entry = standing.entry
    assert entry is not None
    assert entry.champion is not None
    version = registry.find_named(name, entry.champion)
    if version is not None:
        registry.set_reverted(version, f"`{CHAMPION}` was taken away from here: {problem}.")
    reason = f"{entry.kind} of entry {entry.number} no longer holds: {problem}"
    moved = registry.move_champion(
        name,
        None,
        gate,
        standing=standing,
        kind="withdrawn",
        reason=reason,
        user=_found_by(),
        left=version,
    )
    way_out = (
        f". `genmint rollback {name} --reason …` goes back to an earlier champion, and "
        f"`genmint promote {name}` makes the next model that passes its gate champion"
    )
    return Outcome(name, "withdrawn", None, reason + way_out) if moved else None


def _taken_away(
    registry: Registry, gate: Gate | None, name: str, standing: Standing
) -> Outcome | None:
    """Put a deleted alias back, unless its version says why there is to be no champion."""
    entry = standing.entry
    assert entry is not None
    assert entry.champion is not None
    version = registry.find_named(name, entry.champion)
    if version is None:
        return None
    if version.override and gate is not None and gate.allow_overrides:
        reason = (
            f"{version.override} (the alias was taken away by hand from version {version.version})"
        )
        moved = registry.move_champion(
            name,
            None,
            gate,
            standing=standing,
            kind="override",
            reason=reason,
            user=_found_by(),
            left=version,
        )
        return Outcome(name, "overridden", None, reason) if moved else None
    unfit = registry.why_not(name, entry.champion, gate)
    if unfit is not None:
        return _withdraw(registry, gate, name, standing, f"{entry.champion}: {unfit}")
    reason = "taken away by hand" + _no_override(version, gate)
    return _moved(registry, gate, version, standing, "reverted", "put back", reason)


def _champion_of(standing: Standing) -> str:
    entry = standing.entry
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
