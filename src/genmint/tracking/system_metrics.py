"""Load of the machine during a training run, under the keys of MLflow's page "System metrics".

MLflow's own monitor sends from a thread of its own and raises if the tracker does not answer. The
values here go through the queue of the run's reporter, which may be unreachable for hours.
"""

from __future__ import annotations

import time

import psutil

_SECONDS_BETWEEN_SAMPLES = 10.0
_MEGABYTE = 1e6


class SystemMetrics:
    """Samples of the load, at most one every ten seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _SECONDS_BETWEEN_SAMPLES
        # The share of the processors is that since the previous reading; the first has none.
        _load()

    def sample(self) -> dict[str, float]:
        """Return the load by key; {} if a sample is not due yet, or the system gives none.

        Shares are in percent of the machine, amounts of memory in megabytes.
        """
        now = time.monotonic()
        if now < self._next:
            return {}
        self._next = now + _SECONDS_BETWEEN_SAMPLES
        return _load()


def _load() -> dict[str, float]:
    try:
        memory = psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": psutil.cpu_percent(None),
            "system/system_memory_usage_percentage": memory.percent,
            "system/system_memory_usage_megabytes": memory.used / _MEGABYTE,
            "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / _MEGABYTE,
        }
    except (psutil.Error, OSError):
        # A container may hide them, which must not end the reporting of the run.
        return {}
