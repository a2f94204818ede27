"""`genmint doctor`: whether genmint can run here."""

from __future__ import annotations


def doctor() -> int:
    """Check this machine, the environment and params.yaml."""
    from genmint.common.project import Project
    from genmint.diagnostics.doctor import doctor

    return doctor(Project.find())
