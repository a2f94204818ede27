"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genmint.errors import GenmintError, RegistryError
from genmint.exhaustion import disk_full, full_disk_at
from genmint.reading import read_json as read_json

_CHUNK = 1 << 20
# What flock says on file systems that have none, or none for what is open for reading only (NFS).
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.EBADF)


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that takes its place when the block succeeds.

    The file is flushed to disk (fsync) before the rename, and the folder after it, so that a crash
    leaves either the old file or the new one. On an exception the temporary file is removed. What
    a killed process left is removed by the next writer of the same target.

    Raises:
        DiskFullError: the disk is full, whatever the library that wrote made of it.
    """

    def make() -> str:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        return name

    with _temporary(target, make) as temporary:
        yield temporary
        apply_umask(temporary)
        _fsync(temporary)
        temporary.replace(target)
        _fsync(target.parent)


@contextlib.contextmanager
def atomic_dir(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its place when the block succeeds.

    On an exception the temporary folder is removed. What a killed process left is removed by the
    next writer of the same target.

    Raises:
        DiskFullError: as `atomic_path`.
    """

    def make() -> str:
        return tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)

    with _temporary(target, make) as temporary:
        yield temporary
        apply_umask(temporary)
        for path in temporary.rglob("*"):
            if path.is_file():
                _fsync(path)
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
        _fsync(target.parent)


@contextlib.contextmanager
def scratch_dir() -> Iterator[Path]:
    """Yield a new folder among the temporary files of this machine, removed after the block.

    Raises:
        DiskFullError: there is no space for temporary files; it names their folder.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="genmint-")
    except OSError as error:
        disk_full(error, "temporary files")
        raise
    with folder as name:
        shown = f"{name} (temporary files; TMPDIR names another place)"
        try:
            yield Path(name)
        except RegistryError:
            # MLflow does not say why a download failed.
            full_disk_at(Path(name), shown)
            raise
        except (OSError, RuntimeError) as error:
            # An error that names a file is about that file, and some are not in this folder.
            if not isinstance(error, GenmintError) and getattr(error, "filename", None) is None:
                disk_full(error, shown, Path(name))
            raise


def apply_umask(path: Path) -> None:
    """Give a file, or a folder with all that is in it, the mode that the umask asks for.

    mkstemp, mkdtemp, SQLite and some libraries have modes of their own (0600, 0700, 0644), which
    lock colleagues out of a checkout that they share. A folder's setgid bit stays.
    """
    umask = _umask()
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        if each.is_symlink():
            continue
        if each.is_dir():
            each.chmod((each.stat().st_mode & stat.S_ISGID) | (0o777 & ~umask))
        else:
            each.chmod(0o666 & ~umask)


def file_mode() -> int:
    """Mode of a new file by the umask: for libraries that would set one of their own."""
    return 0o666 & ~_umask()


def _umask() -> int:
    """The umask of this process."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    # Elsewhere it can only be read by setting it, for the whole process.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


@contextlib.contextmanager
def _temporary(target: Path, make: Callable[[], str]) -> Iterator[Path]:
    """Yield what `make` makes beside `target`, locked while the block runs, and then remove it.

    The lock (flock) is how the next writer tells the temporary files of dead processes from those
    of processes that still write.
    """
    try:
        temporary, lock = _locked(target, make)
    except OSError as error:
        disk_full(error, target)
        raise
    try:
        yield temporary
    except Exception as error:
        disk_full(error, target, temporary)
        raise
    finally:
        _remove(temporary)
        if lock is not None:
            os.close(lock)


def _locked(target: Path, make: Callable[[], str]) -> tuple[Path, int | None]:
    """What `make` makes beside `target`, and its lock, if the file system has locks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    while True:
        temporary = Path(make())
        try:
            lock = _lock(temporary)
        except (FileNotFoundError, BlockingIOError):
            # Another writer took it for a leftover before it was locked.
            continue
        if lock is None or temporary.exists():
            return temporary, lock
        os.close(lock)


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files and folders of dead writers of `target`."""
    # mkstemp and mkdtemp put eight random characters there.
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.????????.tmp"):
        # Its writer lives, it is gone meanwhile, or it belongs to somebody else.
        with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
            lock = _lock(leftover)
            if lock is not None:
                _remove(leftover)
                os.close(lock)


def _remove(path: Path) -> None:
    """Remove a temporary file or folder, if it is still there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(path: Path) -> int | None:
    """Lock a file or folder until the descriptor is closed; None on a file system without locks.

    Raises:
        FileNotFoundError: the path is gone.
        BlockingIOError: another process has the lock.
        PermissionError: it may not be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in _NO_LOCKS:
            return None
        raise
    return descriptor


@contextlib.contextmanager
def all_or_none(*targets: Path) -> Iterator[None]:
    """Remove every target if the block fails: outputs of one stage that refer to each other.

    A file or folder that an earlier run wrote is removed as well, since it would refer to what is
    gone.
    """
    try:
        yield
    except BaseException:
        for target in targets:
            _remove(target)
        raise


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically, keys in the order given.

    Raises:
        ValueError: `value` holds NaN or infinity, which JSON cannot say.
    """
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content as 64 hex digits, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_bytes(text.encode())


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
