"""Reporting a run without ever stopping or delaying the training that it reports."""

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

from genmint.errors import GenmintError, RegistryError, TemporaryError
from genmint.project import Project
from genmint.tracking.attach import ERROR, attach, delete_copies, describe
from genmint.tracking.outbox import Outbox
from genmint.tracking.provenance import (
    DatasetInfo,
    data_hashes,
    environment,
    git_state,
    user,
)
from genmint.tracking.store import connect, reaching, uri

_SECONDS_BETWEEN_SENDS = 1.0
_SECONDS_BETWEEN_TRIES = 5.0
# How long a finished training waits for a tracker that is slow, or fails having answered before.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class _End:
    status: str
    artifacts: Sequence[Path]
    tags: Mapping[str, str]
    deadline: float


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
        self._run_id: str | None = None
        self._resumed = False
        self._client: MlflowClient | None = None
        self._answered = False
        self._error: GenmintError | None = None
        self._wake = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="genmint-tracker", daemon=True)

    @property
    def run_id(self) -> str | None:
        """Id of the run, once the tracker has it with its parameters and data set."""
        return self._run_id

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Queue named scalars of one step.

        A training that is resumed says all of its history again: what the run holds is left out.
        """
        self._outbox.put(step, values)

    def finish(self, weights_sha256: str | None = None, artifacts: Sequence[Path] = ()) -> None:
        """Close the run as finished, tagged with the weights it made; files go along.

        Without weights it is the run of a seed that was not the best.

        Says on stderr, in one line each, when the tracker did not take the run, or refused some
        of its metrics.
        """
        tags = {} if weights_sha256 is None else {"genmint.weights": weights_sha256}
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
            self._close(status, [], {} if error is None else {ERROR: str(error)[:400]})

    def _close(self, status: str, artifacts: Sequence[Path], tags: Mapping[str, str]) -> None:
        self._end = _End(status, artifacts, tags, time.monotonic() + _PATIENCE_SECONDS)
        self._wake.set()
        done = self._done.wait(_PATIENCE_SECONDS)
        # A training that failed wrote no history to point at.
        history = self._project.model(self._name) / "history.csv" if status == "FINISHED" else None
        if not done or self._error is not None:
            reason = self._error or f"{uri(self._project)} took more than {_PATIENCE_SECONDS:.0f} s"
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
        """Send, as the thread, what is queued until the run is closed and nothing is left."""
        while True:
            end = self._end
            self._error = self._try(end)
            if end is None:
                away = self._error is not None
                self._wake.wait(_SECONDS_BETWEEN_TRIES if away else _SECONDS_BETWEEN_SENDS)
            elif self._error is not None and self._may_yet_answer(end):
                time.sleep(_SECONDS_BETWEEN_TRIES)
            else:
                self._done.set()
                return

    def _may_yet_answer(self, end: _End) -> bool:
        """Whether another try is worth its wait; nobody waits for a tracker that was never there.

        Nor for one that refuses (an experiment that was deleted, a user who may not write): the
        answer will not be another one in a minute. Nor does a training that failed wait: it has
        nothing to hand over, and its user wants to know.
        """
        in_time = time.monotonic() + _SECONDS_BETWEEN_TRIES < end.deadline
        refused = isinstance(self._error, RegistryError) and not isinstance(
            self._error, TemporaryError
        )
        return self._answered and end.status == "FINISHED" and in_time and not refused

    def _try(self, end: _End | None) -> GenmintError | None:
        try:
            with reaching(uri(self._project)):
                self._send(end)
        except GenmintError as error:
            self._client = None
            return error
        except (OSError, ValueError, TypeError) as error:
            # A file that vanished, an answer that is no JSON: training must not care.
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
            for path in end.artifacts:
                client.log_artifact(run_id, str(path))
            client.log_batch(run_id, tags=[RunTag(k, v) for k, v in end.tags.items()])
            delete_copies(client, self._name, self._token, run_id)
            client.set_terminated(run_id, end.status)

    def _attach(self, client: MlflowClient) -> str:
        run, self._resumed = attach(client, self._name, self._token, self._start, self._all_tags())
        describe(client, run, self._params, self._dataset)
        # Known only now: a try that failed before starts over, and finds what it has made.
        self._run_id = str(run.info.run_id)
        return self._run_id

    def _all_tags(self) -> dict[str, str]:
        tags = {
            "mlflow.runName": self._name,
            "mlflow.user": user(),
            "mlflow.source.name": f"genmint train {self._name}",
            "mlflow.source.type": "LOCAL",
            **git_state(self._project),
            **environment(),
            **self._tags,
        }
        if "DVC_EXP_NAME" in os.environ:
            tags["dvc.exp_name"] = os.environ["DVC_EXP_NAME"]
        if self._dataset is not None:
            hashes = data_hashes(self._project, self._dataset.name)
            tags.update({f"dvc.{path}": value for path, value in hashes.items()})
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
    """Make the reporter of one training; use it as a context manager and call `finish` at the end.

    Args:
        project: whose tracker is used.
        name: of the model's block.
        params: the model's block; logged flattened (`optimiser.lr`).
        dataset: what it is trained on.
        tags: further tags of the run.
        token: letters and digits drawn at random for this training, and kept by the caller before
            it calls: the process that resumes the training goes on with its run. None: a new run.

    """
    return RunReporter(project, name, params, dataset, tags or {}, token or uuid.uuid4().hex)
