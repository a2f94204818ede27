"""What would make DVC fail after a stage has worked for hours, found before it begins."""

from __future__ import annotations

import os

from genmint.errors import ConfigError
from genmint.project import Project

# Folders that outputs of stages lie in.
_OUTPUTS = (
    *("data", "data/manifest", "data/raw", "data/quarantine", "data/prepared", "data/reference"),
    *("models", "metrics", "samples", "reports", "reports/data", "reports/gates"),
)


def check_output_folders(project: Project) -> None:
    """Refuse folders of outputs that are links: DVC does not follow them.

    Raises:
        ConfigError: one is; the message names it and where it leads.
    """
    for name in _OUTPUTS:
        folder = project.root / name
        if folder.is_symlink():
            raise ConfigError(
                f"{folder} is a link to {folder.readlink()}: DVC keeps no outputs behind links "
                "and would fail when the stage has ended. Make it a folder again. To use another "
                "drive, move the whole checkout there, or DVC's cache: "
                "`dvc cache dir --local FOLDER`."
            )


def runs_under_dvc() -> bool:
    """Whether DVC started this process as a stage."""
    return "DVC_STAGE" in os.environ
