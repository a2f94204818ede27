"""Checkpoints with the complete training state, so that a resumed run gives the same result.

A checkpoint lies in a folder named after the identity of the training run, outside DVC's outputs,
which are removed before a stage runs. It is written to a temporary file, which replaces the target
once it is on disk. A kill during writing therefore leaves the previous checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import secrets
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock, Timeout

from genmint.common.errors import ConfigError, GenmintError, TemporaryError
from genmint.common.file_lock import place_of
from genmint.common.files import (
    atomic_path,
    file_mode,
    read_json,
    source_code,
    write_json,
    write_text,
)

_STATE = "state.pt"
_ABOUT = "about.json"
_NAME = "name"
_LOCK = "lock"
_SET_ASIDE = "damaged.pt"
# Suffix of a folder that is being deleted; it is renamed first, because a rename is atomic.
_GONE = ".gone"

# Seconds between two checkpoints, which is the maximum loss after a kill.
SECONDS = 30.0

# Seconds that a process which was just killed may need to release the folder.
_PATIENCE = 1.0

# Exceptions raised by reading a file that is not a valid checkpoint.
_DAMAGED = (RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError, OSError,
            pickle.UnpicklingError, zipfile.BadZipFile)  # fmt: skip


def checkpoint_seconds() -> float:
    """Return the seconds between two checkpoints: `GENMINT_CHECKPOINT_SECONDS`, or 30.

    Raises:
        ConfigError: the value is not a number from 0 on.
    """
    setting = os.environ.get("GENMINT_CHECKPOINT_SECONDS")
    try:
        seconds = SECONDS if setting is None else float(setting)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ConfigError(f"GENMINT_CHECKPOINT_SECONDS={setting}: give seconds, 0 for every step")
    return seconds


class Checkpoint:
    """Checkpoint of one training run.

    Attributes:
        folder: folder of the checkpoint.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], *, writes: bool = True) -> None:
        """Set the attributes; no file is accessed yet.

        Args:
            folder: folder for this identity only.
            about: JSON description of the training run; a checkpoint of another one is rejected.
            writes: False in processes that only read what another process writes.
        """
        self.folder = folder
        # The round trip yields plain types; torch.load rejects a file with a subclass of str.
        self._about = json.loads(json.dumps(about))
        self._writes = writes
        self._interval = checkpoint_seconds()
        self._last = time.monotonic()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder, so that no second process runs the same training.

        An empty folder is removed afterwards.

        Raises:
            TemporaryError: another process is running the same training.
        """
        if not self._writes:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place_of(self.folder / _LOCK), mode=file_mode())
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise TemporaryError(
                f"{self.folder}: in use by another process of the same training run. Wait until it "
                "ends, or end it."
            ) from None
        try:
            # Remove leftovers of a kill during writing or deleting.
            for path in self.folder.glob(".*.tmp"):
                path.unlink()
            shutil.rmtree(self._gone, ignore_errors=True)
            yield
        finally:
            if not any(path.name != _LOCK for path in self.folder.glob("*")):
                shutil.rmtree(self.folder, ignore_errors=True)
            lock.release()

    def token(self) -> str:
        """Return a random id of this training run, stored on disk until the checkpoint is deleted.

        The MLflow run carries the id, so that a resumed training run finds its MLflow run again.
        """
        path = self.folder / _NAME
        if not path.exists():
            write_text(path, secrets.token_hex(16))
        return path.read_text(encoding="utf-8")

    def load(self) -> dict[str, Any] | None:
        """Return the last saved state, on the CPU; None if there is none that is readable.

        A damaged file is renamed with a line on stderr, and training starts from the beginning.
        Scheduled runs thus need no manual action.

        Raises:
            GenmintError: the file may not be read, or belongs to another training run; the message
                names the differing key.
        """
        path = self.folder / _STATE
        try:
            _check_sums(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
            about, state = content["about"], cast(dict[str, Any], content["state"])
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise GenmintError(f"{path}: {error.strerror}. Ask its owner for it.") from None
        except _DAMAGED as error:
            self._set_aside(path, _first_line(error))
            return None
        difference = first_difference(about, self._about)
        if difference is not None:
            key, before, now = difference
            raise GenmintError(
                f"{path}: does not fit: {key} was {before!r} and is {now!r}. "
                f"Delete {self.folder} to train from the beginning."
            )
        return state

    def _set_aside(self, path: Path, reason: str) -> None:
        # Another process of the same training run may have renamed it first.
        if self._writes and path.exists():
            path.replace(self.folder / _SET_ASIDE)
            print(  # noqa: T201 - hours of training are lost
                f"genmint: {path}: damaged ({reason}). It is kept as {_SET_ASIDE} until "
                "this training run, which starts from the beginning, has ended.",
                file=sys.stderr,
                flush=True,
            )

    def due(self) -> bool:
        """Return whether the next checkpoint is due."""
        return time.monotonic() - self._last >= self._interval

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a new state: tensors, numbers and text in dictionaries and lists.

        Raises:
            GenmintError: the file cannot be written; the previous state is kept.
        """
        path = self.folder / _STATE
        try:
            if self._writes:
                if not (self.folder / _ABOUT).exists():
                    write_json(self.folder / _ABOUT, self._about)
                with atomic_path(path) as temporary:
                    torch.save({"about": self._about, "state": state}, temporary)
        except (OSError, RuntimeError) as error:
            raise GenmintError(
                f"{path}: cannot be written ({_first_line(error)}). Free disk space; the same "
                "command then resumes from the previous checkpoint, if there is one."
            ) from None
        self._last = time.monotonic()

    def delete(self) -> None:
        """Delete checkpoint and id atomically."""
        if self._writes and self.folder.exists():
            shutil.rmtree(self._gone, ignore_errors=True)
            self.folder.rename(self._gone)
            shutil.rmtree(self._gone)

    @property
    def _gone(self) -> Path:
        return self.folder.with_name(self.folder.name + _GONE)


def source_hash() -> str:
    """Return the hash of the code that affects training; checkpoints of other code are not used."""
    digest = hashlib.sha256()
    for package in ("data", "models", "training"):
        for path in sorted((Path(__file__).parents[1] / package).rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + source_code(path))
    return digest.hexdigest()[:16]


def unfinished(
    parent: Path, about: Mapping[str, Any], seeds: range
) -> list[tuple[Path, str, Any, Any]]:
    """Return checkpoints in `parent` that a training run of `about` with `seeds` cannot resume.

    Returns:
        Folder, first differing key, its value in the checkpoint and its current value.
    """
    names = []
    for path in sorted(parent.glob(f"*/{_ABOUT}")):
        there = read_json(path)
        seed = there.pop("seed", None) if isinstance(there, dict) else None
        difference = first_difference(there, dict(about))
        if difference is None and seed not in seeds:
            difference = ("seed", seed, seeds.start)
        alive = path.parent.suffix != _GONE and (path.parent / _STATE).exists()
        if difference is not None and alive:
            names.append((path.parent, *difference))
    return names


def first_difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """Return the first key, dotted, that differs between two JSON values, with both values.

    None if the values are equal.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for part in [*now, *(name for name in before if name not in now)]:
            inner = f"{key}.{part}" if key else str(part)
            difference = first_difference(before.get(part), now.get(part), inner)
            if difference is not None:
                return difference
        return None
    return None if before == now else (key, before, now)


def _check_sums(path: Path) -> None:
    """Verify the check sums of the file, which torch.load does not do."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} is not what was written")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
