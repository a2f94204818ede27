"""Progress display of a training run: a bar in a terminal, else a line every ten seconds."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

# Seconds between two updates, for a terminal and for a log.
_BAR_EVERY, _LINE_EVERY = 0.25, 10.0


class TrainingProgress:
    """Displays loss, throughput and remaining time on stderr.

    Reading the loss synchronises with the device, so `due` tells when an update is needed.
    """

    def __init__(
        self,
        name: str,
        steps: int,
        unit: str,
        stream: TextIO | None = None,
        *,
        begin: int = 0,
        quiet: bool = False,
    ) -> None:
        """Prepare the display for the steps from `begin` to `steps`.

        `name` is the name of the model, `unit` that of its throughput. `quiet` measures time only.
        """
        self._name = name
        self._steps = steps
        self._unit = unit
        self._stream = stream or sys.stderr
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if not quiet and self._stream.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TextColumn("{task.fields[shown]}"),
                TimeRemainingColumn(),
                console=Console(file=self._stream),
                transient=True,
            )
            self._task = self._bar.add_task(name, total=steps, completed=begin, shown="")
        self._interval = _LINE_EVERY if self._bar is None else _BAR_EVERY
        if quiet:
            self._interval = math.inf
        self._started = self._last = time.monotonic()
        self._amount = self._done = 0

    def __enter__(self) -> Self:
        """Start the clock, and the bar if there is one."""
        self._started = self._last = time.monotonic()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the terminal."""
        if self._bar is not None:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def due(self, amount: int) -> bool:
        """Count a step of `amount` items or symbols; return whether `show` is due."""
        self._amount += amount
        self._done += 1
        return time.monotonic() - self._last >= self._interval

    def show(self, step: int, loss: float) -> None:
        """Display the state after `step` steps."""
        self._last = time.monotonic()
        rate = self._amount / max(self.seconds, 1e-9)
        shown = f"loss {loss:.4g}, {rate:,.0f} {self._unit}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, shown=shown)
            return
        # Based on the steps of this process, since the run may have been resumed and may go back.
        left = self.seconds / max(self._done, 1) * (self._steps - step)
        line = f"{self._name}: step {step}/{self._steps}, {shown}, {left:.0f} s left"
        self._stream.write(line + "\n")
        self._stream.flush()
