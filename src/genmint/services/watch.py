"""Handling of flow runs whose process is gone: marked Crashed, and scheduled again.

Prefect alone leaves such runs Running for ever. `genmint services` monitors only the runs that its
own workers started, since it can see their processes. It ignores runs of manually started workers
and of other machines, whatever their names. Where the servers run, crashed runs are scheduled
again. A lost machine, or a lost manually started worker, is detected by missing heartbeats: see
`alerts.lost_hosts`.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING
from uuid import UUID

from genmint.services.names import is_online
from genmint.services.processes import flow_runs, kill_marked
from genmint.services.run_notes import forget, noted
from genmint.services.scheduled import ScheduledEvents

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

# A run that just ended has no process, but stays Running until Prefect has recorded its end.
_RUNNING_GRACE_SECONDS = 4.0
# A worker reports Pending some seconds before the process exists.
_PENDING_GRACE_SECONDS = 40.0
_FOREIGN_GRACE_SECONDS = 120.0
# A process may take this long to end after its run has ended in Prefect.
_FINAL_GRACE_SECONDS = 30.0
# The worker of a killed run reports Crashed as well, a moment later.
_CRASHED_GRACE_SECONDS = 4.0
# Runs that crashed longer ago are not resumed.
_RESUME_WITHIN = datetime.timedelta(hours=12)
# A limit for runs that crash their worker or machine each time.
MAX_CRASHES = 5
_FIRST_PAUSE_SECONDS = 2
# Maximum page size of Prefect's server.
_MOST_RUNS = 200
RESUMED = "Resumed"
_WORKER_LABEL = "prefect.worker.name"


class Watch:
    """Monitors the flow runs of one machine's workers by repeated checks."""

    def __init__(
        self,
        client: SyncPrefectClient,
        mark: str,
        names: Collection[str],
        *,
        resumes: bool,
        say: Callable[[str], None],
    ) -> None:
        """Monitor the workers of these names, whose processes carry `mark`.

        `resumes`: whether this process reschedules crashed runs of all machines, and sends the
        events that automations lack.
        """
        self._client = client
        self._mark = mark
        self._names = frozenset(names)
        self._resumes = resumes
        self._say = say
        self._missing: dict[UUID, float] = {}
        self._given_up: set[UUID] = set()
        self._runs_here: dict[str, str] = {}
        self._scheduled = ScheduledEvents(client)

    def check(self) -> None:
        """Mark orphaned runs, kill processes of ended runs, and resume crashed runs.

        Raises:
            httpx.HTTPError: Prefect's server does not respond.
        """
        from prefect.client.schemas.objects import StateType

        active = self._active()
        led, touched = flow_runs(self._mark)
        self._forget_ended(active, touched)
        self._mark_orphans(active, {UUID(id_) for id_ in led})
        self._end_zombies({run.id: run for run in active}, {UUID(id_) for id_ in touched})
        if self._resumes:
            self._scheduled.tell_of(active)
            self._resume(self._runs(StateType.CRASHED))

    def abandon(self) -> None:
        """Reschedule all runs of this machine immediately, after its workers were stopped."""
        for run in self._active():
            if self._is_mine(run):
                self._leave(run)

    def _active(self) -> list[FlowRun]:
        """Return all active runs of all machines, and read which of them started here."""
        from prefect.client.schemas.objects import StateType

        self._runs_here = noted(self._mark)
        return self._runs(StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)

    def _forget_ended(self, active: list[FlowRun], touched: set[str]) -> None:
        """Remove the notes of runs that ended or were given to another worker."""
        if len(active) == _MOST_RUNS:
            # The page is full, so there may be more active runs.
            return
        for id_ in self._runs_here.keys() - touched - {str(run.id) for run in active}:
            forget(self._mark, id_)

    def _runs(self, *types: object) -> list[FlowRun]:
        from prefect.client.schemas.filters import (
            FlowRunFilter,
            FlowRunFilterDeploymentId,
            FlowRunFilterEndTime,
            FlowRunFilterState,
            FlowRunFilterStateType,
        )
        from prefect.client.schemas.objects import StateType

        since = datetime.datetime.now(datetime.UTC) - _RESUME_WITHIN
        return self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                # A subflow runs in its parent's process and has no deployment.
                deployment_id=FlowRunFilterDeploymentId(is_null_=False),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))),
                end_time=FlowRunFilterEndTime(after_=since)
                if types == (StateType.CRASHED,)
                else None,
            ),
            limit=_MOST_RUNS,
        )

    def _is_mine(self, run: FlowRun) -> bool:
        """Return whether a worker of this supervisor started the run, or will start it."""
        assert run.state is not None
        worker = run.labels.get(_WORKER_LABEL)
        if worker is None:
            return False
        # The name alone does not prove that it started here: see `run_notes`.
        return self._runs_here.get(str(run.id)) == worker or (
            run.state.is_pending() and worker in self._names
        )

    def _mark_orphans(self, active: list[FlowRun], led: set[UUID]) -> None:
        now = time.monotonic()
        graces = {run.id: self._grace(run) for run in active if run.id not in led}
        orphans = {id_: grace for id_, grace in graces.items() if grace is not None}
        self._missing = {id_: self._missing.get(id_, now) for id_ in orphans}
        for run in active:
            if run.id not in orphans or now - self._missing[run.id] <= orphans[run.id]:
                continue
            del self._missing[run.id]
            if self._is_mine(run) or not self._is_with_a_worker(run):
                self._end(run, "its process is gone")

    def _is_with_a_worker(self, run: FlowRun) -> bool:
        """Return whether a live worker has claimed the run and will start or end it."""
        worker = run.labels.get(_WORKER_LABEL)
        return worker is not None and is_online(self._client, str(worker))

    def _grace(self, run: FlowRun) -> float | None:
        """Return the seconds that a run may lack a local process; None if that is no evidence."""
        assert run.state is not None
        pending = run.state.is_pending()
        if self._is_mine(run):
            return _PENDING_GRACE_SECONDS if pending else _RUNNING_GRACE_SECONDS
        if not pending or not self._resumes:
            return None
        # Either a worker died between taking a run and labelling it, or a machine failed after
        # labelling it but before the first heartbeat.
        signed = _WORKER_LABEL in run.labels
        return _FOREIGN_GRACE_SECONDS if signed else _PENDING_GRACE_SECONDS

    def _end(self, run: FlowRun, reason: str) -> None:
        from prefect.states import Crashed

        if self._is_cancelling(run):
            return
        kill_marked(self._mark, flow_run=str(run.id))
        # Without force, so that a run that ended meanwhile keeps its state.
        self._client.set_flow_run_state(run.id, Crashed(message=reason))
        self._say(f"{run.name}: {reason}; marked Crashed")

    def _leave(self, run: FlowRun) -> None:
        if not self._is_cancelling(run):
            self._schedule(run, "genmint services was stopped", seconds=0)

    def _is_cancelling(self, run: FlowRun) -> bool:
        """Return whether the run was being cancelled; complete the cancellation if so."""
        from prefect.states import Cancelled

        assert run.state is not None
        if not run.state.is_cancelling():
            return False
        kill_marked(self._mark, flow_run=str(run.id))
        self._client.set_flow_run_state(
            run.id, Cancelled(message="its process is gone"), force=True
        )
        return True

    def _end_zombies(self, active: dict[UUID, FlowRun], touched: set[UUID]) -> None:
        """Kill processes of runs that ended or moved elsewhere, since they occupy a device."""
        for id_ in touched:
            run = active.get(id_) or self._find(id_)
            if run is None or self._is_lost_to_us(run):
                killed = kill_marked(self._mark, flow_run=str(id_))
                self._say(f"flow run {id_}: no longer assigned here; {killed} processes killed")

    def _find(self, id_: UUID) -> FlowRun | None:
        from prefect.exceptions import ObjectNotFound

        try:
            return self._client.read_flow_run(id_)
        except ObjectNotFound:
            return None

    def _is_lost_to_us(self, run: FlowRun) -> bool:
        state = run.state
        assert state is not None
        if state.is_final():
            ended_for = datetime.datetime.now(datetime.UTC) - state.timestamp
            return ended_for.total_seconds() > _FINAL_GRACE_SECONDS
        if state.name == RESUMED:
            return True
        ours = {None, self._runs_here.get(str(run.id)), *self._names}
        return state.is_running() and run.labels.get(_WORKER_LABEL) not in ours

    def _resume(self, crashed: list[FlowRun]) -> None:
        for run in crashed:
            assert run.state is not None
            age = datetime.datetime.now(datetime.UTC) - run.state.timestamp
            if run.id in self._given_up or age.total_seconds() < _CRASHED_GRACE_SECONDS:
                continue
            crashes = sum(s.is_crashed() for s in self._client.read_flow_run_states(run.id))
            if crashes >= MAX_CRASHES:
                self._given_up.add(run.id)
                self._say(f"{run.name}: crashed {crashes} times; not tried again")
                continue
            if not self._has_deployment(run):
                # No worker could start it, so it would be retried for ever.
                self._given_up.add(run.id)
                self._say(f"{run.name}: its deployment was removed; not tried again")
                continue
            # Remaining processes would block its device.
            kill_marked(self._mark, flow_run=str(run.id))
            pause = _FIRST_PAUSE_SECONDS * 2 ** (crashes - 1)
            self._schedule(run, f"resumes after crash {crashes}", pause)
            self._say(f"{run.name}: resumes after crash {crashes}")

    def _has_deployment(self, run: FlowRun) -> bool:
        from prefect.exceptions import ObjectNotFound

        assert run.deployment_id is not None
        try:
            self._client.read_deployment(run.deployment_id)
        except ObjectNotFound:
            return False
        return True

    def _schedule(self, run: FlowRun, why: str, seconds: float) -> None:
        from prefect.states import Scheduled

        when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        # With force, because Prefect lets only a run with retries leave such a state.
        self._client.set_flow_run_state(
            run.id, Scheduled(scheduled_time=when, name=RESUMED, message=why), force=True
        )
