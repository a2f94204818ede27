"""How long the models of a flow will take, as far as Prefect remembers."""

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

# Of these the longest counts: in a run that found its results in a cache nothing was trained.
_LAST_RUNS = 5


def expected_seconds(models: Iterable[str]) -> dict[str, float]:
    """Seconds that each model's last runs on workers took at most; infinite where none is known.

    A model that is new may be the longest, so nothing goes before it.
    """
    return {name: _longest(name) for name in models}


def _longest(model: str) -> float:
    completed = FlowRunFilterStateType(any_=[StateType.COMPLETED])
    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["train-model"])),
                flow_run_filter=FlowRunFilter(
                    name=FlowRunFilterName(any_=[model]), state=FlowRunFilterState(type=completed)
                ),
                sort=FlowRunSort.END_TIME_DESC,
                limit=_LAST_RUNS,
            )
    except (httpx.TransportError, PrefectHTTPStatusError):
        # An order is not worth a failure, and what follows asks the server again.
        return math.inf
    return max((run.total_run_time.total_seconds() for run in runs), default=math.inf)
