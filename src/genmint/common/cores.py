"""Number of usable CPU cores: CPU affinity, cgroup quota and user settings."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from genmint.common.errors import ConfigError

THREADS = "OMP_NUM_THREADS"
_WORKERS = "GENMINT_WORKERS"

# Root of /proc and /sys; tests replace it.
ROOT = Path("/")


def cores() -> int:
    """Return the number of CPU cores that this process may use, 1 or more.

    It is the smaller of the affinity mask and the CPU quota of the cgroups around the process
    (version 1 and 2, as in containers). The quota is rounded up, because 1.5 cores keep two threads
    busier than one.
    """
    allowed = affinity()
    limit = quota()
    return allowed if limit is None else max(1, min(allowed, math.ceil(limit)))


def affinity() -> int:
    """Return the number of cores in the CPU affinity mask of this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota() -> float | None:
    """Return the CPU quota of the cgroups around this process, in cores; None without a limit."""
    return min(_limits(), default=None)


def threads_setting() -> int | None:
    """Return the number of threads from `OMP_NUM_THREADS`; None if it is unset or empty.

    OpenMP allows a list with one number per nesting level; the first one is used.

    Raises:
        ConfigError: the value is not a list of integers from 1 on. Libraries would print a warning
            and use all cores.
    """
    text = os.environ.get(THREADS, "").strip()
    if not text:
        return None
    numbers = [each.strip() for each in text.split(",")]
    if not all(each.isdecimal() and int(each) > 0 for each in numbers):
        raise ConfigError(f"{THREADS}={text}: give the number of threads, 1 or more, or unset it")
    return int(numbers[0])


def share(processes: int = 1) -> int:
    """Return the threads for each of `processes` concurrent processes, 1 or more.

    `GENMINT_WORKERS` commands, each with that many processes, share the cores.

    Raises:
        ConfigError: `GENMINT_WORKERS` is not an integer from 1 on.
    """
    workers = os.environ.get(_WORKERS, "1")
    if not workers.isdecimal() or int(workers) < 1:
        raise ConfigError(
            f"{_WORKERS}={workers}: give the number of concurrent training runs, 1 or more"
        )
    return max(1, cores() // (int(workers) * processes))


def limit_libraries() -> None:
    """Limit the threads of numerical libraries to the CPU quota; call before they are loaded.

    The libraries respect the affinity mask but not the quota. Threads beyond the quota stall all
    threads for the rest of each period. Without a quota, or if `OMP_NUM_THREADS` is set, nothing
    changes.

    Raises:
        ConfigError: `OMP_NUM_THREADS` or `GENMINT_WORKERS` is not a valid number.
    """
    if threads_setting() is not None:
        return
    # OpenMP warns about an empty value.
    os.environ.pop(THREADS, None)
    if cores() < affinity():
        os.environ[THREADS] = str(share())


def _limits() -> Iterator[float]:
    """Yield the CPU limit, in cores, of each cgroup around this process that has one."""
    try:
        lines = (ROOT / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounts = ["", "unified"]
        elif "cpu" in controllers.split(","):
            mounts = ["cpu", controllers]
        else:
            continue
        for mount in mounts:
            top = ROOT / "sys/fs/cgroup" / mount
            group = top / path.lstrip("/")
            # In a container the path may be the host's, which is not visible from inside.
            for folder in (group, *group.parents):
                if folder.is_relative_to(top):
                    yield from _limit(folder)


def _limit(folder: Path) -> Iterator[float]:
    """Yield quota divided by period of one cgroup, if it has a quota."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            text = " ".join((folder / name).read_text(encoding="ascii") for name in names)
        except OSError:
            continue
        allowed, period = text.split()
        if allowed.isdecimal() and int(period) > 0:
            yield int(allowed) / int(period)
