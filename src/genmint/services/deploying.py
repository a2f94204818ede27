"""Deployment of a project by `genmint services` at its start and by `genmint deploy`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.layout import DEPLOYMENTS
from genmint.common.project import Project
from genmint.services.config import services_state
from genmint.services.deployment import deploy
from genmint.services.deployment_file import read_deployment_file

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def deploy_project(
    project: Project,
    client: SyncPrefectClient,
    environment: Mapping[str, str],
    *,
    dry_run: bool = False,
) -> list[str]:
    """Make the server agree with the project's prefect.yaml; return one line per change.

    A project without the file keeps its deployments.

    Args:
        project: project of the prefect.yaml.
        client: client of the server.
        environment: environment of the process that loads the flows; names the same server.
        dry_run: report only.

    Raises:
        ConfigError: the file is not valid, or uses the name of another project's deployment.
        GenmintError: the server rejects a change.
        httpx.HTTPError: the server does not respond.
    """
    if not (project.root / DEPLOYMENTS).exists():
        return ["no prefect.yaml: deployments are unchanged"]
    cache = services_state(project) / "declared.json"
    file = read_deployment_file(project.root, environment, cache)
    return deploy(client, file, dry_run=dry_run) or ["prefect.yaml: deployed, no differences"]


def deploy_by_hand(project: Project, *, dry_run: bool) -> list[str]:
    """Deploy to the server that `prefect` would use in the project's folder.

    Raises:
        ConfigError: no server is configured; or see `deploy_project`.
        GenmintError: the server does not respond, or rejects a request.
    """
    # Prefect searches the working directory for prefect.toml.
    os.chdir(project.root)
    import httpx
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        temporary_settings,
    )

    address = PREFECT_API_URL.value()
    if not address:
        raise ConfigError(
            "no server: set PREFECT_API_URL, or start `genmint services`, which deploys by itself"
        )
    environment = {**os.environ, "PREFECT_API_URL": address}
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            SyncPrefectClient(address, auth_string=PREFECT_API_AUTH_STRING.value()) as client,
        ):
            # Fail before the flows are loaded, which takes seconds.
            client.read_deployments(limit=1)
            return deploy_project(project, client, environment, dry_run=dry_run)
    except httpx.HTTPError as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise GenmintError(f"{address}: {reason}. `genmint doctor` shows more") from error
