"""Output of the commands that report: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

# Wider than any table: names and reasons stay whole for grep and other programs.
_PIPED_WIDTH = 10_000


def table_console() -> Console:
    """Return a console on stdout, as wide as the terminal; without a terminal nothing wraps."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def print_json(document: Any) -> None:
    """Print a document of JSON values on stdout, indented."""
    print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201 - the report
