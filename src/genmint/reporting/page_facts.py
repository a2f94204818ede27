"""When, from what and where a page was made; shown at its end."""

from __future__ import annotations

import os
import time

from genmint import tracking
from genmint.common.files import sha256_file
from genmint.common.project import Project
from genmint.common.tags import ENVIRONMENT_TAGS, GIT_COMMIT_TAG, GIT_DIRTY_TAG


def page_facts(project: Project) -> dict[str, str]:
    """Return time, commit, versions, machine and settings of a page, by heading."""
    environment = {
        key.removeprefix(ENVIRONMENT_TAGS): value
        for key, value in tracking.environment_tags().items()
    }
    return {
        "made": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "commit": _commit(project),
        "genmint": environment["genmint"],
        "software": ", ".join(f"{key} {environment[key]}" for key in ("python", "torch", "numpy")),
        "machine": (
            f"{environment['platform']}, {os.cpu_count()} cores, device {environment['device']}"
        ),
        "settings": f"{project.params.name}, sha256 {sha256_file(project.params)[:12]}",
    }


def _commit(project: Project) -> str:
    state = tracking.git_state(project)
    if GIT_COMMIT_TAG not in state:
        return "none: this folder is not under git, or git cannot read it"
    uncommitted = " with uncommitted changes" if state.get(GIT_DIRTY_TAG) == "1" else ""
    return f"{state[GIT_COMMIT_TAG][:12]}{uncommitted}"
