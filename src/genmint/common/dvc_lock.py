"""Reading of dvc.lock: hashes of the last inputs and outputs of each stage."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError
from genmint.common.reading import LOCK_FILE, conflict, decoded, parse_yaml, read_bytes

_ATTEMPTS = 4
_SECONDS_BETWEEN_ATTEMPTS = 0.05

DATASET_STAGES = ("ingest", "validate", "prepare", "reference")
MODEL_STAGES = ("train", "evaluate", "gate")

# Stage entries in DVC's format: cmd, deps, params and outs; deps and outs list path, hash and size.
Entries = dict[str, dict[str, Any]]


def read_lock(path: Path) -> Entries:
    """Read the stages of a dvc.lock by name; {} if the file does not exist.

    Raises:
        GenmintError: the file is not a valid lock file.
    """
    attempt = 1
    while True:
        if not path.exists():
            return {}
        try:
            data = read_bytes(path, LOCK_FILE.bytes)
            return parse_lock(_text(data, str(path)), str(path))
        except GenmintError:
            # DVC writes the file in place, so a reader may see it incomplete.
            if attempt == _ATTEMPTS:
                raise
        attempt += 1
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)


def parse_lock(text: str, where: str) -> Entries:
    """Parse the stages of a dvc.lock.

    Raises:
        GenmintError: the text is not a valid lock file; the message begins with `where`.
    """
    try:
        content = _loaded(text)
    except GenmintError as error:
        raise _damaged(where, text, f" ({str(error).removeprefix(': ')})") from None
    if not text.strip():
        raise _damaged(where, text, " (it is empty)")
    stages = content.get("stages") or {} if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(map(_is_entry, stages.values())):
        raise _damaged(where, text, "")
    return stages


def _text(data: bytes, where: str) -> str:
    try:
        return decoded(data, "")
    except GenmintError as error:
        raise _damaged(where, "", f" ({str(error).removeprefix(': ')})") from None


def _damaged(where: str, text: str, reason: str) -> GenmintError:
    advice = conflict(text) or (
        " Restore it (`git checkout dvc.lock`), or remove it and run `dvc repro`."
    )
    return GenmintError(f"{where}: not a lock file of DVC{reason}.{advice}")


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("params") or {}, dict):
        return False
    items = [item for part in ("deps", "outs") for item in entry.get(part) or []]
    return all(isinstance(item, dict) and isinstance(item.get("path"), str) for item in items)


@lru_cache(maxsize=2)
def _loaded(text: str) -> Any:
    """Parse and cache a dvc.lock, since a promotion reads it often; callers must not modify it."""
    return parse_yaml(text, "", LOCK_FILE, GenmintError) or {}


def hashes(entry: Mapping[str, Any], part: str) -> dict[str, str]:
    """Return DVC's hash of each path that a stage read (`deps`) or wrote (`outs`)."""
    return {
        str(item["path"]): str(item.get("md5") or item.get("etag") or item.get("checksum"))
        for item in entry.get(part) or []
    }


def written(entries: Entries) -> dict[str, tuple[str, str]]:
    """Return path → (DVC's hash, stage) of all outputs of these stages."""
    return {
        path: (digest, stage)
        for stage, entry in entries.items()
        for path, digest in hashes(entry, "outs").items()
    }


def contradictions(entries: Entries) -> list[str]:
    """Return which stages read a file version other than the one written by an earlier stage."""
    outs = written(entries)
    return [
        f"{stage} read a {path} that differs from the output of {outs[path][1]}"
        for stage, entry in entries.items()
        for path, digest in hashes(entry, "deps").items()
        if path in outs and outs[path][0] != digest
    ]


def other_files(entries: Entries, root: Path, *, folders: bool) -> list[tuple[str, str]]:
    """Return (path, stage) of each output below `root` that differs from its hash.

    Args:
        entries: dvc.lock entries of the stages.
        root: folder of a project, or of a copy of some of its files. Missing files are skipped.
        folders: whether output folders are compared as well; these must then be complete.
    """
    changed = []
    for path, (digest, stage) in written(entries).items():
        where = root / path
        if where.is_file():
            differs = md5_file(where) != digest
        else:
            differs = folders and where.is_dir() and md5_folder(where) != digest
        if differs:
            changed.append((path, stage))
    return changed


def md5_file(path: Path) -> str:
    """Return DVC's hash of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _md5).hexdigest()


def md5_folder(path: Path) -> str:
    """Return DVC's hash of a folder, `….dir`.

    It is the hash of the list of its files with their hashes (`Tree` of dvc-data).
    """
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    listed = [{"md5": md5_file(path / file), "relpath": file} for file in files]
    return f"{_md5(json.dumps(listed, sort_keys=True).encode()).hexdigest()}.dir"


def _md5(data: bytes = b"") -> Any:
    # DVC hashes files with MD5, which detects accidental changes only.
    return hashlib.md5(data, usedforsecurity=False)


def stages_of(name: str, dataset: str) -> list[str]:
    """Return the stages that a model depends on, in the order of execution."""
    data = [f"{stage}@{dataset}" for stage in DATASET_STAGES]
    return [*data, *(f"{stage}@{name}" for stage in MODEL_STAGES)]
