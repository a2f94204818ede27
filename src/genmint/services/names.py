"""Unique worker names per machine while they are in use.

Prefect treats two workers of the same name as one. Each machine therefore stores a variable on the
server that records the owner of its name.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
import secrets
import socket
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from genmint.common.errors import ConfigError
from genmint.common.files import create_private
from genmint.services.config import Services
from genmint.services.pools import CPU, GPU

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import Worker

_TOKEN = "machine.id"  # noqa: S105 - a name, not a secret


def claim(client: SyncPrefectClient, services: Services, names: Collection[str]) -> None:
    """Reserve the machine's name for this clone, before its workers start.

    Args:
        client: client of Prefect's server.
        services: the options.
        names: names of the workers.

    Raises:
        ConfigError: another clone or machine uses the name, or a worker of one of `names` is
            running.
    """
    from prefect.client.schemas.actions import VariableCreate, VariableUpdate

    variable, mine = _variable(services.machine), _owner(services)
    variable_value = client.read_variable_by_name(variable)
    owner: Any = None if variable_value is None else variable_value.value
    if owner is not None and owner["id"] == mine["id"]:
        # Workers left by an earlier supervisor of this clone have been killed.
        return
    for _, worker in _online(client):
        if worker.name in names or (owner is not None and _is_of(services.machine, worker)):
            raise ConfigError(_refusal(services.machine, worker, owner))
    if owner is None:
        client.create_variable(VariableCreate(name=variable, value=mine))
    else:
        client.update_variable(VariableUpdate(name=variable, value=mine))


def release(client: SyncPrefectClient, services: Services, names: Collection[str]) -> None:
    """Release the name and delete the workers in Prefect; all of them have ended."""
    from prefect.exceptions import ObjectNotFound

    for pool, worker in _online(client):
        if worker.name in names:
            client.request(
                "DELETE",
                "/work_pools/{work_pool_name}/workers/{name}",
                path_params={"work_pool_name": pool, "name": quote(worker.name)},
            )
    # The variable may have been deleted by hand.
    with contextlib.suppress(ObjectNotFound):
        client.delete_variable_by_name(_variable(services.machine))


def is_online(client: SyncPrefectClient, name: str) -> bool:
    """Return whether a worker of this name is online (heartbeat within three intervals)."""
    return any(worker.name == name for _, worker in _online(client))


def _online(client: SyncPrefectClient) -> Iterator[tuple[str, Worker]]:
    from prefect.client.schemas.objects import WorkerStatus

    for pool in (CPU, GPU):
        for worker in client.read_workers_for_work_pool(pool):
            if worker.status == WorkerStatus.ONLINE:
                yield pool, worker


def _is_of(machine: str, worker: Worker) -> bool:
    return worker.name.startswith(f"{machine}:")


def _owner(services: Services) -> dict[str, str]:
    """Return the identity of this clone; its id is created at the first start."""
    path = services.state / _TOKEN
    create_private(path, secrets.token_hex(8))
    return {
        "id": path.read_text(encoding="utf-8"),
        "host": socket.gethostname(),
        "folder": str(services.project.root),
    }


def _variable(machine: str) -> str:
    # Prefect allows few characters; the hash keeps different names distinct.
    readable = re.sub(r"[^a-z0-9]", "_", machine.lower())
    return f"genmint_machine_{readable}_{hashlib.sha256(machine.encode()).hexdigest()[:6]}"


def _refusal(machine: str, worker: Worker, owner: Any) -> str:
    assert worker.last_heartbeat_time is not None
    silence = datetime.datetime.now(datetime.UTC) - worker.last_heartbeat_time
    whose = "" if owner is None else f" by {owner['folder']} on {owner['host']}"
    return (
        f"--name {machine}: worker {worker.name} is in use{whose}, last heartbeat "
        f"{max(0, round(silence.total_seconds()))} s ago. Give another --name, or wait until it "
        "has been silent for three of its heartbeats (90 s)"
    )
