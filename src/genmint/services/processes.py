"""Child processes that never outlive the supervisor, and how to find what belongs to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# In the environment of everything that a supervisor started, however deep: its state folder.
MARK = "GENMINT_SERVICES"
FLOW_RUN = "PREFECT__FLOW_RUN_ID"

_LOOKS_WITHOUT_ANY = 3
_SECONDS_BETWEEN_LOOKS = 0.1
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_LONGEST_LOG_BYTES = 50_000_000
# One that ran so long is healthy: its next restart is at once again.
_HEALTHY_SECONDS = 60.0


@dataclass
class Child:
    """A server or worker, restarted with growing pauses when it ends.

    Attributes:
        name: for people.
        arguments: program and its arguments.
        env: all of its environment.
        cwd: where it runs.
        log: file that its output is added to.
        user: whom root makes it run as; None: whoever runs the supervisor.
        before: what is done before each start.
        polite: the signal that asks it to end.
        starts: how often it was started.
        process: the present one.
    """

    name: str
    arguments: Sequence[str]
    env: dict[str, str]
    cwd: Path
    log: Path
    user: str | None = None
    before: Callable[[], None] = lambda: None
    polite: int = signal.SIGTERM
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _pause: float = _FIRST_PAUSE_SECONDS
    _next: float = field(default=0.0)

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the supervisor alone.

        Must be called by the main thread: the kernel ends the child when the calling thread ends.
        """
        self.before()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LONGEST_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        user = () if self.user is None else ("--user", self.user)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "genmint.services.mortal", *user, *self.arguments],
                env=self.env,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self._started = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self.process is None or self.process.poll() is not None else self.process.pid

    def died(self) -> int | None:
        """The exit status of a process that ended since the last call; None if it did not."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        # Its own children would hold its port or its device against the next one.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if time.monotonic() - self._started > _HEALTHY_SECONDS:
            self._pause = _FIRST_PAUSE_SECONDS
        self.process = None
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return status

    def restart_when_due(self) -> bool:
        """Start it again if it is down and its pause is over; whether it did."""
        if self.process is not None or time.monotonic() < self._next:
            return False
        self.start()
        return True

    def ask_to_end(self) -> None:
        """Send `polite` to it alone; its children are its own affair."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.polite)

    def end(self, patience: float) -> None:
        """Wait `patience` seconds for it, then kill its whole session group."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


def start_warden(mark: str, settings: Path) -> subprocess.Popen[bytes]:
    """Start the process that kills what carries `mark` when this one dies, in whatever way.

    It then removes the file `settings` (see that module), too.

    Closing its standard input has the same effect.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "genmint.services.warden", mark, str(settings)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def marked(mark: str) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Every living process of this user that carries `mark`, with its environment.

    Not this process and not its ancestors, which may be running inside other services.
    """
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        with contextlib.suppress(psutil.Error):
            env = process.environ()
            if env.get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process, env


def flow_runs(mark: str) -> tuple[set[str], set[str]]:
    """Ids of the flow runs that a worker is running, and of those that have any process at all.

    A stage may outlive its flow for a moment, and is then nobody's: only a child of a worker, which
    itself belongs to no run, keeps a run alive.
    """
    run_of, parents = {}, []
    for process, env in marked(mark):
        run_of[process.pid] = env.get(FLOW_RUN)
        with contextlib.suppress(psutil.Error):
            parents.append((env.get(FLOW_RUN), process.ppid()))
    led = {run for run, parent in parents if run and run_of.get(parent, run) is None}
    return led, {run for run in run_of.values() if run}


def kill_marked(mark: str, flow_run: str | None = None) -> int:
    """Kill what carries `mark` (and belongs to one flow run), until none is left; how many."""
    killed, without_any = set(), 0
    while without_any < _LOOKS_WITHOUT_ANY:
        found = [p for p, env in marked(mark) if flow_run in (None, env.get(FLOW_RUN))]
        without_any = 0 if found else without_any + 1
        for process in found:
            killed.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return len(killed)
