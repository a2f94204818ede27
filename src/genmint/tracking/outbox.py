"""Queue of metrics for a run; delivers each step of each key once, despite failures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

# Metrics per request; MLflow's own limit is 1,000.
_BATCH = 500


class Outbox:
    """Queue that one thread fills and another sends.

    A tracker stores one row per key, time, step and value. Each `Metric` is therefore created once
    and resent unchanged until it is stored.
    """

    def __init__(self) -> None:
        self._queue: deque[Metric] = deque()
        self._stored_steps: dict[str, set[int]] = {}
        self._refused: dict[str, str] = {}
        self._dropped = 0

    def put(self, step: int, values: Mapping[str, float]) -> None:
        """Queue named scalars of one step, without blocking."""
        now = time.time_ns() // 1_000_000
        self._queue.extend(Metric(k, float(v), now, step) for k, v in values.items())

    def send(self, client: MlflowClient, run_id: str, *, resumed: bool) -> None:
        """Send until the queue is empty.

        Args:
            client: client of a reachable tracker.
            run_id: id of the run, the same at every call.
            resumed: whether the run may hold steps sent by another process; those are skipped.

        Raises:
            MlflowException: the tracker failed. No metric is lost, and the call may be repeated.
        """
        while self._queue:
            # The length is read first, since the queue may grow meanwhile.
            batch = [self._queue[i] for i in range(min(_BATCH, len(self._queue)))]
            wanted = [metric for metric in batch if metric.key not in self._refused]
            if resumed:
                self._ask(client, run_id, wanted)
                wanted = [each for each in wanted if each.step not in self._stored_steps[each.key]]
            self._log(client, run_id, wanted)
            for metric in batch:
                self._queue.popleft()
                self._dropped += metric.key in self._refused

    def refusal(self) -> str | None:
        """Return which metrics the tracker rejected and why; None if it accepted all."""
        if not self._refused:
            return None
        keys = ", ".join(repr(key) for key in self._refused)
        reason = next(iter(self._refused.values()))
        return f"the tracker refused {self._dropped} values of {keys} ({reason})"

    def _ask(self, client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
        for metric in metrics:
            if metric.key not in self._stored_steps:
                history = client.get_metric_history(run_id, metric.key)
                self._stored_steps[metric.key] = {each.step for each in history}

    def _log(self, client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
        try:
            client.log_batch(run_id, metrics=metrics)
        except MlflowException as error:
            if not _is_refusal(error):
                raise
            self._log_by_key(client, run_id, metrics)

    def _log_by_key(self, client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
        """Log each key separately, to find the keys that made the tracker reject a batch."""
        refused = {}
        for key in dict.fromkeys(metric.key for metric in metrics):
            try:
                client.log_batch(run_id, metrics=[each for each in metrics if each.key == key])
            except MlflowException as error:
                if not _is_refusal(error):
                    raise
                refused[key] = " ".join(str(error).split())[:300]
        # A deleted run rejects everything with the same error, so no metric is the cause. This
        # request then fails too, and the run may be restored before training ends.
        client.update_run(run_id, status="RUNNING")
        self._refused |= refused


def _is_refusal(error: MlflowException) -> bool:
    """Whether MLflow itself rejected the request, so that a retry is useless.

    A proxy's own status 400 has no error code of MLflow and does not count.
    """
    return bool(error.error_code == "INVALID_PARAMETER_VALUE")
