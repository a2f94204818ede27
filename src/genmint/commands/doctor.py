"""`genmint doctor`: whether genmint can run here."""

from __future__ import annotations

from genmint.commands.entries import AsJson


def doctor(as_json: AsJson = False) -> int:
    """Check this machine, the environment and params.yaml."""
    from genmint.common.project import Project
    from genmint.diagnostics.doctor import doctor

    return doctor(Project.find(), as_json=as_json)
