"""Handling of SIGTERM and SIGHUP like Ctrl-C, so that temporary files are removed."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_FINALISE = 0.01


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """In the `with` block, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread.

    Python discards exceptions raised while it finalises an object. A KeyboardInterrupt lost that
    way, also one of Ctrl-C, is raised again shortly afterwards.

    Signals that are ignored (nohup) or already handled are left unchanged. In other threads nothing
    changes, since Python handles signals in the main thread only.
    """
    replaced = []
    hook = sys.unraisablehook
    if threading.current_thread() is threading.main_thread():
        replaced = [each for each in _SIGNALS if signal.getsignal(each) is signal.SIG_DFL]
    for each in replaced:
        signal.signal(each, _interrupt)
    if replaced:
        sys.unraisablehook = functools.partial(_raise_again, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for each in replaced:
            signal.signal(each, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")


def _raise_again(
    hook: Callable[[sys.UnraisableHookArgs], object], lost: sys.UnraisableHookArgs
) -> None:
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        hook(lost)
        return
    message = str(lost.exc_value)

    def again(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        raise KeyboardInterrupt(message)

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_FINALISE)
