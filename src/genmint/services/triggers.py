"""Automations declared under `triggers` of a deployment in prefect.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from genmint.common.files import sha256_json
from genmint.services import api

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

# Prefix of the tag of a genmint automation; a hash of its definition follows.
_TAG = "genmint-"


def differ(
    client: SyncPrefectClient, deployment: str, wanted: list[dict[str, Any]], *, adopt: bool
) -> bool:
    """Return whether the automations of a deployment differ from the file.

    `adopt`: the deployment had no label so far; automations of `prefect deploy` are replaced.
    """
    if adopt and wanted:
        return True
    tags = {tag for each in _ours(client, deployment) for tag in each["tags"]}
    return {tag for tag in tags if tag.startswith(_TAG)} != {_tag(each) for each in wanted}


def write(client: SyncPrefectClient, deployment: UUID, wanted: list[dict[str, Any]]) -> None:
    """Replace the automations of a deployment."""
    from prefect.events import DeploymentTriggerTypes
    from pydantic import TypeAdapter

    remove(client, str(deployment))
    for each in wanted:
        trigger = TypeAdapter(DeploymentTriggerTypes).validate_python(each)
        trigger.set_deployment_id(deployment)
        automation = trigger.as_automation()
        client.create_automation(
            automation.model_copy(update={"tags": [*automation.tags, _tag(each)]})
        )


def remove(client: SyncPrefectClient, deployment: str) -> None:
    """Remove the automations made by genmint and by `prefect deploy`."""
    for each in _ours(client, deployment):
        api.delete(client, f"/automations/{each['id']}")
    api.send(client, "DELETE", f"/automations/owned-by/prefect.deployment.{deployment}")


def _ours(client: SyncPrefectClient, deployment: str) -> list[dict[str, Any]]:
    path = f"/automations/related-to/prefect.deployment.{deployment}"
    automations = api.send(client, "GET", path)
    return [each for each in automations if any(tag.startswith(_TAG) for tag in each["tags"])]


def _tag(wanted: dict[str, Any]) -> str:
    return f"{_TAG}{sha256_json(wanted)[:12]}"
