"""Stages of the graph, run by DVC in a child that ends with this process."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genmint.errors import FAILURE_FILE, GenmintError, TemporaryError
from genmint.flow import keeper
from genmint.programs import NOT_INHERITED
from genmint.project import Project
from genmint.rwlock import mend_rwlock
from genmint.training.device_lock import DEVICE, NO_DEVICE

Result = Literal["ran", "cached", "unchanged"]
Say = Callable[[str], None]

# Two processes of DVC in one checkout: one loses, and says so in one of these ways.
_BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
_LOCK_SECONDS = 300.0
# By its file, since the code of the checkout may be older than it.
_KEEPER = (sys.executable, "-I", keeper.__file__)
_KEPT_LINES = 40

_SAID: tuple[tuple[re.Pattern[str], Result], ...] = (
    (re.compile(r"^Running stage '([^']+)'"), "ran"),
    (re.compile(r"^Stage '([^']+)' is cached - skipping run"), "cached"),
    (re.compile(r"^Stage '([^']+)' didn't change, skipping"), "unchanged"),
)
# DVC's advice to people, which nobody follows in a flow.
_ADVICE = (
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.",
    "Use `dvc push`",
)
# DVC's own words for a stage that was killed: nothing is wrong with it.
_KILLED = re.compile(r"exited with -\d+|exited with (?:130|137|143)\b")


@dataclass(frozen=True)
class Outcome:
    """What DVC did about a stage.

    Attributes:
        stage: its name.
        result: ran; cached (its outputs were in DVC's cache); unchanged (they lay here).
        seconds: from the end of the stage before it to its own, DVC's part included.
    """

    stage: str
    result: Result
    seconds: float


class StageError(GenmintError):
    """A stage that failed.

    Attributes:
        stage: its name.
        message: what it printed, without its name.
        heals: whether the same again may succeed: a lock, the network, the tracker, a kill.
        kinds: names of the classes of genmint's error, if it was one of genmint's.
    """

    def __init__(self, stage: str, message: str, *, heals: bool, kinds: Sequence[str] = ()) -> None:
        super().__init__(f"{stage}: {message}")
        self.stage = stage
        self.message = message
        self.heals = heals
        self.kinds = tuple(kinds)

    def having(self, message: str) -> StageError:
        """The same failure in other words."""
        return StageError(self.stage, message, heals=self.heals, kinds=self.kinds)


def heals(error: object) -> bool:
    """Whether the same again may succeed: a lock, the network, the tracker, a process killed.

    Bad data, a wrong configuration and a training that failed stay as they are.
    """
    return isinstance(error, TemporaryError) or (isinstance(error, StageError) and error.heals)


class Crew:
    """The commands that a flow runs, so that all can be ended with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._over = False

    def start(self, project: Project, command: Sequence[str], env: dict[str, str]) -> Any:
        """Start a command under a keeper of its own.

        Raises:
            GenmintError: the flow is ending.
        """
        with self._lock:
            if self._over:
                raise GenmintError("the flow is ending, so nothing more is started")
            process = subprocess.Popen(
                [*_KEEPER, *command],
                cwd=project.root,
                env=env,
                # Nothing is ever written to it: it closes when this process is gone.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        return process

    def forget(self, process: Any) -> None:
        """Let go of a command that has ended, or end it."""
        process.terminate()
        process.wait()
        with self._lock:
            self._running.discard(process)
        process.stdin.close()
        process.stdout.close()

    def end(self) -> None:
        """Ask all to end, as Ctrl-C does: a training saves its state. Nothing more is started."""
        with self._lock:
            self._over = True
            running = list(self._running)
        for process in running:
            process.terminate()


def reproduce(
    project: Project,
    stages: Sequence[str],
    *,
    crew: Crew,
    say: Say,
    force: Collection[str] = (),
    may_train: bool = True,
    pull: bool = False,
    threads: int | None = None,
) -> list[Outcome]:
    """Let DVC bring these stages up to date, and none that they rest on.

    Args:
        project: the checkout.
        stages: in the order in which they depend on each other.
        crew: that the command belongs to.
        say: is given each line that DVC and the stages print.
        force: verbs of those that run also where nothing changed.
        may_train: if false, results come from DVC's cache or not at all.
        pull: fetch from DVC's remote what its cache lacks.
        threads: that each of them may compute with; None leaves it to the environment.

    Raises:
        StageError: one failed; those before it are done.
    """
    env = {} if may_train else {DEVICE: NO_DEVICE}
    if threads is not None:
        env["OMP_NUM_THREADS"] = str(threads)
    outcomes: list[Outcome] = []
    # DVC forces all that it is given, or nothing.
    for forced, part in itertools.groupby(stages, lambda stage: stage.partition("@")[0] in force):
        options = [*(["--force"] if forced else []), *(["--pull"] if pull else [])]
        outcomes += _brought_up_to_date(project, list(part), options, crew=crew, say=say, env=env)
    return outcomes


def _brought_up_to_date(
    project: Project,
    stages: Sequence[str],
    options: Sequence[str],
    *,
    crew: Crew,
    say: Say,
    env: dict[str, str],
) -> list[Outcome]:
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", *options, *stages]
    begun = time.monotonic()
    deadline = begun + _LOCK_SECONDS
    results: dict[str, Result] = {}
    begins: dict[str, float] = {}

    def hear(line: str) -> None:
        for stage in _results([line]):
            begins.setdefault(stage, time.monotonic())
        say(line)

    while True:
        mended = mend_rwlock(project)
        if mended is not None:
            say(mended)
        done = run(project, command, crew=crew, env=env, say=hear)
        results |= _results(done.lines)
        if done.code == 0:
            break
        failure = _failure(done, stages)
        if done.failure is not None or not _is_busy(done) or time.monotonic() > deadline:
            raise failure
        time.sleep(random.uniform(0.1, 0.6))  # noqa: S311 - so that two do not meet again
    # DVC says nothing of the end of a stage: it is where the next one begins.
    ends = [begins.get(stage, begun) for stage in stages[1:]] + [time.monotonic()]
    outcomes = []
    for stage, end in zip(stages, ends, strict=True):
        outcomes.append(Outcome(stage, results.get(stage, "unchanged"), max(0.0, end - begun)))
        begun = max(begun, end)
    return outcomes


@dataclass(frozen=True)
class Done:
    """How a command ended.

    Attributes:
        code: its exit code.
        lines: the last of what it printed, and every line about what DVC does.
        failure: kinds and message of genmint's error, if it was one.
    """

    code: int
    lines: list[str]
    failure: tuple[tuple[str, ...], str] | None


def run(
    project: Project,
    command: Sequence[str],
    *,
    crew: Crew,
    say: Say,
    env: dict[str, str] | None = None,
) -> Done:
    """Run a command with the code of a checkout, so that it ends when this process does."""
    with tempfile.TemporaryDirectory(prefix="genmint-") as scratch:
        failure = Path(scratch) / "failure.json"
        known = environment(project) | (env or {}) | {FAILURE_FILE: str(failure)}
        process = crew.start(project, command, known)
        telling: list[str] = []
        last: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            for raw in process.stdout:
                line = raw.rstrip()
                (telling if _results([line]) else last).append(line)
                if line and not line.lstrip().startswith(_ADVICE):
                    say(line)
            code = process.wait()
        finally:
            crew.forget(process)
        return Done(code, [*telling, *last], _read_failure(failure))


def environment(project: Project) -> dict[str, str]:
    """Environment of a command that is to run the code of a checkout, not the installed one."""
    env = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    source = str(project.root / "src")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [source, env.get("PYTHONPATH")]))
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    env["PYTHONUNBUFFERED"] = "1"
    env["GIT_TERMINAL_PROMPT"] = "0"
    env["DVC_NO_ANALYTICS"] = env.get("DVC_NO_ANALYTICS", "1")
    return env


def _results(lines: Sequence[str]) -> dict[str, Result]:
    found: dict[str, Result] = {}
    for line in lines:
        for known, result in _SAID:
            match = known.match(line)
            if match:
                found[match.group(1)] = result
    return found


def _failure(done: Done, stages: Sequence[str]) -> StageError:
    begun = [stage for stage in stages if stage in _results(done.lines)]
    stage = begun[-1] if begun else stages[0]
    if done.failure is not None:
        kinds, message = done.failure
        return StageError(stage, message, heals=TemporaryError.__name__ in kinds, kinds=kinds)
    text = "\n".join(done.lines)
    errors = [line.removeprefix("ERROR: ") for line in done.lines if line.startswith("ERROR")]
    said = "; ".join(errors) or (done.lines[-1] if done.lines else f"exit code {done.code}")
    heals = _is_busy(done) or done.code in (130, 137, 143) or bool(_KILLED.search(text))
    return StageError(stage, said, heals=heals)


def _is_busy(done: Done) -> bool:
    return any(said in line for line in done.lines for said in _BUSY)


def _read_failure(path: Path) -> tuple[tuple[str, ...], str] | None:
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return tuple(content["kinds"]), str(content["message"])
