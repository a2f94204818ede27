"""`genmint report`: one page with everything."""

from __future__ import annotations

from genmint.commands.entries import open_project


def report() -> None:
    """Write reports/index.html: for each model, its files and its champion, side by side."""
    from genmint.reporting.report import write_report

    print(f"wrote {write_report(*open_project())}")
