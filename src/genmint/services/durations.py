"""Expected training times of a flow's models, from earlier runs in Prefect."""

from __future__ import annotations

import math
from collections.abc import Iterable

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from genmint.services.run_names import train_name

# The longest of these counts, because a run that used cached results trained nothing.
_LAST_RUNS = 5


def expected_seconds(models: Iterable[str]) -> dict[str, float]:
    """Return the maximum duration in seconds of each model's last runs; infinite if unknown.

    A new model may take the longest, so it is scheduled first.
    """
    return {name: _longest(name) for name in models}


def _longest(model: str) -> float:
    completed = FlowRunFilterStateType(any_=[StateType.COMPLETED])
    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["train-model"])),
                flow_run_filter=FlowRunFilter(
                    # Runs of earlier versions have the name of the model alone.
                    name=FlowRunFilterName(any_=[train_name(model), model]),
                    state=FlowRunFilterState(type=completed),
                ),
                sort=FlowRunSort.END_TIME_DESC,
                limit=_LAST_RUNS,
            )
    except (httpx.TransportError, PrefectHTTPStatusError):
        # The order does not justify a failure, and the next request contacts the server again.
        return math.inf
    return max((run.total_run_time.total_seconds() for run in runs), default=math.inf)
