"""prefect.toml, which tells `prefect` in this checkout the server address while services run."""

from __future__ import annotations

from pathlib import Path

from genmint.common.files import write_text
from genmint.services.config import Services

_FIRST_LINE = "# Written by genmint services while it runs, removed when it ends. Not for git.\n"


def settings_file(services: Services) -> Path:
    """Return the path where Prefect reads a project's settings, in the working directory."""
    return services.project.root / "prefect.toml"


def write_settings(services: Services) -> bool:
    """Write the file, unless the user has one; return whether it was written."""
    path = settings_file(services)
    if path.exists() and not is_ours(path):
        return False
    write_text(path, f'{_FIRST_LINE}[api]\nurl = "{services.prefect_api}"\n')
    return True


def remove_settings(path: Path) -> None:
    """Remove the file if genmint wrote it."""
    if path.exists() and is_ours(path):
        path.unlink()


def is_ours(path: Path) -> bool:
    """Return whether genmint wrote the file."""
    return path.read_text(encoding="utf-8", errors="replace").startswith(_FIRST_LINE)
