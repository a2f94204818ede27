"""Objects of DVC's cache: whether the one that a file comes from is still what DVC put there."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path

from genmint.dvc_config import cache_dir
from genmint.errors import GenmintError
from genmint.lock import md5_file, read_lock, written
from genmint.project import Project


def damage_in_cache(project: Project, path: Path) -> str | None:
    """Say that the cached object of a file is damaged, and which command removes it.

    DVC does not look into an object again: it puts a damaged one back whenever its stage is up to
    date, and keeps it where the stage runs again and writes the same content.

    Args:
        project: whose dvc.lock knows the file.
        path: of an output of a stage, or of a file in one, that was found to be damaged.

    Returns:
        A sentence; None if the object is whole, not there, or the file is no output of a stage.
    """
    try:
        found = _object(project, path)
    except (GenmintError, OSError, ValueError, KeyError, TypeError):
        # No hint is better than another failure than the one that is to be explained.
        return None
    if found is None:
        return None
    kept, stage = found
    shown = shlex.join(str(each) for each in (kept, path))
    return (
        f"Its object in DVC's cache is damaged, and DVC would put it back: remove both "
        f"(`rm -f {shown}`), then run `dvc repro {stage}`."
    )


def with_damage(error: GenmintError) -> GenmintError:
    """Add `damage_in_cache` of the file that an error names first, if it is one of the project."""
    path = Path(str(error).partition(": ")[0])
    with contextlib.suppress(GenmintError):
        hint = damage_in_cache(Project.find(), path) if path.is_file() else None
        error.args = (f"{error} {hint}",) if hint else error.args
    return error


def _object(project: Project, path: Path) -> tuple[Path, str] | None:
    """The damaged object of a file, and the stage that wrote it; None if it is not damaged."""
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
