"""Wrapper that ends a command when its flow ends: `python keeper.py COMMAND …`.

DVC starts a shell, and the shell a stage, so killing DVC leaves the others running. This process is
their common ancestor. It holds the read end of a pipe whose write end only the flow has. When the
flow ends for any reason, the kernel closes the pipe and this process ends the command. It uses the
standard library only, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

# A training run saves its state on SIGTERM, which takes one step and a file write.
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.2

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command in sys.argv; return its exit code in the shell's convention."""
    # Import from the package of this file, not from the one in the command's environment.
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from genmint.common.process_parent import die_with_parent

    signals: list[int] = []
    # A signal to this process is meant for the command.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: signals.append(number))
    linux = sys.platform == "linux"
    if linux:
        # Orphans of the shell become children of this process and can be reaped.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=functools.partial(die_with_parent, os.getpid()),
    )
    pipe = sys.stdin.fileno()
    watched = [pipe, *([os.pidfd_open(child.pid)] if linux else [])]
    while child.poll() is None:
        ready, _, _ = select.select(watched, [], [], _POLL_SECONDS)
        if pipe in ready or signals:
            _end(child)
            return 130
    # Remaining processes of the command must not outlive it.
    _signal(child.pid, signal.SIGKILL)
    code = child.returncode
    return code if code >= 0 else 128 - code


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and _any_left(child):
        time.sleep(_POLL_SECONDS / 4)
    _signal(child.pid, signal.SIGKILL)
    child.wait()


def _any_left(child: subprocess.Popen[bytes]) -> bool:
    """Return whether any process of the command's process group is still running."""
    child.poll()
    with contextlib.suppress(ChildProcessError):
        # Reap adopted orphans only; poll() above reaps the direct child.
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


if __name__ == "__main__":
    sys.exit(main())
