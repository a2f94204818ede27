"""`python -m genmint.services.mortal ARGUMENTS`: become `python ARGUMENTS`, mortal.

The kernel ends this process when the one that started it dies (Linux). Elsewhere only the warden
does. It is the command of every server and worker, and of every flow run (see `pools`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel, then replace this process; it keeps its pid, which others know."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            # The parent died before the kernel was asked.
            sys.exit(1)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main()
