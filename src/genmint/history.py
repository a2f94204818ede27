"""What the entries of a journal say together, as pure functions, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

Kind = Literal["promotion", "rollback", "by-hand", "override", "reverted", "withdrawn"]


class NamedVersion(NamedTuple):
    """A version as an entry names it. The number alone identifies nothing.

    MLflow numbers the versions of a registered model that was deleted and made again from 1, so
    that an old number may come to mean other weights.

    Attributes:
        version: number.
        weights: sha256 of its weights; "" if unknown, which identifies no version.
    """

    version: str
    weights: str

    def __str__(self) -> str:
        return f"version {self.version} (weights {self.weights[:12] or 'unknown'})"


@dataclass(frozen=True)
class Entry:
    """One entry of a journal.

    Attributes:
        number: its place; also the version of the registered model `NAME.journal`.
        valid: whether it got the number that it claimed.
        settled: whether aliases and marks were seen to agree with it.
        kind: what moved the champion. promotion: it was better; rollback: a person went back;
            by-hand: a person moved the alias to a version that passed its gate; override: to one
            that did not, and policy allowed it; reverted: the alias was put back.
        version: of the model that became champion; None if there is none from here on.
        previous: the version to go back to from there, where `previous-champion` points; None if
            there is none.
        reason: why, in words.
        time: when it was written, UTC, as 2026-01-31T23:59:59Z.
        user: who wrote it; for what a person did in MLflow's UI, who found it.
        left: version that may not return by itself: rolled back, or taken away by an override.
        weights: sha256 of the weights of `version`, "" if unknown.
        previous_weights: as `weights`, of `previous`.
        grounds: hash of what the gate of `version` had decided on, "" if unknown.
        left_weights: as `weights`, of `left`.
        left_grounds: as `grounds`, of `left`.
    """

    number: int
    valid: bool
    settled: bool
    kind: str
    version: str | None
    previous: str | None
    reason: str
    time: str = ""
    user: str = ""
    left: str | None = None
    weights: str = ""
    grounds: str = ""
    left_weights: str = ""
    left_grounds: str = ""
    previous_weights: str = ""

    @property
    def champion(self) -> NamedVersion | None:
        """The version that became champion, None if there is none from here on."""
        return None if self.version is None else NamedVersion(self.version, self.weights)

    def __str__(self) -> str:
        return f"journal entry {self.number} ({self.kind}: {self.reason})"


@dataclass(frozen=True)
class Move:
    """What a new entry is to say; the fields are those of `Entry`."""

    kind: Kind
    version: str | None
    reason: str
    user: str = ""
    left: str | None = None
    weights: str = ""
    grounds: str = ""
    left_weights: str = ""
    left_grounds: str = ""


@dataclass(frozen=True)
class Standing:
    """Who is champion, as journal and aliases say together.

    Attributes:
        written: all entries, oldest first.
        champion: version that the alias `champion` points to, None if it is not there.
        previous: version that the alias `previous-champion` points to, None if it is not there.
        by_hand: whether the alias `champion` is not where the journal has it.
        previous_by_hand: the same of `previous-champion`.
        problem: why the version that the last entry names may not be champion: it is gone, or the
            gate recorded for it failed. None if it may, and if there is to be no champion.
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
    def unsettled(self) -> tuple[Entry, ...]:
        """The valid entries whose writers may still be at work."""
        return tuple(entry for entry in self.written if entry.valid and not entry.settled)

    @property
    def why_none(self) -> str:
        """Why there is no champion, where aliases and journal agree on that."""
        if self.problem is not None:
            return f"there is no champion: {self.problem}"
        if self.entry is None:
            return "there is no champion: nothing was promoted yet"
        return f"there is no champion: {self.entry}"

    @property
    def in_order(self) -> bool:
        """Whether aliases, journal and gate records agree, apart from moves that are half done."""
        return not (self.by_hand or self.previous_by_hand or self.problem)


def last_valid(written: Sequence[Entry]) -> Entry | None:
    """Return the entry that says who is champion; None if nothing was ever written."""
    return next((entry for entry in reversed(written) if entry.valid), None)


def line(written: Sequence[Entry | Move]) -> list[NamedVersion]:
    """Return the champions along which one can go back, oldest first, the present one last.

    A promotion puts its version on top. A rollback takes the version that it left off the top, and
    all above the one it went to, so that going back twice goes two steps back, not back and forth.
    """
    found: list[NamedVersion] = []
    for entry in written:
        if isinstance(entry, Entry) and not entry.valid:
            continue
        champion = None
        if entry.version is not None:
            champion = NamedVersion(entry.version, entry.weights)
        if entry.kind == "rollback":
            if found and found[-1] == (entry.left, entry.left_weights):
                found.pop()
            while champion in found and found[-1] != champion:
                found.pop()
        if champion is not None and found[-1:] != [champion]:
            found.append(champion)
    return found


def before(written: Sequence[Entry], move: Move) -> list[NamedVersion]:
    """Return the versions to go back to after `move`, the latest first.

    `previous-champion` belongs to the first of them that may be champion.
    """
    after = line([*written, move])
    return after[::-1] if move.version is None else after[-2::-1]


def previous(written: Sequence[Entry], entry: Entry) -> NamedVersion | None:
    """Return the version to go back to from an entry, None if there is none.

    An entry of an earlier genmint names its number only; its hash is then that of the latest entry
    before it that made this number champion.
    """
    if entry.previous is None:
        return None
    known = (
        each.weights
        for each in reversed(written)
        if each.valid and each.number < entry.number and each.version == entry.previous
    )
    return NamedVersion(entry.previous, entry.previous_weights or next(known, ""))


def rolled_back(written: Sequence[Entry], weights: str, grounds: str | None = None) -> Entry | None:
    """Return the entry that rolled these weights back, None if they may be promoted.

    Weights that became champion again since are not rolled back any more. With `grounds`, neither
    are those whose gate decided on other grounds than whenever they were champion: then the
    comparison decides.
    """
    by, known = None, set()
    for entry in written:
        if not entry.valid:
            continue
        if entry.version is not None and entry.weights == weights:
            by = None
            known.add(entry.grounds)
        if bars(entry) and entry.left_weights == weights:
            by = entry
            known.add(entry.left_grounds)
    return by if grounds is None or grounds in known else None


def bars(entry: Entry) -> bool:
    """Whether an entry keeps the version that it left from returning by itself."""
    return entry.left is not None and entry.kind not in ("reverted", "withdrawn")


def is_gone(entry: Entry, known: Mapping[str, str]) -> bool:
    """Whether the registry no longer has the version that became champion with an entry.

    Args:
        entry: of the journal.
        known: number → sha256 of the weights, of the versions that there are.
    """
    if entry.version is None:
        return False
    return not entry.weights or known.get(entry.version) != entry.weights


def to_json(written: Sequence[Entry], known: Mapping[str, str]) -> str:
    """Render entries as JSON: a list of objects with the fields of `Entry`, and `gone`."""
    shown = [asdict(entry) | {"gone": is_gone(entry, known)} for entry in written]
    return json.dumps(shown, indent=2, ensure_ascii=False)


def show(name: str, written: Sequence[Entry], known: Mapping[str, str]) -> None:
    """Print entries as a table, oldest first, and say which versions are gone."""
    if not written:
        Console().print(f"{name}: no entries; nothing was promoted yet", soft_wrap=True)
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
            "valid" if entry.valid else "void",
            entry.kind,
            (entry.version or "none") + (" (gone)" if is_gone(entry, known) else ""),
            entry.previous or "–",
            entry.time.replace("T", " ").rstrip("Z"),
            entry.user or "–",
            entry.reason,
        )
        table.add_row(*(Text(cell) for cell in row), style=None if entry.valid else "dim")
    console = Console()
    console.print(table)
    if any(is_gone(entry, known) for entry in written if entry.valid):
        console.print(
            "gone: the registry has no version of that number with these weights any more",
            soft_wrap=True,
        )
