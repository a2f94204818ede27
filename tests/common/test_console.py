"""Tables wrap on a terminal only."""

import sys

import pytest
from rich.table import Table

from genmint.common.console import table_console


@pytest.mark.parametrize("terminal", [False, True])
def test_a_table_wraps_on_a_terminal_and_never_elsewhere(capsys, monkeypatch, terminal):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    table = Table("model", "reason")
    name, reason = "a-model-with-a-long-name", "why " * 100 + "end"
    table.add_row(name, reason)
    table_console().print(table)
    shown = capsys.readouterr().out
    assert (f"{name} │ {reason} " in shown) is not terminal
    rows = shown.splitlines()[3:]
    assert (max(map(len, rows)) <= 40) is terminal
