"""`python -m genmint.services.cleanup_watchdog MARK SETTINGS`: cleanup watchdog of the supervisor.

If the supervisor is killed, the kernel ends its direct children (`die_with_parent`) but not their
descendants. The watchdog waits for the end of its standard input, whose other end only the
supervisor holds. It then kills every process with the mark and removes the settings file that
points to the servers.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from filelock import FileLock

from genmint.common.file_lock import place_of
from genmint.common.files import file_mode
from genmint.services.processes import kill_marked
from genmint.services.settings import remove_settings

# The earlier name stays: a supervisor of an earlier version may hold the lock.
LOCK = "warden.lock"


def main() -> int:
    """Wait for the supervisor's end, then kill; return 0."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    mark, settings = sys.argv[1:]
    # The next supervisor waits for this lock; otherwise its new processes would be killed as well.
    with FileLock(place_of(Path(mark) / LOCK), mode=file_mode()):
        sys.stdin.buffer.read()
        kill_marked(mark)
        remove_settings(Path(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
