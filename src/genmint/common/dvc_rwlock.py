"""Repair of DVC's lock table, which is left empty if DVC is killed while writing it.

DVC refuses to work with a damaged table and does not repair it, since another DVC process may hold
locks in it. If no DVC process runs, no locks are held.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil

from genmint.common.project import Project

_LOOKS = 5
_SECONDS_BETWEEN_LOOKS = 0.1


def damaged_rwlock(project: Project) -> Path | None:
    """Return the path of the project's DVC lock table if it is damaged, else None."""
    for folder in (project.root, *project.root.parents):
        if (folder / ".dvc").is_dir():
            path = folder / ".dvc" / "tmp" / "rwlock"
            for _ in range(_LOOKS):
                if not path.is_file() or _holds(path):
                    return None
                # DVC writes the file in place; another process may be writing it now.
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            return path
    return None


def mend_rwlock(project: Project) -> str | None:
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
            f"{path}: damaged, so that DVC refuses to work, and process {running} of DVC runs "
            "here. Wait for its end, and run the command again."
        )
    # A DVC process that starts meanwhile also rejects the file and writes nothing.
    path.unlink(missing_ok=True)
    return f"{path}: was damaged by a kill, and no DVC runs here: removed"


def _holds(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (ValueError, RecursionError):
        return False
    except OSError:
        # The file was removed meanwhile, or is not readable for this user; DVC will report it.
        return True


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
