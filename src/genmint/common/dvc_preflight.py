"""Early detection of conditions that would make DVC fail after a long stage."""

from __future__ import annotations

import os

from genmint.common.errors import ConfigError
from genmint.common.project import Project

# Parent folders of stage outputs.
_OUTPUTS = (
    *("data", "data/manifest", "data/raw", "data/quarantine", "data/prepared", "data/reference"),
    *("models", "metrics", "samples", "reports", "reports/data", "reports/gates"),
)


def check_output_folders(project: Project) -> None:
    """Check that no output folder is a symbolic link, which DVC does not follow.

    Raises:
        ConfigError: a folder is a link; the message names it and its target.
    """
    for name in _OUTPUTS:
        folder = project.root / name
        if folder.is_symlink():
            raise ConfigError(
                f"{folder} is a link to {folder.readlink()}: DVC stores no outputs behind "
                "links and would fail at the end of the stage. Replace the link by a folder. "
                "To use another drive, move the whole checkout there, or DVC's cache: "
                "`dvc cache dir --local FOLDER`."
            )


def runs_under_dvc() -> bool:
    """Return whether DVC started this process as a stage."""
    return "DVC_STAGE" in os.environ
