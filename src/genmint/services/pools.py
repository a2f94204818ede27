"""What Prefect's server must know before work can be done: pools, queues, deployments."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from genmint.errors import GenmintError
from genmint.files import read_json, sha256_file, write_json
from genmint.services.config import Services
from genmint.services.servers import environment

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CPU, GPU = "cpu", "gpu"
# Lower is sooner: a person does not wait behind the night.
QUEUES = {"person": 1, "nightly": 2}
# Every flow run is mortal (see that module), whichever worker starts it. `python` is the one of the
# worker's own environment, first on its PATH: pools are shared by machines.
COMMAND = "python -m genmint.services.mortal python -m prefect.engine"


def create_pools(client: SyncPrefectClient) -> None:
    """Create or mend both pools and their queues; changes nothing where all is as it should be."""
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = COMMAND
    for pool in (CPU, GPU):
        try:
            client.create_work_pool(
                WorkPoolCreate(name=pool, type="process", base_job_template=template)
            )
        except ObjectAlreadyExists:
            known = client.read_work_pool(pool)
            if known.type != "process":
                raise GenmintError(
                    f"work pool {pool!r} is of type {known.type!r}, not process: "
                    f"`prefect work-pool delete {pool}`, then start again"
                ) from None
            if known.base_job_template != template:
                client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))
        for queue, priority in QUEUES.items():
            try:
                found = client.read_work_queue_by_name(queue, work_pool_name=pool)
            except ObjectNotFound:
                client.create_work_queue(queue, priority=priority, work_pool_name=pool)
            else:
                if found.priority != priority:
                    client.update_work_queue(found.id, priority=priority)


def deploy(services: Services, client: SyncPrefectClient) -> bool:
    """`prefect deploy --all`, unless prefect.yaml was deployed as it is; whether it was done.

    What was paused by hand stays paused until prefect.yaml changes.

    Raises:
        GenmintError: Prefect refused prefect.yaml.
    """
    declared = services.project.root / "prefect.yaml"
    if not declared.exists():
        return False
    note = services.state / "deployed.json"
    now = {"prefect.yaml": sha256_file(declared)}
    if note.exists() and read_json(note) == now and client.read_deployments(limit=1):
        return False
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=services.project.root,
        env=environment(services),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GenmintError(f"{declared}: Prefect refused it:\n{_last(done.stdout + done.stderr)}")
    write_json(note, now)
    return True


def _last(text: str, lines: int = 20) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
