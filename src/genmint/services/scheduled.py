"""Events that Prefect's scheduler omits, without which alerts come 15 minutes late.

Events about the states of a run refer to their predecessor if it is less than five minutes older.
Prefect's automations delay an event for 15 minutes until they have seen its predecessor. The first
state of a scheduled run has no event. All events of the run's first minutes would therefore be
delayed, including its failure. This affects a deployment that runs every minute, or a nightly one
deployed just before midnight.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

# Twice the time within which Prefect refers to the predecessor.
_YOUNG = datetime.timedelta(minutes=10)


class ScheduledEvents:
    """Sends the missing events of scheduled runs, each once."""

    def __init__(self, client: SyncPrefectClient) -> None:
        """`client` is the client of the server that receives the events."""
        self._client = client
        self._reported: set[UUID] = set()

    def tell_of(self, runs: list[FlowRun]) -> None:
        """Send the missing events of `runs`, which have left their first state.

        Raises:
            httpx.HTTPError: Prefect's server does not respond, or rejects the request.
        """
        for run in runs:
            if run.auto_scheduled and run.id not in self._reported:
                self._tell_of(run)
                self._reported.add(run.id)

    def _tell_of(self, run: FlowRun) -> None:
        from prefect.events.schemas.events import Event, Resource

        states = self._client.read_flow_run_states(run.id)
        # A run that was deleted meanwhile has no states.
        first = min(states, key=lambda state: state.timestamp, default=None)
        if first is None or datetime.datetime.now(datetime.UTC) - first.timestamp > _YOUNG:
            return
        event = Event(
            id=first.id,
            event=f"prefect.flow-run.{first.name}",
            occurred=first.timestamp,
            resource=Resource(
                {
                    "prefect.resource.id": f"prefect.flow-run.{run.id}",
                    "prefect.resource.name": run.name,
                    "prefect.state-name": first.name or "",
                    "prefect.state-type": first.type.value,
                }
            ),
        )
        self._client.request("POST", "/events", json=[event.model_dump(mode="json")])
