"""Runs of the flow `train-model` that `retrain` requests from the workers of the pool `gpu`."""

from __future__ import annotations

import itertools
import math
import threading
import time
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling

from genmint.common.errors import ConfigError, GenmintError, TemporaryError
from genmint.services.attempts import began
from genmint.services.run_names import train_name
from genmint.services.waiting import WORKER, Wait

_WORKER = "train-model/worker"
_POLL_SECONDS = 1.0
# Time for `genmint services` to mark the runs of dead workers Crashed and schedule them again.
_CRASH_PATIENCE_SECONDS = 90.0
_SERVER_PATIENCE_SECONDS = 600.0
_WORKER_ATTEMPTS = 3
_SILENT = (httpx.TransportError, PrefectHTTPStatusError)
_NO_WORKER_SECONDS = 30.0


def check_deployed() -> None:
    """Check that workers can be asked to train.

    Raises:
        ConfigError: Prefect does not know the deployment of `train-model`.
    """
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(_WORKER)
        except ObjectNotFound:
            raise ConfigError(
                f"Prefect at {client.api_url} has no deployment {_WORKER}, so no worker can train. "
                'Run `genmint deploy`, or give train_on="here" to train in this process.'
            ) from None


class WorkerRuns:
    """Runs that one flow run has requested from workers; thread-safe."""

    def __init__(self, queue: str | None) -> None:
        """Request runs in the work queue `queue`; None: the default queue."""
        self._queue = queue
        self._stopping = threading.Event()
        self._requested: set[UUID] = set()

    def request(self, name: str, order: dict[str, Any], key: str) -> tuple[str, set[str]]:
        """Request a run from the workers until one of them has completed it.

        A flow that is started again finds the run that it requested before, by the key.

        Returns:
            Final message of the run, and the stages that began in the runs before it.

        Raises:
            GenmintError: the run failed, was cancelled, or crashed too often.
        """
        crashes, message, before = 0, "", set[str]()
        for attempt in itertools.count():
            run, state = self._found_or_new(name, order, f"{key}:{attempt}")
            if state.is_final() and not state.is_completed():
                # From an earlier attempt of this flow, which was started again since.
                before |= began(run)
                continue
            self._requested.add(run)
            state = self._wait(name, run)
            self._requested.discard(run)
            if state.is_completed():
                return str(state.message), before
            message = str(state.message).removeprefix("Flow run encountered an exception: ")
            if not state.is_crashed():
                raise GenmintError(f"{str(state.name).lower()} on its worker: {message}")
            crashes += 1
            before |= began(run)
            if crashes == _WORKER_ATTEMPTS:
                break
            get_run_logger().warning("%s: %s; trying another worker", name, message)
        raise GenmintError(f"its run crashed {_WORKER_ATTEMPTS} times on workers: {message}")

    def stop(self) -> None:
        """Let every `request` that waits end with a GenmintError."""
        self._stopping.set()

    def cancel(self) -> None:
        """Cancel the runs that have not ended."""
        for run in tuple(self._requested):
            try:
                with get_client(sync_client=True) as client:
                    client.set_flow_run_state(run, Cancelling(message="its flow was ended"))
            except _SILENT as error:
                # The run ends by itself, and its results are in the cache.
                get_run_logger().warning("flow run %s could not be cancelled: %s", run, error)

    def _found_or_new(self, name: str, order: dict[str, Any], key: str) -> tuple[UUID, State[Any]]:
        """The run that was requested with this key, or a new one; and its state."""
        # Called from code that is not asynchronous, it returns the run itself.
        run = cast(FlowRun, run_deployment(
            _WORKER, parameters=order, flow_run_name=train_name(name), timeout=0,
            idempotency_key=key, work_queue_name=self._queue,
        ))  # fmt: skip
        assert run.state is not None
        return run.id, run.state

    def _wait(self, name: str, run: UUID) -> State[Any]:
        """Wait for the end of a run; a crashed run may be scheduled again meanwhile."""
        with Wait(WORKER) as wait:
            return self._watched(name, run, wait)

    def _watched(self, name: str, run: UUID, wait: Wait) -> State[Any]:
        """Wait as `_wait` does; `wait` lasts while no worker has begun the run."""
        warn_at = time.monotonic() + _NO_WORKER_SECONDS
        crashed = silent = None
        while not self._stopping.wait(_POLL_SECONDS):
            now = time.monotonic()
            try:
                with get_client(sync_client=True) as client:
                    state = client.read_flow_run(run).state
            except _SILENT as error:
                # The server may be restarting; the worker continues meanwhile.
                silent = silent or now
                if now - silent > _SERVER_PATIENCE_SECONDS:
                    raise TemporaryError(f"Prefect's server does not answer: {error}") from None
                continue
            assert state is not None
            silent = None
            is_started = not (state.is_scheduled() or state.is_pending())
            (wait.end if is_started else wait.begin)()
            crashed = (crashed or now) if state.is_crashed() else None
            if state.is_final() and (crashed is None or now - crashed > _CRASH_PATIENCE_SECONDS):
                return state
            if state.is_scheduled() and now > warn_at:
                warn_at = math.inf
                get_run_logger().warning(
                    "%s waits for a free worker of the pool gpu. If there is none at all: "
                    "`genmint services`, or `prefect worker start --pool gpu`", name,
                )  # fmt: skip
        raise GenmintError("the flow is ending")
