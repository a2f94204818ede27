"""Execution of stages by DVC in a child process that ends with this process."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genmint.common.dvc_rwlock import repair_rwlock
from genmint.common.errors import FAILURE_FILE, GenmintError, TemporaryError
from genmint.common.files import scratch_dir
from genmint.common.programs import clean_environment
from genmint.common.project import Project
from genmint.flow import keeper
from genmint.training.device_lock import DEVICE, NO_DEVICE

Result = Literal["ran", "cached", "unchanged"]
Say = Callable[[str], None]

# Messages of DVC if another DVC process uses the same checkout.
_BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
_LOCK_SECONDS = 300.0
# Called by its file path, since the code of the checkout may be older.
_KEEPER = (sys.executable, "-I", keeper.__file__)
_KEPT_LINES = 40

_RESULT_LINES: tuple[tuple[re.Pattern[str], Result], ...] = (
    (re.compile(r"^Running stage '([^']+)'"), "ran"),
    (re.compile(r"^Stage '([^']+)' is cached - skipping run"), "cached"),
    (re.compile(r"^Stage '([^']+)' didn't change, skipping"), "unchanged"),
)
# DVC's hints for interactive use, which do not apply to a flow.
_ADVICE = (
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.",
    "Use `dvc push`",
)
# DVC's messages for a stage that was killed, which is not an error of the stage.
_KILLED = re.compile(r"exited with -\d+|exited with (?:130|137|143)\b")


@dataclass(frozen=True)
class StageOutcome:
    """What DVC did for a stage.

    Attributes:
        stage: name of the stage.
        result: ran; cached (outputs came from the DVC cache); unchanged (outputs were up to date).
        seconds: time from the end of the previous stage to its own end, including DVC's overhead.
    """

    stage: str
    result: Result
    seconds: float


class StageError(GenmintError):
    """A stage that failed.

    Attributes:
        stage: name of the stage.
        message: its error message, without its name.
        is_transient: whether a retry may succeed: a lock, the network, the tracker, a kill.
        kinds: class names of the genmint error; empty for other errors.
    """

    def __init__(
        self, stage: str, message: str, *, is_transient: bool, kinds: Sequence[str] = ()
    ) -> None:
        super().__init__(f"{stage}: {message}")
        self.stage = stage
        self.message = message
        self.is_transient = is_transient
        self.kinds = tuple(kinds)

    def having(self, message: str) -> StageError:
        """Return the same failure with another message."""
        return StageError(self.stage, message, is_transient=self.is_transient, kinds=self.kinds)


def is_transient(error: object) -> bool:
    """Return whether a retry may succeed: a lock, the network, the tracker, a killed process.

    Bad data, a wrong configuration and a failed training run are not retried.
    """
    return isinstance(error, TemporaryError) or (
        isinstance(error, StageError) and error.is_transient
    )


class ProcessGroup:
    """Process group of the commands that a flow runs, so that all of them can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._over = False

    def start(self, project: Project, command: Sequence[str], env: dict[str, str]) -> Any:
        """Start a command under its own keeper process.

        Raises:
            GenmintError: the flow is ending.
        """
        with self._lock:
            if self._over:
                raise GenmintError("the flow is ending, so no command is started")
            process = subprocess.Popen(
                [*_KEEPER, *command],
                cwd=project.root,
                env=env,
                # Never written to; it closes when this process ends.
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
        """Terminate a command if it is running, and release it."""
        process.terminate()
        process.wait()
        with self._lock:
            self._running.discard(process)
        process.stdin.close()
        process.stdout.close()

    def end(self) -> None:
        """Request the end of all commands, as Ctrl-C does, and prevent further starts.

        A training run then saves its state.
        """
        with self._lock:
            self._over = True
            running = list(self._running)
        for process in running:
            process.terminate()


def reproduce(
    project: Project,
    stages: Sequence[str],
    *,
    process_group: ProcessGroup,
    say: Say,
    force: Collection[str] = (),
    may_train: bool = True,
    pull: bool = False,
    threads: int | None = None,
) -> list[StageOutcome]:
    """Let DVC bring these stages up to date, without their dependencies.

    Args:
        project: the checkout.
        stages: stages in the order of their dependencies.
        process_group: process group of the command.
        say: called with each line that DVC and the stages print.
        force: verbs of the stages that run even if nothing changed.
        may_train: if False, training results come from the DVC cache or the stage fails.
        pull: fetch files that the cache lacks from the DVC remote.
        threads: number of threads per stage; None uses the environment.

    Raises:
        StageError: a stage failed; the stages before it are done.
    """
    env = {} if may_train else {DEVICE: NO_DEVICE}
    if threads is not None:
        env["OMP_NUM_THREADS"] = str(threads)
    outcomes: list[StageOutcome] = []
    # DVC's --force applies to all given stages, so forced and other stages run separately.
    for forced, part in itertools.groupby(stages, lambda stage: stage.partition("@")[0] in force):
        options = [*(["--force"] if forced else []), *(["--pull"] if pull else [])]
        outcomes += _brought_up_to_date(
            project, list(part), options, process_group=process_group, say=say, env=env
        )
    return outcomes


def _brought_up_to_date(
    project: Project,
    stages: Sequence[str],
    options: Sequence[str],
    *,
    process_group: ProcessGroup,
    say: Say,
    env: dict[str, str],
) -> list[StageOutcome]:
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", *options, *stages]
    began = time.monotonic()
    deadline = began + _LOCK_SECONDS
    results: dict[str, Result] = {}
    begins: dict[str, float] = {}

    def hear(line: str) -> None:
        for stage in _results([line]):
            begins.setdefault(stage, time.monotonic())
        say(line)

    while True:
        repaired = repair_rwlock(project)
        if repaired is not None:
            say(repaired)
        done = run(project, command, process_group=process_group, env=env, say=hear)
        # Stages that ran before DVC met another process are now reported as unchanged.
        ran = {stage: result for stage, result in results.items() if result == "ran"}
        results |= _results(done.lines) | ran
        if done.code == 0:
            break
        failure = _failure(done, stages)
        if done.failure is not None or not _is_busy(done) or time.monotonic() > deadline:
            raise failure
        time.sleep(random.uniform(0.1, 0.6))  # noqa: S311 - so that two do not meet again
    # DVC does not report the end of a stage, so the start of the next one is used.
    ends = [begins.get(stage, began) for stage in stages[1:]] + [time.monotonic()]
    outcomes = []
    for stage, end in zip(stages, ends, strict=True):
        outcomes.append(StageOutcome(stage, results.get(stage, "unchanged"), max(0.0, end - began)))
        began = max(began, end)
    return outcomes


@dataclass(frozen=True)
class Done:
    """Result of a command.

    Attributes:
        code: exit code.
        lines: last lines of its output, and every line about DVC's actions.
        failure: class names and message of the genmint error, None for other results.
    """

    code: int
    lines: list[str]
    failure: tuple[tuple[str, ...], str] | None


def run(
    project: Project,
    command: Sequence[str],
    *,
    process_group: ProcessGroup,
    say: Say,
    env: dict[str, str] | None = None,
) -> Done:
    """Run a command with the code of a checkout; it ends when this process ends."""
    with scratch_dir() as scratch:
        failure = scratch / "failure.json"
        known = checkout_environment(project) | (env or {}) | {FAILURE_FILE: str(failure)}
        process = process_group.start(project, command, known)
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
            process_group.forget(process)
        return Done(code, [*telling, *last], _read_failure(failure))


def checkout_environment(project: Project) -> dict[str, str]:
    """Return the environment for running a checkout's code instead of the installed one."""
    env = clean_environment()
    source = str(project.root / "src")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [source, env.get("PYTHONPATH")]))
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    env["PYTHONUNBUFFERED"] = "1"
    env["GIT_TERMINAL_PROMPT"] = "0"
    env["DVC_NO_ANALYTICS"] = env.get("DVC_NO_ANALYTICS", "1")
    return env


def started_stage(line: str) -> str | None:
    """Return the stage that DVC starts to run according to an output line, else None."""
    return next((stage for stage, result in _results([line]).items() if result == "ran"), None)


def brings_result(line: str) -> bool:
    """Return whether DVC starts a stage, or has its result, according to an output line."""
    return bool(_results([line]))


def awaits_dvc_lock(line: str) -> bool:
    """Return whether an output line is DVC's message that another DVC process has the lock."""
    return any(text in line for text in _BUSY)


def _results(lines: Sequence[str]) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for line in lines:
        for known, result in _RESULT_LINES:
            match = known.match(line)
            if match:
                results[match.group(1)] = result
    return results


def _failure(done: Done, stages: Sequence[str]) -> StageError:
    started = [stage for stage in stages if stage in _results(done.lines)]
    stage = started[-1] if started else stages[0]
    if done.failure is not None:
        kinds, message = done.failure
        return StageError(
            stage, message, is_transient=TemporaryError.__name__ in kinds, kinds=kinds
        )
    text = "\n".join(done.lines)
    errors = [line.removeprefix("ERROR: ") for line in done.lines if line.startswith("ERROR")]
    reason = "; ".join(errors) or (done.lines[-1] if done.lines else f"exit code {done.code}")
    is_transient = _is_busy(done) or done.code in (130, 137, 143) or bool(_KILLED.search(text))
    return StageError(stage, reason, is_transient=is_transient)


def _is_busy(done: Done) -> bool:
    return any(awaits_dvc_lock(line) for line in done.lines)


def _read_failure(path: Path) -> tuple[tuple[str, ...], str] | None:
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return tuple(content["kinds"]), str(content["message"])
