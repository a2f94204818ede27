"""Atomic file writes, temporary folders and file hashes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from genmint.common.errors import ConfigError, GenmintError, RegistryError
from genmint.common.exhaustion import disk_full, full_disk_at
from genmint.common.file_lock import NO_LOCKS
from genmint.common.reading import read_json as read_json

_CHUNK = 1 << 20
# EBADF: NFS cannot lock a file that is open for reading only.
_NO_LOCKS = (*NO_LOCKS, errno.EBADF)


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it when the `with` block succeeds.

    The file is flushed to disk (fsync) before the rename, and the folder after it. A crash
    therefore leaves either the old file or the new one. On an exception the temporary file is
    removed. Leftovers of a killed process are removed by the next writer of the same target.

    Raises:
        DiskFullError: the disk is full, whatever exception the writing library raised.
    """
    with _temporary(target, functools.partial(_make_file, target)) as temporary:
        yield temporary
        apply_umask(temporary)
        _fsync(temporary)
        temporary.replace(target)
        _fsync(target.parent)


@contextlib.contextmanager
def atomic_dir(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that replaces it when the `with` block succeeds.

    On an exception the temporary folder is removed. Leftovers of a killed process are removed by
    the next writer of the same target.

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
def scratch_dir(parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder for temporary files, removed after the `with` block.

    Leftovers of a killed process are removed by the next call with the same parent.

    Args:
        parent: parent folder; None: the default folder for temporary files.

    Raises:
        DiskFullError: there is no space for temporary files; the message names their folder.
    """
    try:
        beside = Path(tempfile.gettempdir()) if parent is None else parent
        folder, lock = _locked(beside / "genmint", functools.partial(_make_folder, beside))
    except OSError as error:
        disk_full(error, "temporary files" if parent is None else parent)
        raise
    shown = f"{folder} (temporary files{'; TMPDIR names another place' if parent is None else ''})"
    try:
        yield folder
    except RegistryError:
        # MLflow does not pass on why a download failed.
        full_disk_at(folder, shown)
        raise
    except (OSError, RuntimeError) as error:
        # An error with a file name refers to that file, which may be outside this folder.
        if not isinstance(error, GenmintError) and getattr(error, "filename", None) is None:
            disk_full(error, shown, folder)
        raise
    finally:
        _remove(folder)
        if lock is not None:
            os.close(lock)


def apply_umask(path: Path) -> None:
    """Set the mode of a file, or of a folder and its contents, according to the umask.

    mkstemp, mkdtemp, SQLite and some libraries use fixed modes (0600, 0700, 0644), which deny
    access to others who share the checkout. A folder's setgid bit is kept.
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
    """Return the mode of a new file under the umask, for libraries that would use a fixed mode."""
    return 0o666 & ~_umask()


def _umask() -> int:
    """Return the umask of this process."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    # On other systems it can be read only by setting it for the whole process.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _make_file(target: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    return name


def _make_folder(beside: Path) -> str:
    return tempfile.mkdtemp(prefix=".genmint.", suffix=".tmp", dir=beside)


@contextlib.contextmanager
def _temporary(target: Path, make: Callable[[], str]) -> Iterator[Path]:
    """Yield the temporary path that `make` creates beside `target`, locked; remove it afterwards.

    The lock (flock) lets the next writer distinguish files of dead processes from files still in
    use.
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
    """Create a temporary path beside `target` with `make`; return it and its lock, if available."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    while True:
        temporary = Path(make())
        try:
            lock = _lock(temporary)
        except (FileNotFoundError, BlockingIOError):
            # Another writer removed it as a leftover before it was locked.
            continue
        if lock is None or temporary.exists():
            return temporary, lock
        os.close(lock)


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files and folders of dead writers of `target`."""
    # mkstemp and mkdtemp append eight random characters.
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.????????.tmp"):
        # Skip it if its writer is alive, it was removed meanwhile, or it belongs to another user.
        with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
            lock = _lock(leftover)
            if lock is not None:
                _remove(leftover)
                os.close(lock)


def _remove(path: Path) -> None:
    """Remove a temporary file or folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(path: Path) -> int | None:
    """Lock a file or folder until the descriptor is closed; None on a file system without locks.

    Raises:
        FileNotFoundError: the path does not exist.
        BlockingIOError: another process holds the lock.
        PermissionError: the path cannot be opened.
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
    """Remove every target if the `with` block fails, for outputs that refer to each other.

    Files and folders of an earlier run are removed as well, since they would refer to removed ones.
    """
    try:
        yield
    except BaseException:
        for target in targets:
            _remove(target)
        raise


def check_folder(path: Path, option: str) -> None:
    """Refuse an output path in a folder that does not exist, since its name may be mistyped.

    Args:
        path: file or folder to be written.
        option: option that named it, for the message.

    Raises:
        ConfigError: the folder that should hold `path` does not exist.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ConfigError(f"{path}: there is no folder {folder}. Create it, or correct {option}.")


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically, with keys in the given order.

    Raises:
        ValueError: `value` holds NaN or infinity, which JSON cannot represent.
    """
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def create_private(target: Path, text: str) -> bool:
    """Write a file that only its owner can read (mode 0600), atomically, unless it exists.

    Returns:
        False if the file exists; it is then left unchanged.
    """
    with _temporary(target, functools.partial(_make_file, target)) as temporary:
        temporary.write_text(text, encoding="utf-8")
        _fsync(temporary)
        try:
            # Unlike a rename, a link fails if another process created the target first.
            os.link(temporary, target)
        except FileExistsError:
            return False
        _fsync(target.parent)
    return True


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def source_code(path: Path) -> bytes:
    """Return a source file with LF line ends, since editors and core.autocrlf change them."""
    return path.read_bytes().replace(b"\r\n", b"\n")


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_bytes(text.encode())


def sha256_folder(folder: Path, leave_out: Sequence[str] = ()) -> str:
    """Return the SHA-256 over the paths and contents of all files in a folder, as 64 hex digits.

    Args:
        folder: folder to hash; links are followed.
        leave_out: files and folders to skip, by their path in `folder`. `__pycache__` is always
            skipped.
    """
    hashes = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        left_out = any(name.is_relative_to(each) for each in leave_out)
        if path.is_file() and not left_out and "__pycache__" not in name.parts:
            hashes[name.as_posix()] = sha256_file(path)
    return sha256_json(hashes)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
