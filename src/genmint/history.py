"""What the entries of a journal say together, as pure functions, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

Kind = Literal["promotion", "rollback", "by-hand", "override", "reverted"]


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


def last_valid(written: Sequence[Entry]) -> Entry | None:
    """Return the entry that says who is champion; None if nothing was ever written."""
    return next((entry for entry in reversed(written) if entry.valid), None)


def line(written: Sequence[Entry | Move]) -> list[str]:
    """Return the champions along which one can go back, oldest first, the present one last.

    A promotion puts its version on top. A rollback takes the version that it left off the top, and
    all above the one it went to, so that going back twice goes two steps back, not back and forth.
    """
    found: list[str] = []
    for entry in written:
        if isinstance(entry, Entry) and not entry.valid:
            continue
        if entry.kind == "rollback":
            if found and found[-1] == entry.left:
                found.pop()
            while entry.version in found and found[-1] != entry.version:
                found.pop()
        if entry.version is not None and found[-1:] != [entry.version]:
            found.append(entry.version)
    return found


def previous(written: Sequence[Entry], move: Move) -> str | None:
    """Return the version to go back to after `move`: where `previous-champion` will point."""
    after = line([*written, move])
    if move.version is None:
        return after[-1] if after else None
    return after[-2] if len(after) > 1 else None


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
    return entry.left is not None and entry.kind != "reverted"


def to_json(written: Sequence[Entry]) -> str:
    """Render entries as JSON, a list of objects with the fields of `Entry`."""
    return json.dumps([asdict(entry) for entry in written], indent=2, ensure_ascii=False)


def show(name: str, written: Sequence[Entry]) -> None:
    """Print entries as a table, oldest first."""
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
            entry.version or "none",
            entry.previous or "–",
            entry.time.replace("T", " ").rstrip("Z"),
            entry.user or "–",
            entry.reason,
        )
        table.add_row(*(Text(cell) for cell in row), style=None if entry.valid else "dim")
    Console().print(table)
