"""Page of a flow run's result: an artifact of Prefect that exists from the start of the run.

Prefect's page of a run has no place for a link in its head (seen in 3.8.8), but it opens with the
log of the run, in which an address is a link. So the address is among the first lines of the log.
"""

from __future__ import annotations

import json
from typing import cast
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.settings import PREFECT_UI_URL

_NO_RESULT = "No result yet. If the run has ended, the message of its last state has the reason."

# Prefect refuses an update above 1,500,000 bytes as JSON, and fails the run that asked for it.
_LARGEST = 1_400_000


class ResultPage:
    """Page of the current flow run; a run that goes on after a crash finds its page again."""

    def __init__(self, run: UUID, key: str) -> None:
        """Create the page of `run`, if it has none with this key."""
        page = ArtifactFilter(
            key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[run])
        )
        with get_client(sync_client=True) as client:
            existing = client.read_artifacts(artifact_filter=page, limit=1)
        # Called from code that is not asynchronous, it returns the id itself.
        self._id = (
            existing[0].id
            if existing
            else cast(UUID, create_markdown_artifact(_NO_RESULT, key=key))
        )

    @property
    def address(self) -> str | None:
        """Address in Prefect's pages; None if no server is configured that has them."""
        base = PREFECT_UI_URL.value()
        return f"{base.rstrip('/')}/artifacts/artifact/{self._id}" if base else None

    def write(self, markdown: str, description: str) -> None:
        """Replace what the page shows; lines at the end that do not fit are counted."""
        update = ArtifactUpdate(data=_fitting(markdown), description=description)
        with get_client(sync_client=True) as client:
            client.update_artifact(self._id, update)


def _fitting(markdown: str) -> str:
    """Return the first lines that fit into an update, and how many are left out."""
    lines, size = markdown.split("\n"), 0
    for number, line in enumerate(lines):
        size += len(json.dumps(line, ensure_ascii=False).encode())
        if size > _LARGEST:
            left_out = f"{len(lines) - number:,} more lines do not fit into this page."
            return "\n".join([*lines[:number], "", left_out])
    return markdown
