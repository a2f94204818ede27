"""Repetition of a registry write that another process got ahead of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from genmint.common.errors import GenmintError

# Every failed attempt means that another process moved the champion; so many indicate a fault.
_ATTEMPTS = 50
_SECONDS = 0.05

T = TypeVar("T")


def retry_on_conflict(
    attempt: Callable[[], T | None],
    failure: Callable[[int], GenmintError],
    *,
    attempts: int | None = None,
    seconds: float = _SECONDS,
) -> T:
    """Repeat an attempt until it has a result, and return the result.

    Args:
        attempt: reads, decides and writes once; None if another process wrote in between, so that
            the decision no longer holds.
        failure: returns the error to raise after so many attempts.
        attempts: number of attempts; None for as many as a move of the champion gets.
        seconds: pause between two attempts.

    Raises:
        GenmintError: other processes kept writing; it is that of `failure`.
    """
    attempts = attempts or _ATTEMPTS
    for _ in range(attempts):
        result = attempt()
        if result is not None:
            return result
        time.sleep(seconds)
    raise failure(attempts)
