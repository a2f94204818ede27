"""Flow runs whose process is gone: marked Crashed, and given to another worker.

Prefect alone leaves them Running for ever. Each machine looks after the runs of its own workers,
since only it can see their processes; the machine with the servers schedules what crashed again.
A lost machine is told by its silence: see `alerts.lost_hosts`.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from genmint.services.processes import flow_runs, kill_marked
from genmint.services.scheduled import ScheduledEvents

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

# A run that just ended has no process and is Running until Prefect has written it down.
_RUNNING_GRACE_SECONDS = 4.0
# A worker says Pending some seconds before there is a process.
_PENDING_GRACE_SECONDS = 40.0
_FOREIGN_GRACE_SECONDS = 120.0
# The process of a run that has ended in Prefect may take so long to end, too.
_FINAL_GRACE_SECONDS = 30.0
# The worker of a run that was killed says Crashed, too, a moment later.
_CRASHED_GRACE_SECONDS = 4.0
# Of a crash that long ago nobody waits for the end any more.
_RESUME_WITHIN = datetime.timedelta(hours=12)
# A run that ends its worker or machine each time must not do so for ever.
MAX_CRASHES = 5
_FIRST_PAUSE_SECONDS = 2
RESUMED = "Resumed"
_WORKER_LABEL = "prefect.worker.name"


class Watch:
    """Looks at the flow runs of one machine's workers, again and again."""

    def __init__(
        self,
        client: SyncPrefectClient,
        mark: str,
        prefix: str,
        *,
        resumes: bool,
        say: Callable[[str], None],
    ) -> None:
        """Watch the workers whose names begin with `prefix`, whose processes carry `mark`.

        `resumes`: whether crashed runs, of whatever machine, are scheduled again from here, and
        automations told what they miss.
        """
        self._client = client
        self._mark = mark
        self._prefix = prefix
        self._resumes = resumes
        self._say = say
        self._missing: dict[UUID, float] = {}
        self._given_up: set[UUID] = set()
        self._scheduled = ScheduledEvents(client)

    def look(self) -> None:
        """Mark orphans, kill what runs though Prefect has ended it, resume what crashed.

        Raises:
            httpx.HTTPError: Prefect's server does not answer now.
        """
        from prefect.client.schemas.objects import StateType

        active = self._runs(StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
        led, touched = flow_runs(self._mark)
        self._mark_orphans(active, {UUID(id_) for id_ in led})
        self._end_zombies({run.id: run for run in active}, {UUID(id_) for id_ in touched})
        if self._resumes:
            self._scheduled.tell_of(active)
            self._resume(self._runs(StateType.CRASHED))

    def abandon(self) -> None:
        """Schedule all runs of this machine again at once: its workers have just been stopped."""
        from prefect.client.schemas.objects import StateType

        for run in self._runs(StateType.RUNNING, StateType.PENDING, StateType.CANCELLING):
            if self._is_mine(run):
                self._leave(run)

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
                # A subflow lives in the process of its parent, and has no deployment.
                deployment_id=FlowRunFilterDeploymentId(is_null_=False),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))),
                end_time=FlowRunFilterEndTime(after_=since)
                if types == (StateType.CRASHED,)
                else None,
            ),
            limit=200,
        )

    def _is_mine(self, run: FlowRun) -> bool:
        return str(run.labels.get(_WORKER_LABEL, "")).startswith(self._prefix)

    def _mark_orphans(self, active: list[FlowRun], led: set[UUID]) -> None:
        now = time.monotonic()
        graces = {run.id: self._grace(run) for run in active if run.id not in led}
        orphans = {id_: grace for id_, grace in graces.items() if grace is not None}
        self._missing = {id_: self._missing.get(id_, now) for id_ in orphans}
        for run in active:
            if run.id in orphans and now - self._missing[run.id] > orphans[run.id]:
                self._end(run, "its process is gone")
                del self._missing[run.id]

    def _grace(self, run: FlowRun) -> float | None:
        """Seconds that a run may be without a process here; None where that says nothing."""
        assert run.state is not None
        pending = run.state.is_pending()
        if self._is_mine(run):
            return _PENDING_GRACE_SECONDS if pending else _RUNNING_GRACE_SECONDS
        if not pending or not self._resumes:
            return None
        # A worker that died between taking a run and signing for it, which takes an instant; or the
        # machine of one that had signed, before there was a heartbeat to miss.
        signed = _WORKER_LABEL in run.labels
        return _FOREIGN_GRACE_SECONDS if signed else _PENDING_GRACE_SECONDS

    def _end(self, run: FlowRun, reason: str) -> None:
        from prefect.states import Crashed

        if self._is_cancelling(run):
            return
        kill_marked(self._mark, flow_run=str(run.id))
        # Not by force: where it has ended meanwhile, that stands.
        self._client.set_flow_run_state(run.id, Crashed(message=reason))
        self._say(f"{run.name}: {reason}; marked Crashed")

    def _leave(self, run: FlowRun) -> None:
        if not self._is_cancelling(run):
            self._schedule(run, "genmint services was stopped", seconds=0)

    def _is_cancelling(self, run: FlowRun) -> bool:
        """Whether it was being cancelled, which is then brought to its end."""
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
        """Kill processes whose run was ended or given away elsewhere: they hold a device."""
        for id_ in touched:
            run = active.get(id_) or self._find(id_)
            if run is None or self._is_lost_to_us(run):
                killed = kill_marked(self._mark, flow_run=str(id_))
                self._say(f"flow run {id_}: no longer ours in Prefect; {killed} processes killed")

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
        return state.is_running() and _WORKER_LABEL in run.labels and not self._is_mine(run)

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
            # What is left of it would hold its device against it.
            kill_marked(self._mark, flow_run=str(run.id))
            pause = _FIRST_PAUSE_SECONDS * 2 ** (crashes - 1)
            self._schedule(run, f"goes on after crash {crashes}", pause)
            self._say(f"{run.name}: goes on after crash {crashes}")

    def _schedule(self, run: FlowRun, why: str, seconds: float) -> None:
        from prefect.states import Scheduled

        when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        # By force: Prefect's own rules let only a run with retries leave such a state.
        self._client.set_flow_run_state(
            run.id, Scheduled(scheduled_time=when, name=RESUMED, message=why), force=True
        )
