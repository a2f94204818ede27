"""Ending a process with its parent, and reaping zombies as process 1 of a container.

Uses the standard library only, so that its callers start fast.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# si_code of a signal from the terminal, which all foreground processes receive directly.
_SI_KERNEL = 0x80
_HANDED_ON = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2),
)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent dies (Linux; no effect elsewhere).

    A change of user cancels this, `exec` does not. The kernel watches the thread that started this
    process, which should therefore be a long-lived one such as the main thread.

    Args:
        parent: process id of the parent, read before the parent could have died. It may be 1, which
            in a container is an ordinary program.

    Raises:
        SystemExit: the parent has already died.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(f"process {parent}, which started this one, has ended")


def leave_process_one() -> None:
    """Fork and return in the child if this process is process 1 of a container (Linux).

    Otherwise return at once. Process 1 inherits every orphaned process and must wait for it, or it
    stays a zombie. The parent also forwards signals to the child and ends with the child's exit
    code, or 128 plus the number of the signal that ended it. Call this before any thread is
    started.
    """
    if sys.platform != "linux" or os.getpid() != 1:
        return
    waited_for = (*_HANDED_ON, signal.SIGCHLD)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    while True:
        # Check before the first wait, since the child may have ended already.
        code = _reap(child)
        if code is not None:
            os._exit(code)
        signalled = signal.sigwaitinfo(waited_for)
        if signalled.si_signo != signal.SIGCHLD and signalled.si_code != _SI_KERNEL:
            os.kill(child, signalled.si_signo)


def _reap(child: int) -> int | None:
    """Wait for all ended processes; return the exit code of `child` if it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None
