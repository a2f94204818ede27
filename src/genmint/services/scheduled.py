"""Events that Prefect's scheduler leaves out; alerts would come a quarter of an hour late.

Events about a run's states name the one they follow where that is less than five minutes older, and
Prefect's automations hold an event back for 15 minutes until they have met the one it follows. Of
the first state of a run that a schedule made there is no event. So all that such a run does in its
first minutes would be held back, its failure too: a deployment that runs every minute, or a nightly
one deployed just before midnight.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

# Twice as long as Prefect names the state before.
_YOUNG = datetime.timedelta(minutes=10)


class ScheduledEvents:
    """Sends the missing events of runs that schedules made, each once."""

    def __init__(self, client: SyncPrefectClient) -> None:
        """`client`: of the server that is told."""
        self._client = client
        self._told: set[UUID] = set()

    def tell_of(self, runs: list[FlowRun]) -> None:
        """Send those of `runs`, which have left their first state.

        Raises:
            httpx.HTTPError: Prefect's server does not answer now, or refuses.
        """
        for run in runs:
            if run.auto_scheduled and run.id not in self._told:
                self._tell_of(run)
                self._told.add(run.id)

    def _tell_of(self, run: FlowRun) -> None:
        from prefect.events.schemas.events import Event, Resource

        states = self._client.read_flow_run_states(run.id)
        # A run that was deleted since has none.
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
