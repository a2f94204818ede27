"""A command that ends with the process that started it: `python keeper.py COMMAND …`.

DVC starts a shell, and the shell a stage. Killing the first leaves the others, so this process
stands above them all: it holds the reading end of a pipe whose other end only the flow has, and
when the flow is gone, however it went, the kernel closes the pipe and the command is ended.
It runs in the standard library alone, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

# A training saves its state when it is asked to end, which takes a step and a file.
_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.2

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command of sys.argv; return its exit code, as a shell gives it."""
    asked: list[int] = []
    # Whoever ends this process means the command.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: asked.append(number))
    linux = sys.platform == "linux"
    if linux:
        # What the shell leaves behind becomes a child of ours, and can be waited for.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_die_with_parent if linux else None,
    )
    pipe = sys.stdin.fileno()
    watched = [pipe, *([os.pidfd_open(child.pid)] if linux else [])]
    while child.poll() is None:
        ready, _, _ = select.select(watched, [], [], _LOOK_SECONDS)
        if pipe in ready or asked:
            _end(child)
            return 130
    # Nothing of the command may outlive it.
    _signal(child.pid, signal.SIGKILL)
    code = child.returncode
    return code if code >= 0 else 128 - code


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and _any_left(child):
        time.sleep(_LOOK_SECONDS / 4)
    _signal(child.pid, signal.SIGKILL)
    child.wait()


def _any_left(child: subprocess.Popen[bytes]) -> bool:
    """Whether anything of the command's process group still runs."""
    child.poll()
    with contextlib.suppress(ChildProcessError):
        # Those that were left to us; our own child is waited for above.
        while child.returncode is not None and os.waitpid(-1, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
