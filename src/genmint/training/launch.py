"""Several processes of one training on one machine, without torchrun."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from genmint.errors import ConfigError, GenmintError

_PROCESSES = "GENMINT_PROCESSES"
_HELPER = "GENMINT_HELPER"

_SECONDS_BETWEEN_LOOKS = 0.5
# What helpers may take to end by themselves once the training is over.
_PATIENCE_SECONDS = 30.0

_PR_SET_PDEATHSIG = 1


def asked_for() -> int:
    """How many processes `GENMINT_PROCESSES` asks this one to be the first of; 1 if it is started.

    Raises:
        ConfigError: it is not a whole number from 1 on.
    """
    said = os.environ.get(_PROCESSES, "1")
    if not said.isdecimal() or int(said) < 1:
        raise ConfigError(f"{_PROCESSES}={said}: give the number of processes, 1 or more")
    return 1 if "RANK" in os.environ else int(said)


@contextlib.contextmanager
def first_of(processes: int, arguments: Sequence[str]) -> Iterator[None]:
    """Be the first of so many processes while the block runs; the others run `python ARGUMENTS`.

    They ignore Ctrl-C, which the first hears for all, and end when it ends.

    Raises:
        GenmintError: one of them died. Where the first does not notice, since it waits for what
            never comes, it is ended with the same message, as torchrun would end it.
    """
    if processes == 1:
        yield
        return
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    over = threading.Event()
    with _environment({**place, "RANK": "0", "LOCAL_RANK": "0"}):
        helpers = [_start(arguments, place, rank) for rank in range(1, processes)]
        threading.Thread(target=_watch, args=(helpers, over), daemon=True).start()
        try:
            yield
            for helper in helpers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    helper.wait(_PATIENCE_SECONDS)
        except RuntimeError:
            # What a collective raises whose other side is gone.
            loss = _loss(helpers, _SECONDS_BETWEEN_LOOKS)
            if loss is None:
                raise
            raise GenmintError(loss) from None
        finally:
            over.set()
            for helper in helpers:
                helper.kill()
                helper.wait()


def speaks() -> bool:
    """Whether this process is the one whose messages and exit code count."""
    return int(os.environ.get("RANK", "0")) == 0


def end_with_parent() -> None:
    """Let the kernel end this process when the one that started it for a training dies (Linux).

    Otherwise a launcher that is killed leaves a training that nobody watches, which holds its
    checkpoint against the one that should go on.
    """
    started = _HELPER in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
    if started and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.environ.get(_HELPER, str(os.getppid())) != str(os.getppid()):
            sys.exit(1)


def end_with_first() -> None:
    """Wait for the signal of `end_with_parent`, if the first process has died; else return.

    A dying process closes its connections before those that it started hear of it: what a
    collective then raises in them is nobody's to read.
    """
    if _HELPER in os.environ:
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _start(arguments: Sequence[str], place: dict[str, str], rank: int) -> subprocess.Popen[bytes]:
    mine = {"RANK": str(rank), "LOCAL_RANK": str(rank), _HELPER: str(os.getpid())}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **place, **mine},
            stdin=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _watch(helpers: list[subprocess.Popen[bytes]], over: threading.Event) -> None:
    while not over.is_set():
        loss = _loss(helpers, _SECONDS_BETWEEN_LOOKS)
        if loss is not None and not over.wait(_PATIENCE_SECONDS):
            for helper in helpers:
                helper.kill()
            print(f"genmint: {loss}", file=sys.stderr, flush=True)  # noqa: T201 - nobody else can
            os._exit(1)


def _loss(helpers: list[subprocess.Popen[bytes]], seconds: float) -> str | None:
    """Which of the helpers has died, if one does within so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        for rank, helper in enumerate(helpers, start=1):
            if helper.poll() not in (None, 0):
                return (
                    f"process {rank} of the training ended with {helper.returncode}. "
                    "The same command goes on from the last checkpoint."
                )
        if time.monotonic() >= deadline:
            return None
        time.sleep(_SECONDS_BETWEEN_LOOKS / 10)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
