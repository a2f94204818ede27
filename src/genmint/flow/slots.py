"""Scheduling of compute slots by the length of the remaining work."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager


class Slots:
    """Limit on concurrent threads; waiting ones are admitted by weight, ties in order of arrival.

    Longest processing time first keeps the total time short (Graham 1969).
    """

    def __init__(self, count: int) -> None:
        """Admit `count` threads, 1 or more, at a time."""
        self._free = count
        self._slot_freed = threading.Condition()
        self._waiting: list[tuple[float, int]] = []
        self._number = itertools.count()

    @contextlib.contextmanager
    def taken(
        self, weight: float = 0.0, waiting: AbstractContextManager[None] | None = None
    ) -> Iterator[None]:
        """Wait for a slot and hold it in the `with` block.

        Args:
            weight: priority: time in seconds of the work that depends on this thread.
            waiting: entered while this thread waits, if it has to.
        """
        with self._slot_freed:
            mine = (-weight, next(self._number))
            heapq.heappush(self._waiting, mine)

            def is_next() -> bool:
                return self._free > 0 and self._waiting[0] == mine

            try:
                with waiting if waiting and not is_next() else contextlib.nullcontext():
                    self._slot_freed.wait_for(is_next)
            except BaseException:
                self._waiting.remove(mine)
                heapq.heapify(self._waiting)
                self._slot_freed.notify_all()
                raise
            heapq.heappop(self._waiting)
            self._free -= 1
            # There may be a free slot for the next one, too.
            self._slot_freed.notify_all()
        try:
            yield
        finally:
            with self._slot_freed:
                self._free += 1
                self._slot_freed.notify_all()
