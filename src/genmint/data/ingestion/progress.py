"""Progress display of a stage on stderr, for terminals only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Piece = TypeVar("Piece", bound=Sized)


def counted(pieces: Iterable[Piece], description: str, total: int | None = None) -> Iterator[Piece]:
    """Yield `pieces`, and display the number of items so far."""
    columns = (SpinnerColumn(), TextColumn(description), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=hidden, transient=True) as bar:
        task = bar.add_task(description, total=total)
        for piece in pieces:
            yield piece
            bar.advance(task, len(piece))
