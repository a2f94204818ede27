"""Labels of a flow run in Prefect that record the work of all its attempts.

A run that is restarted after a crash finds its earlier results in the DVC cache, and champions that
it promoted itself. The labels distinguish the run's own work from that of others, on any machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from genmint.common.tags import BEGAN_LABELS, CHAMPION_BEFORE_LABELS, FLOW_RUN_LABELS
from genmint.flow.stage import Say, StageOutcome, started_stage

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun


class Attempts:
    """Labels of one flow run, to which its attempts add; thread-safe."""

    def __init__(self, run: FlowRun, warn: Callable[..., None]) -> None:
        """Read the labels of `run`; `warn`, such as a logger's method, reports failed writes."""
        self._run = run.id
        self._warn = warn
        self._lock = threading.Lock()
        self._labels = {k: str(v) for k, v in run.labels.items() if k.startswith(FLOW_RUN_LABELS)}

    def listening(self, say: Say) -> Say:
        """Return a wrapper of `say` that also records each stage when DVC starts to run it.

        The start is recorded because the process may die at any time. A stage found in the DVC
        cache later was thus computed by this run if it had started here.
        """

        def hear(line: str) -> None:
            stage = started_stage(line)
            if stage is not None:
                self._note({f"{BEGAN_LABELS}{stage}": "yes"})
            say(line)

        return hear

    def over_all(
        self, outcomes: Sequence[StageOutcome], others: Collection[str] = ()
    ) -> list[StageOutcome]:
        """Return the outcomes of the last attempt, with "ran" for stages that earlier ones started.

        `others` are stages started by runs that this run had requested.
        """
        ran = _stages(self._labels) | set(others)
        return [replace(each, result="ran") if each.stage in ran else each for each in outcomes]

    def champions(
        self, names: Sequence[str], ask: Callable[[Sequence[str]], Mapping[str, str | None]]
    ) -> dict[str, str | None]:
        """Return the champion version before the first attempt, by model; None if there was none.

        `ask` is called for the models that no attempt has recorded yet.
        """
        missing = [name for name in names if f"{CHAMPION_BEFORE_LABELS}{name}" not in self._labels]
        if missing:
            versions = ask(missing)
            self._note(
                {f"{CHAMPION_BEFORE_LABELS}{name}": versions[name] or "" for name in missing}
            )
        return {name: self._labels[f"{CHAMPION_BEFORE_LABELS}{name}"] or None for name in names}

    def _note(self, labels: Mapping[str, str]) -> None:
        # Serialised, because Prefect's server reads all labels, adds these, and writes all back.
        with self._lock:
            if self._labels.items() >= labels.items():
                return
            # Labels of a failed write are included in the next one.
            self._labels |= labels
            try:
                with get_client(sync_client=True) as client:
                    client.update_flow_run_labels(self._run, dict(self._labels))
            except (httpx.TransportError, PrefectHTTPStatusError) as error:
                # Missing labels only affect the summary after a crash, which does not justify a
                # failure.
                self._warn("labels of the run could not be written: %s", error)


def began(run: UUID) -> set[str]:
    """Return the stages that a flow run started in all attempts; empty for an unknown run.

    Raises:
        httpx.TransportError, PrefectHTTPStatusError: Prefect's server does not respond.
    """
    labels: Mapping[str, Any]
    with get_client(sync_client=True) as client:
        try:
            labels = client.read_flow_run(run).labels
        except ObjectNotFound:
            return set()
    return _stages(labels)


def _stages(labels: Mapping[str, Any]) -> set[str]:
    return {name.removeprefix(BEGAN_LABELS) for name in labels if name.startswith(BEGAN_LABELS)}
