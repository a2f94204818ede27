"""Work pools and queues of Prefect, which must exist before deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genmint.common.errors import GenmintError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CPU, GPU = "cpu", "gpu"
# A lower number has precedence: interactive runs do not wait for nightly runs.
QUEUES = {"person": 1, "nightly": 2}
# Every flow run uses `die_with_parent`, whichever worker starts it. `python` is that of the
# worker's environment, first on its PATH, because machines share the pools.
COMMAND = "python -m genmint.services.die_with_parent python -m prefect.engine"


def create_pools(client: SyncPrefectClient) -> None:
    """Create or update both pools and their queues; change nothing if they are up to date."""
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
                existing = client.read_work_queue_by_name(queue, work_pool_name=pool)
            except ObjectNotFound:
                client.create_work_queue(queue, priority=priority, work_pool_name=pool)
            else:
                if existing.priority != priority:
                    client.update_work_queue(existing.id, priority=priority)
