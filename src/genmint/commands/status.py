"""`genmint status`: what is trained, gated and registered."""

from __future__ import annotations

from genmint.commands.entries import AsJson, open_project


def status(as_json: AsJson = False) -> int:
    """Show what is trained, gated and registered, and where these disagree.

    Exit code 1 where files, records and registry disagree; the command that repairs it is named.
    """
    from genmint.reporting.status import status

    return status(*open_project(), as_json=as_json)
