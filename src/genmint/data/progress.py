"""How far a stage has come, on stderr, when a person watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Piece = TypeVar("Piece", bound=Sized)


def counted(pieces: Iterable[Piece], description: str, total: int | None = None) -> Iterator[Piece]:
    """Yield `pieces`, and show how many items they held so far."""
    columns = (SpinnerColumn(), TextColumn(description), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=hidden, transient=True) as bar:
        task = bar.add_task(description, total=total)
        for piece in pieces:
            yield piece
            bar.advance(task, len(piece))
