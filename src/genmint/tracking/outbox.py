"""Metrics on their way to a run: each step of each key once, whatever fails in between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

# One request carries at most this many metrics (MLflow's own limit is 1,000).
_BATCH = 500


class Outbox:
    """A queue that one thread fills and another sends.

    A tracker keeps one row of equal key, time, step and value: a `Metric` is therefore made once,
    and sent again as it is for as long as it takes.
    """

    def __init__(self) -> None:
        self._queue: deque[Metric] = deque()
        self._held: dict[str, set[int]] = {}
        self._refused: dict[str, str] = {}
        self._dropped = 0

    def put(self, step: int, values: Mapping[str, float]) -> None:
        """Queue named scalars of one step; neither waits nor asks anybody."""
        now = time.time_ns() // 1_000_000
        self._queue.extend(Metric(k, float(v), now, step) for k, v in values.items())

    def send(self, client: MlflowClient, run_id: str, *, resumed: bool) -> None:
        """Send until the queue is empty.

        Args:
            client: of a tracker that answers.
            run_id: always the same run.
            resumed: whether the run may hold steps that another process sent; those are left out.

        Raises:
            MlflowException: the tracker failed. Nothing is lost: call again.
        """
        while self._queue:
            # Counted first, since the queue may grow meanwhile.
            batch = [self._queue[i] for i in range(min(_BATCH, len(self._queue)))]
            wanted = [metric for metric in batch if metric.key not in self._refused]
            if resumed:
                self._ask(client, run_id, wanted)
                wanted = [each for each in wanted if each.step not in self._held[each.key]]
            self._log(client, run_id, wanted)
            for metric in batch:
                self._queue.popleft()
                self._dropped += metric.key in self._refused

    def refusal(self) -> str | None:
        """Say which metrics the tracker would not have, and why; None if it took all."""
        if not self._refused:
            return None
        keys = ", ".join(repr(key) for key in self._refused)
        reason = next(iter(self._refused.values()))
        return f"the tracker refused {self._dropped} values of {keys} ({reason})"

    def _ask(self, client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
        for metric in metrics:
            if metric.key not in self._held:
                history = client.get_metric_history(run_id, metric.key)
                self._held[metric.key] = {each.step for each in history}

    def _log(self, client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
        try:
            client.log_batch(run_id, metrics=metrics)
        except MlflowException as error:
            if not _is_refusal(error):
                raise
            self._log_by_key(client, run_id, metrics)

    def _log_by_key(self, client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
        """Find which keys made the tracker refuse a batch, and have the others logged."""
        refused = {}
        for key in dict.fromkeys(metric.key for metric in metrics):
            try:
                client.log_batch(run_id, metrics=[each for each in metrics if each.key == key])
            except MlflowException as error:
                if not _is_refusal(error):
                    raise
                refused[key] = " ".join(str(error).split())[:300]
        # A run that somebody deleted refuses everything in the same words, and no metric is to
        # blame. It refuses this too, and may be restored before the training ends.
        client.update_run(run_id, status="RUNNING")
        self._refused |= refused


def _is_refusal(error: MlflowException) -> bool:
    """Whether sending the same again is in vain. A proxy's own 400 does not count as MLflow's."""
    return bool(error.error_code == "INVALID_PARAMETER_VALUE")
