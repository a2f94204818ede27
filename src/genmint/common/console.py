"""Console for tables: it wraps on a terminal, and never in a file or a pipe."""

from __future__ import annotations

import sys

from rich.console import Console

# Wider than any table: names and reasons stay whole for grep and other programs.
_PIPED_WIDTH = 10_000


def table_console() -> Console:
    """Return a console on stdout, as wide as the terminal; without a terminal nothing wraps."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
