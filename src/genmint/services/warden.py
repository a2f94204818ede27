"""`python -m genmint.services.warden MARK SETTINGS`: outlives a killed supervisor, for a moment.

The kernel ends what the supervisor started itself (`mortal`), but not what these started in turn.
The warden waits for the end of its standard input, whose other end only the supervisor holds, then
kills every process that carries the mark and removes what pointed to the servers.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from genmint.services.processes import kill_marked
from genmint.services.settings import remove_settings


def main() -> int:
    """Wait, then kill; return 0."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_marked(sys.argv[1])
    remove_settings(Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
