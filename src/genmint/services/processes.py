"""Child processes that end with the supervisor, and finding the processes it started."""

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

# Environment variable of all direct and indirect children of a supervisor: its state folder.
MARK = "GENMINT_SERVICES"
FLOW_RUN = "PREFECT__FLOW_RUN_ID"

_POLLS_WITHOUT_ANY = 3
_SECONDS_BETWEEN_POLLS = 0.1
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_LONGEST_LOG_BYTES = 50_000_000
# After this run time a child counts as healthy, and its next restart is immediate.
_HEALTHY_SECONDS = 60.0


@dataclass
class Child:
    """A server or worker, restarted with increasing pauses when it ends.

    Attributes:
        name: display name.
        arguments: program and its arguments.
        env: complete environment.
        cwd: working directory.
        log: file that its output is appended to.
        user: user that it runs as under root; None: the user of the supervisor.
        before: called before each start.
        polite: signal that requests a shutdown.
        starts: number of starts so far.
        process: current process.
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
        """Start it in its own session, so that Ctrl-C reaches the supervisor only.

        Must be called by the main thread, since the kernel kills the child when the calling thread
        ends.
        """
        self.before()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LONGEST_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        options = ["--parent", str(os.getpid())]
        if self.user is not None:
            options += ["--user", self.user]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "genmint.services.die_with_parent",
                    *options,
                    *self.arguments,
                ],
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
        """Process id while it is running, else None."""
        return None if self.process is None or self.process.poll() is not None else self.process.pid

    def died(self) -> int | None:
        """Return the exit status if the process has ended since the last call, else None."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        # Remaining child processes would block its port or device for the next start.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if time.monotonic() - self._started > _HEALTHY_SECONDS:
            self._pause = _FIRST_PAUSE_SECONDS
        self.process = None
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return status

    def restart_when_due(self) -> bool:
        """Restart it if it is down and its pause is over; return whether it was started."""
        if self.process is not None or time.monotonic() < self._next:
            return False
        self.start()
        return True

    def ask_to_end(self) -> None:
        """Send the signal `polite` to the process only, not to its children."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.polite)

    def end(self, patience: float) -> None:
        """Wait up to `patience` seconds for it, then kill its process group."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


def start_watchdog(mark: str, settings: Path) -> subprocess.Popen[bytes]:
    """Start the cleanup watchdog, which kills all processes with `mark` when this one dies.

    It then also removes the file `settings` (see that module).

    Closing its standard input has the same effect.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "genmint.services.cleanup_watchdog", mark, str(settings)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def marked(mark: str) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yield every live process of this user that carries `mark`, with its environment.

    This process and its ancestors are excluded, since they may run inside other services.
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
    """Return the ids of flow runs that a worker is running, and of all with any process.

    A stage may outlive its flow briefly. Only a child of a worker, which itself belongs to no run,
    keeps a run alive.
    """
    run_of, parents = {}, []
    for process, env in marked(mark):
        run_of[process.pid] = env.get(FLOW_RUN)
        with contextlib.suppress(psutil.Error):
            parents.append((env.get(FLOW_RUN), process.ppid()))
    led = {run for run, parent in parents if run and run_of.get(parent, run) is None}
    return led, {run for run in run_of.values() if run}


def kill_marked(mark: str, flow_run: str | None = None) -> int:
    """Kill all processes with `mark` (of one flow run, if given); return their number."""
    killed, without_any = set(), 0
    while without_any < _POLLS_WITHOUT_ANY:
        processes = [p for p, env in marked(mark) if flow_run in (None, env.get(FLOW_RUN))]
        without_any = 0 if processes else without_any + 1
        for process in processes:
            killed.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_SECONDS_BETWEEN_POLLS)
    return len(killed)
