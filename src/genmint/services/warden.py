"""`python -m genmint.services.warden MARK SETTINGS`: outlives a killed supervisor, for a moment.

The kernel ends what the supervisor started itself (`mortal`), but not what these started in turn.
The warden waits for the end of its standard input, whose other end only the supervisor holds, then
kills every process that carries the mark and removes what pointed to the servers.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from filelock import FileLock

from genmint.files import file_mode
from genmint.services.processes import kill_marked
from genmint.services.settings import remove_settings

LOCK = "warden.lock"


def main() -> int:
    """Wait, then kill; return 0."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    mark, settings = sys.argv[1:]
    # The next supervisor waits for it, or what it starts would be killed as well.
    with FileLock(Path(mark) / LOCK, mode=file_mode()):
        sys.stdin.buffer.read()
        kill_marked(mark)
        remove_settings(Path(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
