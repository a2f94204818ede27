"""Clock that leaves out the time in which other programs had the cores."""

from __future__ import annotations

import time
from pathlib import Path

# Linux: nanoseconds on a core, nanoseconds of waiting for one, and time slices of this thread.
_WAITED = Path("/proc/thread-self/schedstat")


class IdleClock:
    """Time in seconds, without the time that this thread waited for a core.

    Steps timed by it take about as long as on a machine that runs nothing else. Where the system
    does not state the waiting time, it is the wall clock.
    """

    def __init__(self) -> None:
        self._began, self._waited = time.perf_counter(), self._waiting()

    def __call__(self) -> float:
        """Return the time."""
        return time.perf_counter() - self._waiting()

    @property
    def busy(self) -> float:
        """Share of the time since its creation that this thread waited for a core, 0…1."""
        passed = time.perf_counter() - self._began
        return max(0.0, min(1.0, (self._waiting() - self._waited) / max(passed, 1e-9)))

    @staticmethod
    def _waiting() -> float:
        try:
            return int(_WAITED.read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0
