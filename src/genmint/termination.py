"""SIGTERM and SIGHUP end a command as Ctrl-C does, so that it removes its temporary files."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread.

    A signal that is ignored (nohup) or handled already stays as it is. In a thread other than the
    main one nothing changes, since Python handles signals in the main thread alone.
    """
    replaced = []
    if threading.current_thread() is threading.main_thread():
        replaced = [each for each in _SIGNALS if signal.getsignal(each) is signal.SIG_DFL]
    for each in replaced:
        signal.signal(each, _interrupt)
    try:
        yield
    finally:
        for each in replaced:
            signal.signal(each, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")
