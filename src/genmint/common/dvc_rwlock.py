"""DVC's lock table: which processes hold locks in it, and its repair.

The table is left empty if DVC is killed while writing it.

DVC refuses to work with a damaged table and does not repair it, since another DVC process may hold
locks in it. If no DVC process runs, no locks are held.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil

from genmint.common.project import Project

_READS = 5
_SECONDS_BETWEEN_POLLS = 0.1


def damaged_rwlock(project: Project) -> Path | None:
    """Return the path of the project's DVC lock table if it is damaged, else None."""
    path = _path(project)
    try:
        return path if path is not None and _read(path) is None else None
    except OSError:
        # The file was removed meanwhile, or is not readable for this user; DVC will report it.
        return None


def holds_lock(project: Project, pid: int) -> bool:
    """Whether a process holds a lock in the project's DVC lock table.

    `dvc` holds the locks of a stage's files while it runs the stage's command.

    Args:
        project: the checkout.
        pid: id of the process.

    Returns:
        False too if there is no table; True if the table is damaged or not readable, which
        leaves the question open.
    """
    path = _path(project)
    try:
        table = None if path is None else _read(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return path is not None and (table is None or pid in _pids(table))


def repair_rwlock(project: Project) -> str | None:
    """Remove a damaged DVC lock table if no DVC process runs here.

    Returns:
        What was found and done, in one sentence; None if the table is not damaged.
    """
    path = damaged_rwlock(project)
    if path is None:
        return None
    running = _running(path.parents[2])
    if running is not None:
        return (
            f"{path}: damaged, so DVC refuses to run, and DVC process {running} is running "
            "here. Wait until it ends, then run the command again."
        )
    # A DVC process that starts meanwhile also rejects the file and writes nothing.
    path.unlink(missing_ok=True)
    return f"{path}: damaged by a killed process; removed, since no DVC is running here"


def _path(project: Project) -> Path | None:
    for folder in (project.root, *project.root.parents):
        if (folder / ".dvc").is_dir():
            return folder / ".dvc" / "tmp" / "rwlock"
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of the table; None if it is damaged."""
    for _ in range(_READS):
        try:
            table = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            table = None
        if isinstance(table, dict):
            return table
        # DVC writes the file in place; another process may be writing it now.
        time.sleep(_SECONDS_BETWEEN_POLLS)
    return None


def _pids(table: dict[str, Any]) -> set[int]:
    """The processes in `{"write": {path: holder}, "read": {path: [holder, ...]}}`."""
    writers = table.get("write", {}).values()
    readers = [holder for holders in table.get("read", {}).values() for holder in holders]
    return {int(holder["pid"]) for holder in (*writers, *readers)}


def _running(root: Path) -> int | None:
    """Return the id of a DVC process that works below `root`; None if there is none."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if not any(Path(word).name == "dvc" for word in words[:3]):
            continue
        try:
            where = Path(process.cwd())
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            return int(process.pid)
        if where.is_relative_to(root):
            return int(process.pid)
    return None
