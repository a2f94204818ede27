"""Who is champion and who is challenger: the aliases of a registry, and the journal behind them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.project import Project
from genmint.common.project_key import VARIABLE as KEY_VARIABLE
from genmint.common.project_key import key_file
from genmint.config import Gate
from genmint.registry import entries, journal, signature, version_notes, versions
from genmint.registry.admission import Admission
from genmint.registry.journal_entries import Entry, EntryKind, Move, NamedVersion, RegistryState
from genmint.registry.registry import Registry
from genmint.registry.versions import Version
from genmint.tracking.write_conflicts import put

CHALLENGER = "challenger"


@dataclass(frozen=True)
class Championship:
    """Champions and challengers of a registry; every method may raise RegistryUnreachableError.

    Attributes:
        registry: a registry that has answered.
    """

    registry: Registry

    def find_named(self, name: str, named: NamedVersion) -> Version | None:
        """Return a version by number, None unless it has these weights."""
        version = self.registry.get(name, named.version)
        return version if version is not None and version.named == named else None

    def finish_moves(self, name: str, gate: Gate | None, *, whole: bool = False) -> RegistryState:
        """Return the registry state after completing moves; see `journal.finish_moves`."""
        with tracking.reaching(self.registry.address):
            try:
                self.check_journal(name)
            except GenmintError:
                self._take_from_unfit(name)
                raise
            return journal.finish_moves(
                self.registry.client, name, self.registry.judge(name, gate), whole=whole
            )

    def read(self, name: str, gate: Gate | None) -> RegistryState:
        """Return the registry state without writing; see `journal.read`."""
        with tracking.reaching(self.registry.address):
            return journal.read(self.registry.client, name, self.registry.judge(name, gate))

    def entries(self, name: str) -> list[Entry]:
        """Return the journal, oldest first."""
        with tracking.reaching(self.registry.address):
            return entries.entries(self.registry.client, name, self.registry.key)

    def verdict(self, version: Version) -> str | None:
        """Return why the gate does not admit a version as champion, None if it passed."""
        with tracking.reaching(self.registry.address):
            return self.registry.judge(version.name, None).verdict(version, whole=True)

    def why_not(self, name: str, named: NamedVersion, gate: Gate | None) -> str | None:
        """Return why a version may not be champion by gate and override, None if it may."""
        with tracking.reaching(self.registry.address):
            return self.registry.judge(name, gate).why_not(named, whole=True)

    def check_journal(self, name: str) -> None:
        """Check that the journal of a model can be verified with the key of this machine.

        Raises:
            GenmintError: the model has entries, but this machine has no key or none of them is
                signed with it.
        """
        with tracking.reaching(self.registry.address):
            written = entries.entries(self.registry.client, name, self.registry.key)
        if self.registry.key is None and written:
            raise GenmintError(
                f"{name} has a journal to be checked, and {no_key(self.registry.project)}"
            )
        forged = [each.forged for each in written if each.forged is not None]
        if forged and not any(each.valid for each in written):
            raise GenmintError(
                f"{name}: no entry of its journal is valid ({forged[-1]}). If it was signed with "
                f"another key, set {KEY_VARIABLE} to that; docs/security.md names other remedies."
            )

    def _take_from_unfit(self, name: str) -> None:
        """Remove `champion` from a version that is inadmissible even without a signature check."""
        number = journal.aliases(self.registry.client, name).get(journal.CHAMPION)
        version = None if number is None else versions.get(self.registry.client, name, number)
        judge = Admission(self.registry.client, self.registry.address, name, overrides=False)
        problem = None if version is None else judge.verdict(version, whole=True)
        if version is None or problem is not None:
            self._delete_champion(name, number, problem or "there is no such version")

    def _delete_champion(self, name: str, number: str | None, problem: str) -> None:
        if number is not None:
            put(self.registry.client.delete_registered_model_alias, name, journal.CHAMPION)
            message = f"{name}: `champion` was removed from version {number}: {problem}"
            print(message, file=sys.stderr, flush=True)  # noqa: T201 - the user must see it

    def set_challenger(self, name: str, version: str) -> None:
        """Point `challenger` to a version, unless it already does."""
        with tracking.reaching(self.registry.address):
            if journal.aliases(self.registry.client, name).get(CHALLENGER) != version:
                put(self.registry.client.set_registered_model_alias, name, CHALLENGER, version)

    def clear_challenger(self, name: str, version: str) -> None:
        """Remove `challenger` from a version, if it points there."""
        with tracking.reaching(self.registry.address):
            if journal.aliases(self.registry.client, name).get(CHALLENGER) == version:
                put(self.registry.client.delete_registered_model_alias, name, CHALLENGER)

    def move_champion(
        self,
        name: str,
        version: Version | None,
        gate: Gate | None,
        *,
        registry_state: RegistryState,
        kind: EntryKind,
        reason: str,
        user: str,
        left: Version | None = None,
    ) -> bool:
        """Make a version champion: journal entry first, then the aliases, `challenger` last.

        Args:
            name: name of the model.
            version: the new champion; None for no champion.
            gate: gate of the model; None if it has none.
            registry_state: registry state that the decision is based on.
            kind: kind of the move.
            reason: explanation of the move.
            user: user who moves the champion.
            left: version that loses the alias, if that is the purpose of the move.

        Returns:
            False, with nothing moved, if another process moved the champion since then; the caller
            must read and decide again.

        Raises:
            GenmintError: the version may not be champion, or this machine cannot sign the entry;
                nothing was moved.
        """
        if self.registry.key is None:
            raise GenmintError(no_key(self.registry.project))
        problem = None if version is None else self.why_not(name, version.named, gate)
        if version is not None and problem is not None:
            raise GenmintError(f"version {version.version} may not be champion: {problem}")
        judge = self.registry.judge(name, gate)
        move = Move(
            kind=kind,
            version=None if version is None else version.version,
            reason=reason,
            user=user,
            left=None if left is None else left.version,
            weights="" if version is None else version.weights,
            gate_inputs="" if version is None else _gate_inputs(version),
            left_weights="" if left is None else left.weights,
            left_gate_inputs="" if left is None else _gate_inputs(left),
        )
        with tracking.reaching(self.registry.address):
            entry = entries.append(self.registry.client, name, registry_state, move, judge)
            if entry is None:
                return False
            journal.apply_journal(self.registry.client, name, entry, judge)
        if version is not None:
            self.clear_challenger(name, version.version)
        return True

    def follow(self, name: str, entry: Entry, gate: Gate | None) -> None:
        """Make the aliases follow the journal again; see `journal.apply_journal`."""
        with tracking.reaching(self.registry.address):
            journal.apply_journal(
                self.registry.client, name, entry, self.registry.judge(name, gate)
            )

    def set_reverted(self, version: Version, reason: str) -> None:
        """State on a version's page why `champion` may not point to it."""
        with tracking.reaching(self.registry.address):
            current = self.registry.client.get_model_version(version.name, version.version)
            version_notes.set_reverted(self.registry.client, current, reason)


def no_key(project: Project) -> str:
    """Return the message that the signing key is missing, and how to get it."""
    return (
        f"this machine does not have the key. Copy {key_file(project)} from the machine that "
        f"promotes, or set {KEY_VARIABLE} to what is in it. If nothing was ever signed, or the key "
        "is lost: `genmint keys --adopt` (docs/security.md)."
    )


def _gate_inputs(version: Version) -> str:
    """Return the hash of the gate's inputs from the signature, because a tag can be edited."""
    signed = signature.read(version.tags)
    return version.gate_inputs if signed is None else signed[0].grounds
