"""Reporting a run without ever stopping or delaying the training that it reports."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from genmint.errors import GenmintError
from genmint.project import Project
from genmint.tracking.provenance import (
    DatasetInfo,
    data_hashes,
    environment,
    flatten,
    git_state,
    user,
)
from genmint.tracking.store import connect, experiment_id, reaching, uri

# One request carries at most this many metrics (MLflow's own limit is 1,000).
_BATCH = 500
_SECONDS_BETWEEN_SENDS = 1.0
_SECONDS_BETWEEN_TRIES = 5.0
# How long a finished training waits for a tracker that answers, however slowly.
_PATIENCE_SECONDS = 60.0


class RunReporter:
    """A run in the making: a queue here, a thread that sends it, and a tracker that may be away.

    No method raises or waits for the tracker, except `finish`, which waits for at most a minute
    and then says on stderr what was not sent. What was not sent is no loss: history.csv holds it,
    and `genmint promote` makes the run from it.
    """

    def __init__(
        self,
        project: Project,
        name: str,
        params: Mapping[str, Any],
        dataset: DatasetInfo | None,
        tags: Mapping[str, str],
    ) -> None:
        self._project = project
        self._name = name
        self._params = dict(params)
        self._dataset = dataset
        self._tags = dict(tags)
        self._start = time.time_ns() // 1_000_000
        self._metrics: deque[Metric] = deque()
        self._final: tuple[str, list[Path], dict[str, str]] | None = None
        self._run_id: str | None = None
        self._client: MlflowClient | None = None
        self._error: GenmintError | None = None
        self._wake = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="genmint-tracker", daemon=True)

    @property
    def run_id(self) -> str | None:
        """Id of the run, once the tracker has given one."""
        return self._run_id

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Queue named scalars of one step."""
        now = time.time_ns() // 1_000_000
        self._metrics.extend(Metric(k, float(v), now, step) for k, v in values.items())

    def finish(self, weights_sha256: str, artifacts: Sequence[Path] = ()) -> None:
        """Close the run as finished, tagged with the weights it made; files go along.

        Says on stderr, in one line, when the tracker did not take it.
        """
        self._close("FINISHED", list(artifacts), {"genmint.weights": weights_sha256})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._final is None:
            status = "KILLED" if kind is KeyboardInterrupt else "FAILED"
            self._close(status, [], {} if error is None else {"genmint.error": str(error)[:400]})

    def _close(self, status: str, artifacts: list[Path], tags: dict[str, str]) -> None:
        self._final = (status, artifacts, tags)
        self._wake.set()
        if not self._done.wait(_PATIENCE_SECONDS) or self._error is not None:
            reason = self._error or f"{uri(self._project)} took more than {_PATIENCE_SECONDS:.0f} s"
            print(  # noqa: T201 - the one line that the user must see
                f"{self._name}: the run was not sent to the tracker: {reason} The history is in "
                f"{self._project.model(self._name) / 'history.csv'}; `genmint promote "
                f"{self._name}` makes the run from it.",
                file=sys.stderr,
            )

    def _send_all(self) -> None:
        """Send, as the thread, what is queued until the run is closed and nothing is left."""
        while True:
            closing = self._final is not None
            try:
                with reaching(uri(self._project)):
                    self._send(closing)
                self._error = None
            except GenmintError as error:
                self._error = error
                self._client = None
            except (OSError, ValueError, TypeError) as error:
                # A file that vanished, an answer that is no JSON: training must not care.
                self._error = GenmintError(f"{type(error).__name__}: {error}.")
                self._client = None
            if closing:
                self._done.set()
                return
            away = self._error is not None
            self._wake.wait(_SECONDS_BETWEEN_TRIES if away else _SECONDS_BETWEEN_SENDS)

    def _send(self, closing: bool) -> None:
        client = self._client or connect(self._project)
        self._client = client
        run_id = self._run_id or self._create(client)
        while self._metrics:
            batch = [self._metrics[i] for i in range(min(_BATCH, len(self._metrics)))]
            client.log_batch(run_id, metrics=batch)
            for _ in batch:
                self._metrics.popleft()
        if closing and self._final is not None:
            status, artifacts, tags = self._final
            for path in artifacts:
                client.log_artifact(run_id, str(path))
            client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
            client.set_terminated(run_id, status)

    def _create(self, client: MlflowClient) -> str:
        dataset = self._dataset
        tags = {
            "mlflow.runName": self._name,
            "mlflow.user": user(),
            "mlflow.source.name": f"genmint train {self._name}",
            "mlflow.source.type": "LOCAL",
            "genmint.model": self._name,
            **git_state(self._project),
            **environment(),
            **self._tags,
        }
        if "DVC_EXP_NAME" in os.environ:
            tags["dvc.exp_name"] = os.environ["DVC_EXP_NAME"]
        if dataset is not None:
            hashes = data_hashes(self._project, dataset.name)
            tags.update({f"dvc.{path}": value for path, value in hashes.items()})
        run = client.create_run(experiment_id(client), self._start, tags)
        run_id = str(run.info.run_id)
        self._run_id = run_id
        parameters = [Param(k, v) for k, v in flatten(self._params).items()]
        client.log_batch(run_id, params=parameters)
        if dataset is not None:
            client.log_inputs(run_id, [dataset.to_mlflow()])
        return run_id


def start_run(
    project: Project,
    name: str,
    params: Mapping[str, Any],
    dataset: DatasetInfo | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunReporter:
    """Make the reporter of one training; use it as a context manager and call `finish` at the end.

    Args:
        project: whose tracker is used.
        name: of the model's block.
        params: the model's block; logged flattened (`optimiser.lr`).
        dataset: what it is trained on.
        tags: further tags of the run.

    """
    return RunReporter(project, name, params, dataset, tags or {})
