"""prefect.toml: while services run, it tells `prefect` in this checkout where the server is."""

from __future__ import annotations

from pathlib import Path

from genmint.files import write_text
from genmint.services.config import Services

_FIRST_LINE = "# Written by genmint services while it runs, removed when it ends. Not for git.\n"


def settings_file(services: Services) -> Path:
    """Where Prefect looks for the settings of a project: in the folder it is called in."""
    return services.project.root / "prefect.toml"


def write_settings(services: Services) -> bool:
    """Write the file, unless there is one of the user's; whether it was written."""
    path = settings_file(services)
    if path.exists() and not is_ours(path):
        return False
    write_text(path, f'{_FIRST_LINE}[api]\nurl = "{services.prefect_api}"\n')
    return True


def remove_settings(path: Path) -> None:
    """Remove the file if it is ours."""
    if path.exists() and is_ours(path):
        path.unlink()


def is_ours(path: Path) -> bool:
    """Whether services wrote it."""
    return path.read_text(encoding="utf-8", errors="replace").startswith(_FIRST_LINE)
