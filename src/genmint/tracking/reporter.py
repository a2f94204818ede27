"""Reporting of a training run to the tracker, without stopping or delaying training."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlflow import MlflowClient
from mlflow.entities import RunTag

from genmint.common.errors import GenmintError, RegistryError, TemporaryError
from genmint.common.layout import HISTORY
from genmint.common.project import Project
from genmint.common.tags import DVC_TAGS, ERROR_TAG, WEIGHTS_TAG
from genmint.tracking.attach import attach, delete_copies, log_description
from genmint.tracking.chart_keys import chart_key
from genmint.tracking.outbox import Outbox
from genmint.tracking.provenance import DatasetInfo, data_hashes, environment_tags, git_state, user
from genmint.tracking.run_name import add_weights, changed_keys, run_name
from genmint.tracking.store import connect, reaching, uri
from genmint.tracking.system_metrics import SystemMetrics
from genmint.tracking.transfer import upload
from genmint.tracking.transfer_time import seconds_for

_SECONDS_BETWEEN_SENDS = 1.0
_SECONDS_BETWEEN_TRIES = 5.0
# How long a finished training run waits for a slow tracker, or one that failed after it had
# responded. The time restarts for each file, and is then at least what the file's size may need.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class _End:
    status: str
    artifacts: Sequence[Path]
    tags: Mapping[str, str]


class RunReporter:
    """Reporter of one run: a queue, and a thread that sends it to a possibly unreachable tracker.

    No method raises or waits for the tracker, except `finish`. `finish` waits at most a minute, and
    for each file as long as its size may need. It then reports on stderr what was not sent. No data
    are lost: history.csv holds the metrics, and `genmint promote` creates the run from it.
    """

    def __init__(
        self,
        project: Project,
        name: str,
        params: Mapping[str, Any],
        dataset: DatasetInfo | None,
        tags: Mapping[str, str],
        token: str,
    ) -> None:
        self._project = project
        self._name = name
        self._params = dict(params)
        self._dataset = dataset
        self._tags = dict(tags)
        self._token = token
        self._start = time.time_ns() // 1_000_000
        self._outbox = Outbox()
        self._end: _End | None = None
        self._started = 0
        self._deadline = 0.0
        self._run_id: str | None = None
        self._run_name = ""
        self._run_start = self._start
        self._resumed = False
        self._client: MlflowClient | None = None
        self._answered = False
        self._error: GenmintError | None = None
        self._wake = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="genmint-tracker", daemon=True)

    @property
    def run_id(self) -> str | None:
        """Id of the run, set once the tracker has the run's parameters and data set."""
        return self._run_id

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Queue named scalars of one step.

        A resumed training run queues its whole history again; steps that the run already holds are
        skipped. The keys in MLflow are those of `chart_key`.
        """
        self._outbox.put(step, {chart_key(name): value for name, value in values.items()})

    def finish(self, weights_sha256: str | None = None, artifacts: Sequence[Path] = ()) -> None:
        """Close the run as finished, tag it with the hash of its weights and upload files.

        Without `weights_sha256`, the run is that of a seed that was not the best.

        Prints one line each on stderr if the tracker did not accept the run or rejected some of its
        metrics.
        """
        tags = {} if weights_sha256 is None else {WEIGHTS_TAG: weights_sha256}
        self._close("FINISHED", artifacts, tags)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._end is None:
            interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
            status = "KILLED" if interrupted else "FAILED"
            self._close(status, [], {} if error is None else {ERROR_TAG: str(error)[:400]})

    def _close(self, status: str, artifacts: Sequence[Path], tags: Mapping[str, str]) -> None:
        closed = time.monotonic()
        self._deadline = closed + _PATIENCE_SECONDS
        self._end = _End(status, artifacts, tags)
        self._wake.set()
        done = False
        while not done and (left := self._deadline - time.monotonic()) > 0:
            done = self._done.wait(left)
        # A failed training run has no history file to refer to.
        history = self._project.model(self._name) / HISTORY if status == "FINISHED" else None
        if not done or self._error is not None:
            waited = f"{time.monotonic() - closed:.0f} s"
            reason = self._error or f"{uri(self._project)} did not take all of it within {waited}."
            way_out = f"`genmint promote {self._name}` makes the run from it."
            self._say(
                f"the run was not sent to the tracker: {reason}"
                + (f" The history is in {history}; {way_out}" if history else "")
            )
        refusal = self._outbox.refusal()
        if refusal is not None:
            self._say(refusal + (f". They are in {history}." if history else "."))

    def _say(self, line: str) -> None:
        print(f"{self._name}: {line}", file=sys.stderr)  # noqa: T201 - the user must see it

    def _send_all(self) -> None:
        """Thread function: send the queue until the run is closed and nothing is left."""
        load = SystemMetrics()
        while True:
            end = self._end
            if end is None and self._run_id is not None:
                # Seconds since the run began, so that a resumed training run continues the curve.
                self._outbox.put(
                    (time.time_ns() // 1_000_000 - self._run_start) // 1000, load.sample()
                )
            self._error = self._try(end)
            if end is None:
                away = self._error is not None
                self._wake.wait(_SECONDS_BETWEEN_TRIES if away else _SECONDS_BETWEEN_SENDS)
            elif self._error is not None and self._may_yet_answer(end.status):
                time.sleep(_SECONDS_BETWEEN_TRIES)
            else:
                self._done.set()
                return

    def _may_yet_answer(self, status: str) -> bool:
        """Whether another attempt is worth waiting for.

        It is not if the tracker never responded, or if it rejects the run (deleted experiment,
        missing permission), since that will not change within a minute. A failed training run does
        not wait either: it has nothing to upload, and its user wants to know.
        """
        in_time = time.monotonic() + _SECONDS_BETWEEN_TRIES < self._deadline
        refused = isinstance(self._error, RegistryError) and not isinstance(
            self._error, TemporaryError
        )
        return self._answered and status == "FINISHED" and in_time and not refused

    def _try(self, end: _End | None) -> GenmintError | None:
        try:
            with reaching(uri(self._project)):
                self._send(end)
        except GenmintError as error:
            self._client = None
            return error
        except (OSError, ValueError, TypeError) as error:
            # A missing file or a response that is not JSON must not affect training.
            self._client = None
            return GenmintError(f"{type(error).__name__}: {error}.")
        return None

    def _send(self, end: _End | None) -> None:
        client = self._client or connect(self._project)
        self._client = client
        self._answered = True
        run_id = self._run_id or self._attach(client)
        self._outbox.send(client, run_id, resumed=self._resumed)
        if end is not None:
            for number, path in enumerate(end.artifacts, start=1):
                self._grant_time(number, path)
                upload(client, run_id, path)
            client.log_batch(run_id, tags=[RunTag(k, v) for k, v in end.tags.items()])
            if WEIGHTS_TAG in end.tags:
                add_weights(client, run_id, self._run_name, end.tags[WEIGHTS_TAG])
            delete_copies(client, self._name, self._token, run_id)
            client.set_terminated(run_id, end.status)

    def _grant_time(self, number: int, path: Path) -> None:
        """Extend the deadline for a file whose upload starts for the first time."""
        if number > self._started:
            self._started = number
            seconds = max(_PATIENCE_SECONDS, seconds_for(path.stat().st_size))
            self._deadline = time.monotonic() + seconds

    def _attach(self, client: MlflowClient) -> str:
        run, self._resumed = attach(client, self._name, self._token, self._start, self._all_tags())
        log_description(client, run, self._params, self._dataset)
        self._run_name, self._run_start = str(run.info.run_name), int(run.info.start_time)
        # Set last: if an attempt fails before, the next one starts over and finds the run.
        self._run_id = str(run.info.run_id)
        return self._run_id

    def _all_tags(self) -> dict[str, str]:
        tags = {
            "mlflow.runName": run_name(
                self._name, self._params, changed_keys(self._project, self._name)
            ),
            "mlflow.user": user(),
            "mlflow.source.name": f"genmint train {self._name}",
            "mlflow.source.type": "LOCAL",
            **git_state(self._project),
            **environment_tags(),
            **self._tags,
        }
        if "DVC_EXP_NAME" in os.environ:
            tags[f"{DVC_TAGS}exp_name"] = os.environ["DVC_EXP_NAME"]
        if self._dataset is not None:
            hashes = data_hashes(self._project, self._dataset.name)
            tags.update({f"{DVC_TAGS}{path}": value for path, value in hashes.items()})
        return tags


def start_run(
    project: Project,
    name: str,
    params: Mapping[str, Any],
    dataset: DatasetInfo | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    token: str | None = None,
) -> RunReporter:
    """Return the reporter of a training run: a context manager; call `finish` at the end.

    Args:
        project: project of the tracker.
        name: name of the model entry.
        params: model entry; logged flattened (`optimiser.lr`).
        dataset: data that the model is trained on.
        tags: further tags of the run.
        token: random letters and digits of this training run, stored by the caller before the call.
            A process that resumes the training run then continues the same MLflow run. None: a new
            run.
    """
    return RunReporter(project, name, params, dataset, tags or {}, token or uuid.uuid4().hex)
