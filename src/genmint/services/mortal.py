"""`python -m genmint.services.mortal [--user NAME] PROGRAM ARGUMENTS`: become PROGRAM, mortal.

The kernel ends this process when the one that started it dies (Linux). Elsewhere only the warden
does. Every server, worker and flow run is started like this (see `processes` and `pools`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel, then replace this process; it keeps its pid, which others know."""
    words = sys.argv[1:]
    if words[0] == "--user":
        _become(words[1])
        words = words[2:]
    if sys.platform == "linux":
        # After a change of user, which would undo it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            # The parent died before the kernel was asked.
            sys.exit(1)
    os.execvp(words[0], words)  # noqa: S606 - a list, no shell


def _become(name: str) -> None:
    import pwd

    entry = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main()
