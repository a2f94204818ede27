"""Notes of flow runs started on this machine, one file each; they outlive the supervisor.

Only the machine that started a run can tell whether its process is gone. The worker's name does not
identify the machine, since a manually started worker may have any name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from genmint.common.files import write_text
from genmint.services.processes import FLOW_RUN, MARK

_FOLDER = "runs"
_WORKER = "PREFECT__WORKER_NAME"


def note(env: Mapping[str, str]) -> None:
    """Record the flow run of a process environment, if a worker of this supervisor starts it."""
    if MARK in env and FLOW_RUN in env:
        write_text(Path(env[MARK]) / _FOLDER / env[FLOW_RUN], env.get(_WORKER, ""))


def noted(mark: str) -> dict[str, str]:
    """Return flow run id → worker name of the recorded flow runs."""
    folder = Path(mark) / _FOLDER
    # Names that begin with a dot are temporary files.
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("[!.]*")}


def forget(mark: str, flow_run: str) -> None:
    """Remove the note of a flow run that has ended or was given to another worker."""
    (Path(mark) / _FOLDER / flow_run).unlink(missing_ok=True)
