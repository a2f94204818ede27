"""Detection of damaged objects in the DVC cache."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path

from genmint.common.dvc_config import cache_dir
from genmint.common.dvc_lock import md5_file, read_lock, written
from genmint.common.errors import GenmintError
from genmint.common.project import Project


def damage_in_cache(project: Project, path: Path) -> str | None:
    """Return that the cached object of a file is damaged and how to remove it; None if it is not.

    DVC does not verify an object again. It restores a damaged object whenever its stage is up to
    date, and keeps it if the stage runs again and writes the same content.

    Args:
        project: project whose dvc.lock lists the file.
        path: damaged output of a stage, or damaged file in an output folder.

    Returns:
        A sentence; None if the object is intact or missing, or the file is not an output of a
        stage.
    """
    try:
        cached = _object(project, path)
    except (GenmintError, OSError, ValueError, KeyError, TypeError):
        # A failure here must not hide the error that the hint belongs to.
        return None
    if cached is None:
        return None
    kept, stage = cached
    shown = shlex.join(str(each) for each in (kept, path))
    return (
        f"Its object in DVC's cache is damaged, and DVC would restore it: remove both "
        f"(`rm -f {shown}`), then run `dvc repro {stage}`."
    )


def with_damage(error: GenmintError) -> GenmintError:
    """Append `damage_in_cache` to an error whose message starts with a file of the project."""
    path = Path(str(error).partition(": ")[0])
    with contextlib.suppress(GenmintError):
        hint = damage_in_cache(Project.find(), path) if path.is_file() else None
        error.args = (f"{error} {hint}",) if hint else error.args
    return error


def _object(project: Project, path: Path) -> tuple[Path, str] | None:
    """Return the damaged object of a file and the stage that wrote it; None if it is intact."""
    relative = path.resolve().relative_to(project.root.resolve())
    for output, (digest, stage) in written(read_lock(project.lock)).items():
        if not relative.is_relative_to(output):
            continue
        cache = cache_dir(project.root) / "files" / "md5"
        if digest.endswith(".dir"):
            listing = cache / digest[:2] / digest[2:]
            if not listing.is_file():
                return None
            if f"{md5_file(listing)}.dir" != digest:
                return listing, stage
            files = {item["relpath"]: item["md5"] for item in json.loads(listing.read_text())}
            digest = files[relative.relative_to(output).as_posix()]
        kept = cache / digest[:2] / digest[2:]
        return (kept, stage) if kept.is_file() and md5_file(kept) != digest else None
    return None
