"""Detection of a full disk or exhausted memory in library errors, and a one-line message."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from genmint.common.errors import DiskFullError, GenmintError, MemoryFullError

_FULL = {
    errno.ENOSPC: ("disk full", "free space"),
    errno.EDQUOT: ("disk quota used up", "free space"),
    errno.EFBIG: ("file size limit reached", "raise the limit (ulimit -f)"),
}
# Messages of libraries that do not pass on the error number.
_FULL_WORDS = {
    errno.ENOSPC: re.compile(r"No space left on device|database or disk is full"),
    errno.EDQUOT: re.compile(r"Disk quota exceeded"),
    errno.EFBIG: re.compile(r"File too large"),
}
_MEMORY_WORDS = re.compile(
    r"can't allocate memory|Cannot allocate memory|not enough memory|out of memory"
    r"|bad_alloc|CUDNN_STATUS_ALLOC_FAILED|Unable to allocate|can't start new thread",
    re.IGNORECASE,
)
# More than the free rest of the last block of a file on a full disk.
_PROBE = 1 << 16
_BLOCK = 4096
# Text of the FileNotFoundError that tempfile raises if no temporary folder is writable.
_NO_SCRATCH = "No usable temporary directory"

# Settings to lower, by command; the most effective one comes first.
_LOWER = {
    "ingest": "max_pixels of datasets.{name} (images), or split its longest files",
    "validate": "the number of items of datasets.{name}",
    "prepare": "resolution or max_pixels (images), sample_rate or seconds (audio) of "
    "datasets.{name}",
    "reference": "resolution (images), mels or seconds (audio), sample_length (text) or "
    "protocol.samples of datasets.{name}",
    "train": "batch_size (or bptt, hidden) of models.{name}",
    "spread": "batch_size (or bptt, hidden) of models.{name}",
    "bench": "batch_size (or bptt, hidden) of models.{name}",
    "evaluate": "protocol.samples of the data set, or hidden of models.{name}",
    "promote": "protocol.samples of the data set",
    "sample": "-n or --length, and draw several files",
    "encode": "the number of items of the model's data set",
    "explore": "the size of the model",
}


def disk_full(error: BaseException, target: Path | str, written: Path | None = None) -> None:
    """Raise DiskFullError for `target` if a full disk made writing it fail; else return.

    Some libraries hide the error number (numpy, torch, libsndfile). If it is unknown, the disk is
    tested by writing 64 KiB.

    Args:
        error: exception raised while `target` was written.
        target: path to name in the message.
        written: file or folder that was written to and still exists; None disables the test.

    Raises:
        DiskFullError: the disk is full, or a quota or file size limit is reached.
    """
    number = _full_number(error)
    if number is None and written is not None and not isinstance(error, GenmintError):
        number = _refused(written)
    if number is not None:
        raise DiskFullError(_line(number, str(target))) from error


def full_disk_at(folder: Path, target: Path | str) -> None:
    """Raise DiskFullError for `target` if 64 KiB cannot be written to `folder`; else return.

    This is for failures that may have another cause and whose files others may be writing.

    Args:
        folder: folder on the disk to test.
        target: path to name in the message.

    Raises:
        DiskFullError: the disk is full, or a quota is reached.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(bytes(_PROBE))
    except OSError as error:
        disk_full(error, target)


def exhaustion_error(
    error: BaseException, verb: str, name: str | None = None
) -> GenmintError | None:
    """Return an error for a full disk or exhausted memory; None if `error` has another cause.

    Args:
        error: exception that ended the command.
        verb: name of the command.
        name: name of the data set or model that it processed.
    """
    if isinstance(error, DiskFullError | MemoryFullError):
        return error
    number = _full_number(error)
    if number is not None:
        return DiskFullError(_line(number, _path_of(error)))
    if not isinstance(error, GenmintError) and _is_memory(error):
        lower = _LOWER.get(verb, "the amount of data processed at once").format(name=name or "NAME")
        return MemoryFullError(
            f"out of memory ({_first_line(error)}). Lower {lower}, or use a machine with more "
            "memory; nothing was written"
        )
    return None


def _line(number: int, path: str) -> str:
    what, remedy = _FULL[number]
    return f"{what} while writing {path}; {remedy} and run the same command again"


def _full_number(error: BaseException) -> int | None:
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in _FULL:
            return each.errno
        if isinstance(each, FileNotFoundError) and _NO_SCRATCH in str(each) and _is_scratch_full():
            return errno.ENOSPC
        if isinstance(each, GenmintError):
            continue
        for number, words in _FULL_WORDS.items():
            if words.search(str(each)):
                return number
    return None


def _is_scratch_full() -> bool:
    """Return whether the disk of the temporary files has no free block left."""
    try:
        return shutil.disk_usage(os.environ.get("TMPDIR") or "/tmp").free < _BLOCK  # noqa: S108
    except OSError:
        return False


def _is_memory(error: BaseException) -> bool:
    return any(
        isinstance(each, MemoryError)
        or (isinstance(each, OSError) and each.errno == errno.ENOMEM)
        or (isinstance(each, RuntimeError | ImportError) and _MEMORY_WORDS.search(str(each)))
        for each in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes and contexts."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _refused(written: Path) -> int | None:
    """Return the error number of a test write of 64 KiB; None if the disk accepts it."""
    files = [written]
    if written.is_dir():
        # The file size limit affects the largest file first; a full disk affects any file.
        paths = sorted(written.rglob("*"), key=lambda path: path.lstat().st_size)
        files = [path for path in paths if path.is_file()][-1:]
    for path in files:
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as stream:
                stream.write(bytes(_PROBE))
            os.truncate(path, size)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(path, size)
            return error.errno if error.errno in _FULL else None
    return None


def _path_of(error: BaseException) -> str:
    """Return the file that could not be written, or else the folders it may be in."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in _FULL:
            path = each.filename2 or each.filename
            if path:
                return str(path)
    try:
        print(flush=True)  # noqa: T201 - asks whether it is stdout that takes no more
    except OSError:
        return "standard output"
    folders = [str(Path.cwd())]
    # gettempdir itself raises an error if there is no space for a temporary file.
    with contextlib.suppress(OSError):
        folders.append(tempfile.gettempdir())
    return f"a file (below {' or '.join(folders)})"


def _first_line(error: BaseException) -> str:
    text = next(iter(str(error).splitlines()), "").strip()
    # torch prefixes the message with the location in its own source.
    text = re.sub(r"^\[enforce fail at [^\]]*\]\s*(?:\.|data\. )?\s*", "", text)
    return text[:200] or type(error).__name__
