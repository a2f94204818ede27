"""Evaluation of journal entries as pure functions, and their display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from rich.box import SIMPLE
from rich.table import Column, Table
from rich.text import Text

from genmint.common.console import table_console

EntryKind = Literal["promotion", "rollback", "by-hand", "override", "reverted", "withdrawn"]


class NamedVersion(NamedTuple):
    """A version as named by an entry, identified by number and weights.

    MLflow numbers versions from 1 again if a registered model is deleted and recreated. An old
    number may then refer to other weights.

    Attributes:
        version: version number.
        weights: sha256 of its weights; "" if unknown, which matches no version.
    """

    version: str
    weights: str

    def __str__(self) -> str:
        return f"version {self.version} (weights {self.weights[:12] or 'unknown'})"


@dataclass(frozen=True)
class Entry:
    """One entry of a journal.

    Attributes:
        number: position in the journal; also the version of the registered model `NAME.journal`.
        valid: whether it got the number that it claimed and carries the project's signature.
        finalised: whether aliases and version notes were seen to agree with it.
        kind: reason of the move. promotion: the version was better. rollback: a person went back.
            by-hand: a person moved the alias to a version that passed its gate. override: a person
            moved it elsewhere and policy allowed it. reverted: the alias was restored. withdrawn:
            the champion may no longer be champion.
        version: version that became champion; None if there is no champion from here on.
        previous: version that `previous-champion` points to from here on; None if there is none.
        reason: explanation of the move.
        time: time of writing in UTC, as 2026-01-31T23:59:59Z.
        user: user who wrote it. For a manual change in MLflow, the user who found the change.
        left: version that promotion may not restore on its own: rolled back, or removed by an
            override.
        weights: sha256 of the weights of `version`, "" if unknown.
        previous_weights: sha256 of the weights of `previous`, "" if unknown.
        forged: why it does not count although it got its number: its signature is invalid.
        gate_inputs: hash of the gate's inputs for `version`, "" if unknown.
        left_weights: sha256 of the weights of `left`, "" if unknown.
        left_gate_inputs: hash of the gate's inputs for `left`, "" if unknown.
    """

    number: int
    valid: bool
    finalised: bool
    kind: str
    version: str | None
    previous: str | None
    reason: str
    time: str = ""
    user: str = ""
    left: str | None = None
    weights: str = ""
    gate_inputs: str = ""
    left_weights: str = ""
    left_gate_inputs: str = ""
    previous_weights: str = ""
    forged: str | None = None

    @property
    def champion(self) -> NamedVersion | None:
        """The version that became champion, None if there is no champion from here on."""
        return None if self.version is None else NamedVersion(self.version, self.weights)

    def __str__(self) -> str:
        return f"journal entry {self.number} ({self.kind}: {self.reason})"


@dataclass(frozen=True)
class Move:
    """Content of a new entry; the fields are those of `Entry`."""

    kind: EntryKind
    version: str | None
    reason: str
    user: str = ""
    left: str | None = None
    weights: str = ""
    gate_inputs: str = ""
    left_weights: str = ""
    left_gate_inputs: str = ""


@dataclass(frozen=True)
class RegistryState:
    """Registry state of one model: journal and aliases.

    Attributes:
        written: all entries, oldest first.
        champion: version that the alias `champion` points to, None if there is no such alias.
        previous: version that `previous-champion` points to, None if there is no such alias.
        by_hand: whether the alias `champion` differs from the journal.
        previous_by_hand: whether the alias `previous-champion` differs from the journal.
        problem: why the version of the last entry may not be champion: it is gone, or its recorded
            gate failed. None if it may, or if the entry names no champion.
    """

    written: tuple[Entry, ...]
    champion: str | None
    previous: str | None = None
    by_hand: bool = False
    previous_by_hand: bool = False
    problem: str | None = None

    @property
    def entry(self) -> Entry | None:
        """The last valid entry, None if there is none."""
        return last_valid(self.written)

    @property
    def unfinished(self) -> tuple[Entry, ...]:
        """The valid entries whose writers may still be active."""
        return tuple(entry for entry in self.written if entry.valid and not entry.finalised)

    @property
    def forged(self) -> str:
        """Message about the entries with an invalid signature; "" if there are none."""
        forgeries = [entry for entry in self.written if entry.forged is not None]
        if not forgeries:
            return ""
        numbers = ", ".join(str(entry.number) for entry in forgeries)
        return (
            f"invalid journal entries: {numbers} ({forgeries[-1].forged}); "
            "`genmint keys` lists them, docs/security.md says what to do"
        )

    @property
    def why_none(self) -> str:
        """Why there is no champion, if aliases and journal agree that there is none."""
        if self.problem is not None:
            return f"there is no champion: {self.problem}"
        if self.entry is None:
            return "there is no champion: nothing was promoted yet"
        return f"there is no champion: {self.entry}"

    @property
    def in_order(self) -> bool:
        """Whether aliases, journal and gate records agree, apart from unfinished moves."""
        return not (self.by_hand or self.previous_by_hand or self.problem)


def last_valid(written: Sequence[Entry]) -> Entry | None:
    """Return the entry that names the champion; None if there is no valid entry."""
    return next((entry for entry in reversed(written) if entry.valid), None)


def line(written: Sequence[Entry | Move]) -> list[NamedVersion]:
    """Return the champions available for rollback, oldest first, the current one last.

    A promotion appends its version. A rollback removes the version that it left and all versions
    after its target. Two rollbacks therefore go back two steps instead of back and forth.
    """
    earlier: list[NamedVersion] = []
    for entry in written:
        if isinstance(entry, Entry) and not entry.valid:
            continue
        champion = None
        if entry.version is not None:
            champion = NamedVersion(entry.version, entry.weights)
        if entry.kind == "rollback":
            if earlier and earlier[-1] == (entry.left, entry.left_weights):
                earlier.pop()
            while champion in earlier and earlier[-1] != champion:
                earlier.pop()
        if champion is not None and earlier[-1:] != [champion]:
            earlier.append(champion)
    return earlier


def before(written: Sequence[Entry], move: Move) -> list[NamedVersion]:
    """Return the versions available for rollback after `move`, latest first.

    `previous-champion` points to the first of them that may be champion.
    """
    after = line([*written, move])
    return after[::-1] if move.version is None else after[-2::-1]


def previous(written: Sequence[Entry], entry: Entry) -> NamedVersion | None:
    """Return the version that an entry names for rollback, None if there is none.

    An entry of an earlier genmint has the number only. The hash then comes from the latest earlier
    entry that made this number champion.
    """
    if entry.previous is None:
        return None
    known = (
        each.weights
        for each in reversed(written)
        if each.valid and each.number < entry.number and each.version == entry.previous
    )
    return NamedVersion(entry.previous, entry.previous_weights or next(known, ""))


def rolled_back(
    written: Sequence[Entry], weights: str, gate_inputs: str | None = None
) -> Entry | None:
    """Return the entry that rolled these weights back, None if they may be promoted.

    Weights that became champion again since then are no longer rolled back. With `gate_inputs`, the
    weights are also free if their gate had other inputs than whenever they were champion. The
    comparison with the champion then decides.
    """
    by, known = None, set()
    for entry in written:
        if not entry.valid:
            continue
        if entry.version is not None and entry.weights == weights:
            by = None
            known.add(entry.gate_inputs)
        if bars(entry) and entry.left_weights == weights:
            by = entry
            known.add(entry.left_gate_inputs)
    return by if gate_inputs is None or gate_inputs in known else None


def bars(entry: Entry) -> bool:
    """Whether an entry bars promotion from restoring the version that it left."""
    return entry.left is not None and entry.kind not in ("reverted", "withdrawn")


def is_gone(entry: Entry, known: Mapping[str, str]) -> bool:
    """Whether the registry no longer has the version that became champion with an entry.

    Args:
        entry: entry of the journal.
        known: number → sha256 of the weights, of all existing versions.
    """
    if entry.version is None:
        return False
    return not entry.weights or known.get(entry.version) != entry.weights


def as_objects(written: Sequence[Entry], known: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return entries as JSON objects with the fields of `Entry`, and `gone`."""
    return [asdict(entry) | {"gone": is_gone(entry, known)} for entry in written]


def print_entries(name: str, written: Sequence[Entry], known: Mapping[str, str]) -> None:
    """Print entries as a table, oldest first, and report which versions are gone."""
    if not written:
        table_console().print(f"{name}: no entries; nothing was promoted yet", soft_wrap=True)
        return
    table = Table(
        Column("#", justify="right"),
        "",
        Column("kind", no_wrap=True),
        Column("version", justify="right", no_wrap=True),
        Column("after", justify="right", no_wrap=True),
        Column("when (UTC)", no_wrap=True),
        Column("who", overflow="fold"),
        Column("reason", overflow="fold"),
        title=f"{name}: the journal",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for entry in written:
        row = (
            str(entry.number),
            "valid" if entry.valid else "forged" if entry.forged else "void",
            entry.kind,
            (entry.version or "none") + (" (gone)" if is_gone(entry, known) else ""),
            entry.previous or "–",
            entry.time.replace("T", " ").rstrip("Z"),
            entry.user or "–",
            entry.reason,
        )
        table.add_row(*(Text(cell) for cell in row), style=None if entry.valid else "dim")
    console = table_console()
    console.print(table)
    if any(is_gone(entry, known) for entry in written if entry.valid):
        console.print(
            "gone: the registry has no version of that number with these weights any more",
            soft_wrap=True,
        )
    for entry in written:
        if entry.forged is not None:
            console.print(
                Text(f"entry {entry.number} is invalid: {entry.forged} (docs/security.md)"),
                soft_wrap=True,
            )
