"""DVC's table of locks: a kill while DVC writes it leaves it empty, and DVC refuses to work.

DVC does not mend it, since another DVC may hold locks in it. Where none runs, nobody does.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil

from genmint.project import Project

_LOOKS = 5
_SECONDS_BETWEEN_LOOKS = 0.1


def damaged_rwlock(project: Project) -> Path | None:
    """The table of locks of a project's DVC, if DVC cannot read it; None if it can."""
    for folder in (project.root, *project.root.parents):
        if (folder / ".dvc").is_dir():
            path = folder / ".dvc" / "tmp" / "rwlock"
            for _ in range(_LOOKS):
                if not path.is_file() or _holds(path):
                    return None
                # DVC writes it in place: another one may be about to.
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            return path
    return None


def mend_rwlock(project: Project) -> str | None:
    """Remove the table of locks if DVC cannot read it and no DVC runs here.

    Returns:
        What was found and done, in one sentence; None if nothing was amiss.
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
    # A DVC that starts meanwhile refuses the file as well, and writes nothing.
    path.unlink(missing_ok=True)
    return f"{path}: was damaged by a kill, and no DVC runs here: removed"


def _holds(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (ValueError, RecursionError):
        return False
    except OSError:
        # Gone meanwhile, or somebody else's to read: DVC will say so.
        return True


def _running(root: Path) -> int | None:
    """Id of a process of DVC that works below `root`; None if there is none."""
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
