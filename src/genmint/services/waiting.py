"""States of task runs that wait, so that Prefect's pages do not show them as work.

A task run of Prefect 3 sets its states itself and reports each one by an event, of which the server
keeps the last. The states here have the type Pending and their own names. The time in them does not
count as run time. States of flow runs are left alone: the reaction to crashes depends on them.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any, cast

from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.context import TaskRunContext
from prefect.states import Running
from prefect.utilities.engine import emit_task_run_state_change_event

from genmint.common.file_lock import is_wait_message
from genmint.flow.stage import Say, awaits_dvc_lock, brings_result

CORES = "AwaitingCores"
LOCK = "AwaitingLock"
WORKER = "AwaitingWorker"

# A task run that has worked for less than this began when its wait was over.
_NOT_YET_WORK = datetime.timedelta(seconds=1)


class Wait:
    """Wait of the task run of this thread, which may begin and end several times in a `with` block.

    Outside of a task run, nothing happens.
    """

    def __init__(self, name: str) -> None:
        """`name` is the name of the state while it waits."""
        self._name = name
        self._run: TaskRun | None = None

    def __enter__(self) -> Wait:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self, message: str | None = None) -> None:
        """Show the task run as waiting, if it is not yet; `message` says what for."""
        context = TaskRunContext.get()
        if self._run is None and context is not None:
            self._run = context.task_run
            _set(self._run, State(type=StateType.PENDING, name=self._name, message=message))

    def end(self) -> None:
        """Show the task run as running again, if it waits."""
        run, self._run = self._run, None
        if run is not None:
            running: State[Any] = Running()
            if run.total_run_time < _NOT_YET_WORK:
                run.start_time = cast(Any, running.timestamp)
            _set(run, running)


@contextlib.contextmanager
def waiting(name: str) -> Iterator[None]:
    """Show the task run of this thread as waiting in the `with` block, by a state of this name."""
    with Wait(name) as wait:
        wait.begin()
        yield


@contextlib.contextmanager
def showing_locks(say: Say) -> Iterator[Say]:
    """Yield a wrapper of `say` that shows the task run as waiting while a stage waits for a lock.

    The lines that `say` gets are those that DVC and the stages print; they name the lock.
    """
    with Wait(LOCK) as wait:
        by_dvc = False

        def hear(line: str) -> None:
            nonlocal by_dvc
            if awaits_dvc_lock(line) or is_wait_message(line):
                by_dvc = awaits_dvc_lock(line)
                wait.begin(line)
            # DVC's message has several lines, and it is started again until it has the lock.
            elif not by_dvc or brings_result(line):
                by_dvc = False
                wait.end()
            say(line)

        yield hear


def _set(run: TaskRun, state: State[Any]) -> None:
    """Set the state of a task run as Prefect's engine does, without counting another attempt."""
    last = run.state
    assert last is not None
    if last.is_running():
        run.total_run_time += state.timestamp - last.timestamp
    state.state_details.task_run_id = run.id
    state.state_details.flow_run_id = run.flow_run_id
    run.state = state
    run.state_id, run.state_type, run.state_name = state.id, state.type, state.name
    emit_task_run_state_change_event(task_run=run, initial_state=last, validated_state=state)
