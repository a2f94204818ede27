"""Markdown that genmint writes for the pages of MLflow and Prefect: escaping and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from genmint.common.escaping import printable


def escape_markdown(text: str) -> str:
    """Escape a text as one line of a Markdown list or table cell without markup."""
    line = " ".join(printable(text).split())
    # An underscore within a word is not markup.
    line = re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_cell(text: str) -> str:
    """Escape a text as a table cell in which markup still counts."""
    return text.replace("|", "\\|").replace("\n", " ")


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = ()
) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        columns: heading of each column.
        rows: cells of each row, as Markdown (`escape_markdown`, `escape_cell`).
        numbers: headings of the columns that are aligned to the right.
    """
    right = set(numbers)
    ruler = "|".join("---:" if column in right else "---" for column in columns)
    return [_row(columns), f"|{ruler}|", *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
