"""The version that the alias `champion` points to, and the sentences about it.

Report, status and loaders take their sentences from here, so that they agree. A version that its
gate does not admit is always named with the reason, and so is an alias that was moved by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from genmint import tracking
from genmint.config import Gate
from genmint.registry.journal import CHAMPION
from genmint.registry.journal_entries import RegistryState
from genmint.registry.registry import Registry
from genmint.registry.versions import Version


@dataclass(frozen=True)
class Champion:
    """The version that the alias `champion` points to.

    Attributes:
        number: number of the version.
        version: the version; None if it was deleted.
        problem: why the gate does not admit it as champion; None if it passed its gate.
        override: the reason for an override, if policy allows overrides; else "".
    """

    number: str
    version: Version | None
    problem: str | None
    override: str = ""

    @property
    def remark(self) -> str:
        """A few words about a version that its gate does not admit; "" if it does."""
        if self.version is None:
            return "does not exist"
        if self.override:
            return "by override"
        return "" if self.problem is None else "may not be champion"

    @property
    def sentence(self) -> str:
        """The verdict on the version, without its end."""
        named = f"version {self.number}"
        if self.version is None:
            return f"{named} does not exist any more"
        if self.problem is None:
            return f"{named} passed its gate"
        if self.override:
            return f"{named} is used by override, although {self.problem}: {self.override}"
        return f"{named} may not be champion: {self.problem}"


def read_champion(
    registry: Registry, name: str, gate: Gate | None, registry_state: RegistryState
) -> Champion | None:
    """Return the version that the alias points to, admissible or not; None without the alias.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    number = registry_state.champion
    if number is None:
        return None
    version = registry.get(name, number)
    if version is None:
        return Champion(number, None, "this version does not exist any more")
    return judged(registry, version, gate)


def judged(registry: Registry, version: Version, gate: Gate | None) -> Champion:
    """Return whether a version may be champion, by its stored gate record and its override.

    Args:
        registry: registry that has the version.
        version: the version.
        gate: gate of the model in params.yaml, which allows overrides or not; None if unknown.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    judge = registry.judge(version.name, gate)
    with tracking.reaching(registry.address):
        problem = judge.verdict(version, whole=False)
        overridden = problem is not None and judge.overrides(version)
    return Champion(version.version, version, problem, version.override if overridden else "")


def moved_by_hand(registry_state: RegistryState) -> bool:
    """Return whether a person moved or removed the alias `champion`.

    While an entry is not finalised, genmint itself is moving the alias.
    """
    return registry_state.by_hand and not registry_state.unfinished


def move_by_hand(alias: str, number: str | None, journal: str | None) -> str:
    """Return what a person did to an alias, without the end of the sentence.

    Args:
        alias: the alias.
        number: number of the version that it points to; None if it was removed.
        journal: number of the version that the journal names; None if it names none.
    """
    done = "removed by hand" if number is None else f"moved by hand to version {number}"
    says = "none" if journal is None else f"version {journal}"
    return f"the alias `{alias}` was {done}; the journal says {says}"


def champion_sentence(
    name: str, registry_state: RegistryState, champion: Champion | None, gate: Gate | None
) -> str:
    """Return what must be known about the champion of a model, and the remedy.

    "" if aliases, journal and gate records agree, and no override is in force.

    Args:
        name: name of the model.
        registry_state: its journal and aliases.
        champion: the version that the alias points to, from `read_champion`.
        gate: gate of the model in params.yaml; None if it has none.
    """
    if moved_by_hand(registry_state):
        entry = registry_state.entry
        journal = None if entry is None else entry.version
        move = move_by_hand(CHAMPION, registry_state.champion, journal)
        verdict = "" if champion is None else f" V{champion.sentence[1:]}."
        return f"{move}.{verdict} {alias_remedy(name, gate, effect(champion, by_hand=True))}"
    if champion is None or champion.problem is None:
        return ""
    if champion.override:
        return champion.sentence
    return f"{champion.sentence}. {alias_remedy(name, gate, effect(champion, by_hand=False))}"


def effect(champion: Champion | None, *, by_hand: bool) -> str:
    """Return what `genmint reconcile` does to the alias `champion`; "" if that depends.

    Args:
        champion: the version that the alias points to; None without the alias.
        by_hand: whether a person moved the alias.
    """
    if champion is None:
        return ""
    if not by_hand:
        return "" if champion.problem is None else "remove the alias"
    admitted = champion.problem is None or champion.override
    return "confirm the move" if admitted else "revert the move"


def alias_remedy(name: str, gate: Gate | None, purpose: str = "") -> str:
    """Return the command for an alias that is not in order, as a sentence.

    Args:
        name: name of the model.
        gate: gate of the model in params.yaml; None if it has none.
        purpose: what the command does to the alias; "" if that depends.
    """
    if gate is not None and gate.mode == "dry-run":
        return (
            f"`genmint reconcile {name}` moves no alias while gates.{name}.mode is dry-run; move "
            "it in MLflow, or set the mode to enforce."
        )
    return f"Run `genmint reconcile {name}`{f' to {purpose}' if purpose else ''}."
