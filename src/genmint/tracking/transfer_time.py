"""Timeouts for transferring files of a given size to and from MLflow's server."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

# MLflow reads this variable at each request and has no other setting for it.
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
# A server responds once its store has the whole file. Base time in seconds, and the minimum
# throughput in bytes per second.
_PATIENCE_SECONDS = 120
_SLOWEST_STORE = 1_000_000

_alone = threading.RLock()


def seconds_for(size: int) -> int:
    """Return the seconds that a server may take to store or fetch `size` bytes."""
    return _PATIENCE_SECONDS + size // _SLOWEST_STORE


@contextlib.contextmanager
def time_for(size: int) -> Iterator[int]:
    """Extend MLflow's request timeout to what `size` bytes need, unless it is longer already.

    Yields:
        Timeout of each request in seconds.
    """
    with _alone:
        before = os.environ.get(_TIMEOUT)
        seconds = max(int(before or 0), seconds_for(size))
        os.environ[_TIMEOUT] = str(seconds)
        try:
            yield seconds
        finally:
            if before is None:
                del os.environ[_TIMEOUT]
            else:
                os.environ[_TIMEOUT] = before
