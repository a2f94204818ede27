"""File locks that the kernel releases when their holder dies (flock)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any, TextIO

from genmint.common.errors import ConfigError
from genmint.common.exhaustion import disk_full

_FOLDER = "GENMINT_LOCKS"
# Errors of flock on file systems without locks, such as Lustre without `-o flock`, NFS without its
# lock service, and several in user space.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_SECONDS_BETWEEN_POLLS = 0.2
_SECONDS_BETWEEN_MESSAGES = 60.0
_WAIT_MESSAGE = re.compile(r".+: waits for .+, held by .+")


@contextlib.contextmanager
def hold_lock(path: Path, who: str, what: str) -> Iterator[None]:
    """Hold the lock file `path` in the `with` block; wait for it, and print who holds it.

    Args:
        path: lock file. It is created if missing and kept afterwards, since a lock file that is
            removed can be held twice. Its folder must exist.
        who: name of the holder, shown to waiting processes together with the process id.
        what: what is locked, shown to waiting processes.

    Raises:
        DiskFullError: there is no space to write the holder's name.
        ConfigError: no file system with locks is available.
    """
    place = place_of(path)
    with place.open("a+", encoding="utf-8") as stream:
        printed: float | None = None
        while not _taken(stream):
            now = time.monotonic()
            if printed is None or now - printed >= _SECONDS_BETWEEN_MESSAGES:
                printed = now
                holder = place.read_text(encoding="utf-8").strip() or "another process"
                print(  # noqa: T201 - a process that stands still must say why
                    f"{who}: waits for {what}, held by {holder}", file=sys.stderr, flush=True
                )
            time.sleep(_SECONDS_BETWEEN_POLLS)
        _note(stream, place, f"{who}, process {os.getpid()}\n")
        yield


def is_wait_message(line: str) -> bool:
    """Return whether a line of a process's output is the message of `hold_lock`, which waits."""
    return _WAIT_MESSAGE.fullmatch(line) is not None


@contextlib.contextmanager
def attempted(path: Path) -> Iterator[bool]:
    """Try to take the lock file `path` for the `with` block; yield whether it was taken.

    Args:
        path: lock file; it is created if missing. Its holder may remove it.

    Raises:
        ConfigError: no file system with locks is available.
    """
    place = place_of(path)
    if place != path:
        # Processes that search this folder for lock files must find it.
        path.touch()
    with place.open("a", encoding="utf-8") as stream:
        # Its holder may have removed it after it was opened here.
        yield _taken(stream) and path.exists()


def place_of(path: Path) -> Path:
    """Return the location of the lock `path`: itself, or a file in `lock_folder`.

    The latter is used if the file system of `path` has no locks.

    Raises:
        ConfigError: the file system of `lock_folder` has no locks either.
    """
    if has_locks(path.parent):
        return path
    folder = lock_folder()
    if not has_locks(folder):
        raise ConfigError(
            f"{folder}: its file system has no file locks (flock). Set {_FOLDER} to a folder of a "
            "local disk"
        )
    _tell(path.parent, folder)
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    return folder / f"{digest}-{path.name}"


def lock_folder() -> Path:
    """Return the folder for this user's locks on this machine; create it if missing.

    Raises:
        ConfigError: the folder belongs to another user, who could block every training run.
    """
    setting = os.environ.get(_FOLDER)
    folder = Path(setting) if setting else Path(tempfile.gettempdir()) / f"genmint-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise ConfigError(
            f"{folder}: the folder of the device locks belongs to another user. "
            f"Set {_FOLDER} to a folder that you own."
        )
    return folder


@cache
def has_locks(folder: Path) -> bool:
    """Return whether the file system of a folder has flock; True if the folder is not writable."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            return _taken(stream)
    except OSError as error:
        return error.errno not in NO_LOCKS


@cache
def _tell(folder: Path, locks: Path) -> None:
    print(  # noqa: T201 - once a process, since two machines must not work there at once
        f"{folder}: this file system has no file locks (flock). They are kept in {locks}, which "
        "other machines do not see: use this checkout on one machine at a time",
        file=sys.stderr, flush=True,
    )  # fmt: skip


def _note(stream: TextIO, path: Path, holder: str) -> None:
    """Write the name of the holder into its lock file.

    Raises:
        DiskFullError: there is no space for it.
    """
    stream.truncate(0)
    try:
        # A buffered stream would retry a failed write when it is closed.
        os.write(stream.fileno(), holder.encode())
    except OSError as error:
        disk_full(error, path)
        raise


def _taken(stream: IO[Any]) -> bool:
    """Try to lock an open file until it is closed; return whether the lock was taken."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
