"""`python -m genmint.common.process_group PROGRAM ARGUMENTS`: a process group tied to its parent.

Start PROGRAM in this process's group, and end with its exit code. The kernel kills a process with
its parent (`process_parent`), but not the processes that it has started itself. This process reads
its standard input, whose other end only the parent holds. At its end, however the parent ended, it
kills the whole group, so the parent must start it as leader of a group of its own.

Uses the standard library only, so that it starts fast and takes little memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run PROGRAM until it ends, or until the parent does."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    # After the start, since a program inherits what its parent ignores. The signals are sent to
    # the group, and PROGRAM decides what they mean.
    for ignored in _ENDING:
        signal.signal(ignored, signal.SIG_IGN)
    threading.Thread(target=_kill_at_the_end_of_input, daemon=True).start()
    code = program.wait()
    os._exit(code if code >= 0 else 128 - code)


def _kill_at_the_end_of_input() -> None:
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
