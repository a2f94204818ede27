"""Locks on files that the kernel releases when their holder dies (flock)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from genmint.exhaustion import disk_full

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_BETWEEN_MESSAGES = 60.0


@contextlib.contextmanager
def held(path: Path, who: str, what: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; wait for it, and print that it waits.

    Args:
        path: of the lock file. It is made if it is missing and stays afterwards, since a lock
            file that is removed can be held twice. Its folder must exist.
        who: the holder, as those who wait are told; the process id is added.
        what: that is locked, for the message of those who wait.

    Raises:
        DiskFullError: there is no space for the note on who holds it.
    """
    with path.open("a+", encoding="utf-8") as stream:
        printed: float | None = None
        while not taken(stream):
            now = time.monotonic()
            if printed is None or now - printed >= _SECONDS_BETWEEN_MESSAGES:
                printed = now
                holder = path.read_text(encoding="utf-8").strip() or "another process"
                print(  # noqa: T201 - a process that stands still must say why
                    f"{who}: waits for {what}, held by {holder}", file=sys.stderr, flush=True
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        _note(stream, path, f"{who}, process {os.getpid()}\n")
        yield


def _note(stream: TextIO, path: Path, holder: str) -> None:
    """Write who holds a lock into its file.

    Raises:
        DiskFullError: there is no space for it.
    """
    stream.truncate(0)
    try:
        # Not through the stream: what that could not write, it would try again when it is closed.
        os.write(stream.fileno(), holder.encode())
    except OSError as error:
        disk_full(error, path)
        raise


def taken(stream: TextIO) -> bool:
    """Take the lock on an open file if nobody has it, until it is closed; whether it was taken."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
