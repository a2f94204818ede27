"""Removal of scheduled flow runs whose schedule or deployment is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from genmint.services import api

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_ACTIVE = ("RUNNING", "PENDING", "CANCELLING", "PAUSED")


def active_runs(client: SyncPrefectClient, deployment: str) -> list[dict[str, Any]]:
    """Return the runs of a deployment that have started and not ended, including resumed ones."""
    runs = _runs(client, *_ACTIVE, "SCHEDULED", deployment_id={"any_": [deployment]})
    return [run for run in runs if run["state_type"] != "SCHEDULED" or run["run_count"]]


def remove_planned(client: SyncPrefectClient, is_ours: Callable[[dict[str, Any]], bool]) -> None:
    """Delete scheduled runs, also late ones, whose schedule or deployment is gone.

    Prefect itself deletes future runs only. It keeps late runs, runs that wait for a concurrency
    slot, and runs that its scheduler is just creating.

    Args:
        client: client of the server.
        is_ours: returns from its labels whether a run or deployment belongs to this project.
    """
    deployments = {each["id"]: each for each in api.every(client, "/deployments/filter")}
    for run in _runs(client, "SCHEDULED"):
        if not is_ours(run["labels"] or {}):
            continue
        deployment = deployments.get(run["deployment_id"])
        if deployment is None and run["run_count"]:
            _cancel(client, run)
        elif deployment is None or _is_left_over(run, deployment):
            api.delete(client, f"/flow_runs/{run['id']}")


def _is_left_over(run: dict[str, Any], deployment: dict[str, Any]) -> bool:
    """Return whether a removed schedule created the run, and it never started."""
    maker = run["created_by"] or {}
    if run["run_count"] or not run["auto_scheduled"] or maker.get("type") != "SCHEDULE":
        return False
    return maker["id"] not in {schedule["id"] for schedule in deployment["schedules"]}


def _runs(client: SyncPrefectClient, *types: str, **criteria: Any) -> list[dict[str, Any]]:
    criteria["state"] = {"type": {"any_": list(types)}}
    if "deployment_id" not in criteria:
        criteria["deployment_id"] = {"is_null_": False}
    # Sorted by id, because pages of a changing order would skip runs.
    return api.every(client, "/flow_runs/filter", flow_runs=criteria, sort="ID_DESC")


def _cancel(client: SyncPrefectClient, run: dict[str, Any]) -> None:
    from prefect.states import Cancelled

    client.set_flow_run_state(
        UUID(run["id"]), Cancelled(message="its deployment was removed"), force=True
    )
