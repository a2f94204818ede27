"""Several processes of one training run on one machine, without torchrun."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import scratch_dir
from genmint.common.process_parent import die_with_parent

_PROCESSES = "GENMINT_PROCESSES"
_HELPER = "GENMINT_HELPER"
# File by which the processes of `first_of` find each other, so that none listens on a network.
RENDEZVOUS = "GENMINT_RENDEZVOUS"

_SECONDS_BETWEEN_POLLS = 0.5
# Seconds that helper processes may take to end after training.
_PATIENCE_SECONDS = 30.0


def process_count() -> int:
    """Return the number of processes to launch (`GENMINT_PROCESSES`); 1 in a launched process.

    Raises:
        ConfigError: the value is not an integer from 1 on.
    """
    setting = os.environ.get(_PROCESSES, "1")
    if not setting.isdecimal() or int(setting) < 1:
        raise ConfigError(f"{_PROCESSES}={setting}: give the number of processes, 1 or more")
    return 1 if "RANK" in os.environ else int(setting)


@contextlib.contextmanager
def first_of(processes: int, arguments: Sequence[str]) -> Iterator[None]:
    """Be process 0 of `processes` in the `with` block; the others run `python ARGUMENTS`.

    The others ignore Ctrl-C, which process 0 handles for all, and end when it ends.

    Raises:
        GenmintError: a process died. If process 0 cannot notice this because it waits in a
            collective operation, it is ended with the same message, as torchrun would do.
    """
    if processes == 1:
        yield
        return
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch_dir())
        place = {
            RENDEZVOUS: str(folder / "rendezvous"),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            **_loopback_only(),
        }
        stack.enter_context(_environment({**place, "RANK": "0", "LOCAL_RANK": "0"}))
        helpers = [_start(arguments, place, rank) for rank in range(1, processes)]
        threading.Thread(target=_watch, args=(helpers, over), daemon=True).start()
        try:
            yield
            for helper in helpers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    helper.wait(_PATIENCE_SECONDS)
        except RuntimeError:
            # Raised by a collective operation if another process has died.
            loss = _loss(helpers, _SECONDS_BETWEEN_POLLS)
            if loss is None:
                raise
            raise GenmintError(loss) from None
        finally:
            over.set()
            for helper in helpers:
                helper.kill()
                helper.wait()


def speaks() -> bool:
    """Return whether messages and exit code of this process count."""
    return int(os.environ.get("RANK", "0")) == 0


def end_with_parent() -> None:
    """Let the kernel end this process when the process that launched it dies (Linux).

    Otherwise a killed launcher leaves an unattended training run that locks its checkpoint.
    """
    if _HELPER in os.environ:
        die_with_parent(int(os.environ[_HELPER]))
    elif "TORCHELASTIC_RUN_ID" in os.environ:
        die_with_parent(os.getppid())


def end_with_first() -> None:
    """Wait for the signal of `end_with_parent` if process 0 has died; else return.

    The connections of a dying process close before its children receive the signal. The resulting
    error of a collective operation should not be reported.
    """
    if _HELPER in os.environ:
        time.sleep(_SECONDS_BETWEEN_POLLS)


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
        loss = _loss(helpers, _SECONDS_BETWEEN_POLLS)
        if loss is not None and not over.wait(_PATIENCE_SECONDS):
            for helper in helpers:
                helper.kill()
            print(f"genmint: {loss}", file=sys.stderr, flush=True)  # noqa: T201 - nobody else can
            os._exit(1)


def _loss(helpers: list[subprocess.Popen[bytes]], seconds: float) -> str | None:
    """Return which helper process has died, waiting up to `seconds`; None if none has."""
    deadline = time.monotonic() + seconds
    while True:
        for rank, helper in enumerate(helpers, start=1):
            if helper.poll() not in (None, 0):
                return (
                    f"process {rank} of the training run ended with {helper.returncode}. "
                    "The same command resumes from the last checkpoint."
                )
        if time.monotonic() >= deadline:
            return None
        time.sleep(_SECONDS_BETWEEN_POLLS / 10)


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


def _loopback_only() -> dict[str, str]:
    """Settings by which gloo and nccl listen on the loopback interface; without one, none."""
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    return {key: name for name in loopback for key in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
