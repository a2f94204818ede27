"""Checkpoints: all that a training depends on, so that a killed one ends as an undisturbed one.

A checkpoint lies in a folder named after the identity of what is trained, outside the outs of DVC,
which are removed before a stage runs. It is written to a temporary file that takes its place when
it is on disk: a kill in the middle of writing leaves the one before.
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

from genmint.errors import ConfigError, GenmintError, TemporaryError
from genmint.files import atomic_path, file_mode, read_json, write_json, write_text

_STATE = "state.pt"
_ABOUT = "about.json"
_NAME = "name"
_LOCK = "lock"
_SET_ASIDE = "damaged.pt"
# What is being deleted: renamed first, since that happens at once or not at all.
_GONE = ".gone"

# Seconds between two checkpoints: what a kill costs at most.
SECONDS = 30.0

# Seconds that a process which was just killed may take to let go of the folder.
_PATIENCE = 1.0

# What comes of reading a file that is not such a file.
_DAMAGED = (RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError, OSError,
            pickle.UnpicklingError, zipfile.BadZipFile)  # fmt: skip


def interval() -> float:
    """Seconds between two checkpoints: `GENMINT_CHECKPOINT_SECONDS`, or 30.

    Raises:
        ConfigError: it is not a number from 0 on.
    """
    said = os.environ.get("GENMINT_CHECKPOINT_SECONDS")
    try:
        seconds = SECONDS if said is None else float(said)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ConfigError(f"GENMINT_CHECKPOINT_SECONDS={said}: give seconds, 0 for every step")
    return seconds


class Checkpoint:
    """The checkpoint of one training.

    Attributes:
        folder: where it lies.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], *, writes: bool = True) -> None:
        """Describe it; nothing is touched.

        Args:
            folder: of this identity alone.
            about: JSON that says what is trained; a checkpoint of anything else is refused.
            writes: false in processes that only read what another writes.
        """
        self.folder = folder
        # As plain as JSON makes it: a subclass of str is enough for torch.load to refuse the file.
        self._about = json.loads(json.dumps(about))
        self._writes = writes
        self._interval = interval()
        self._last = time.monotonic()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that no second process trains the same; it goes when it is empty.

        Raises:
            TemporaryError: one does already.
        """
        if not self._writes:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / _LOCK, mode=file_mode())
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise TemporaryError(
                f"{self.folder}: another process is training exactly this. Wait for it, or end it."
            ) from None
        try:
            # What a kill in the middle of writing or deleting left.
            for path in self.folder.glob(".*.tmp"):
                path.unlink()
            shutil.rmtree(self._gone, ignore_errors=True)
            yield
        finally:
            if not any(path.name != _LOCK for path in self.folder.glob("*")):
                shutil.rmtree(self.folder, ignore_errors=True)
            lock.release()

    def token(self) -> str:
        """A random name of this training, the same until it is deleted; on disk when it returns.

        The run at the tracker carries it, so that a training which goes on finds its run again.
        """
        path = self.folder / _NAME
        if not path.exists():
            write_text(path, secrets.token_hex(16))
        return path.read_text(encoding="utf-8")

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, on the CPU; None if there is none that can be read.

        A damaged file is set aside, with a line on stderr: the training then begins anew, and no
        schedule waits for a person.

        Raises:
            GenmintError: it may not be read, or is of another training; the message names the key.
        """
        path = self.folder / _STATE
        try:
            _check_sums(path)
            held = torch.load(path, map_location="cpu", weights_only=True)
            about, state = held["about"], cast(dict[str, Any], held["state"])
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
        # Another process of the same training may have been quicker.
        if self._writes and path.exists():
            path.replace(self.folder / _SET_ASIDE)
            print(  # noqa: T201 - hours of training are lost
                f"genmint: {path}: damaged ({reason}). It is kept as {_SET_ASIDE} until this "
                "training has ended, which begins anew.",
                file=sys.stderr,
                flush=True,
            )

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._last >= self._interval

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what was saved: tensors, numbers and text in dictionaries and lists.

        Raises:
            GenmintError: it cannot be written; what was saved before is still there.
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
                f"{path}: cannot be written ({_first_line(error)}). Make room; the same command "
                "then goes on from the checkpoint before, if there is one."
            ) from None
        self._last = time.monotonic()

    def delete(self) -> None:
        """Remove it and forget the token, both or, if killed, neither."""
        if self._writes and self.folder.exists():
            shutil.rmtree(self._gone, ignore_errors=True)
            self.folder.rename(self._gone)
            shutil.rmtree(self._gone)

    @property
    def _gone(self) -> Path:
        return self.folder.with_name(self.folder.name + _GONE)


def source_hash() -> str:
    """Hash of the code that decides what a training does: what a checkpoint is worth without it."""
    digest = hashlib.sha256()
    for package in ("data", "models", "training"):
        for path in sorted((Path(__file__).parents[1] / package).rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def unfinished(
    parent: Path, about: Mapping[str, Any], seeds: range
) -> list[tuple[Path, str, Any, Any]]:
    """Checkpoints in `parent` that a training of `about` with `seeds` does not go on from.

    Returns:
        Folder, first key that differs, its value there and here.
    """
    found = []
    for path in sorted(parent.glob(f"*/{_ABOUT}")):
        there = read_json(path)
        seed = there.pop("seed", None) if isinstance(there, dict) else None
        difference = first_difference(there, dict(about))
        if difference is None and seed not in seeds:
            difference = ("seed", seed, seeds.start)
        alive = path.parent.suffix != _GONE and (path.parent / _STATE).exists()
        if difference is not None and alive:
            found.append((path.parent, *difference))
    return found


def first_difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key, dotted, at which two JSON values differ, with both values; None if equal."""
    if isinstance(before, dict) and isinstance(now, dict):
        for part in [*now, *(name for name in before if name not in now)]:
            inner = f"{key}.{part}" if key else str(part)
            found = first_difference(before.get(part), now.get(part), inner)
            if found is not None:
                return found
        return None
    return None if before == now else (key, before, now)


def _check_sums(path: Path) -> None:
    """Compare what the file holds with its check sums, since torch.load does not."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} is not what was written")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
