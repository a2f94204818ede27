"""Flow `train-model`: train and evaluate one model, as one run on a worker of the pool `gpu`.

`retrain` requests it. It works in its own checkout and continues from the checkpoint of a killed
run. Its results go to DVC's cache (or remote), where the flow that requested it finds them.
"""

from __future__ import annotations

import genmint.flow.environment  # noqa: F401 - first, since Prefect reads its settings on import

# isort: split

import os
import socket

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Completed

from genmint.flow.home import find_home
from genmint.flow.stage import ProcessGroup, StageOutcome
from genmint.flow.worker import Order, fulfil
from genmint.services.attempts import Attempts
from genmint.services.retries import RETRY_OPTIONS
from genmint.services.run_names import naming, train_name
from genmint.services.waiting import showing_locks
from genmint.training.device_lock import DEVICE


@flow(name="train-model", flow_run_name=naming(lambda known: train_name(known["model"])))
def train_model(
    model: str, commit: str, ref: str, cache: str, force: tuple[str, ...] = ()
) -> State[None]:
    """Train and evaluate a model of a commit; the returned state has the place and the actions.

    Args:
        model: name of its entry in params.yaml.
        commit: git commit with code, parameters and the hashes of the prepared data.
        ref: git ref of the commit on the remote, for a worker on another machine.
        cache: name of the DVC cache of the requesting flow (`genmint.flow.transfer.cache_token`).
        force: verbs of stages, `train`, `evaluate`, that run although nothing changed.

    Raises:
        StageError: a stage failed.
        GenmintError: commit, inputs or results cannot be transferred.
    """
    device = os.environ.get(DEVICE) or os.environ.get("CUDA_VISIBLE_DEVICES") or "CPU"
    place = f"{socket.gethostname()}, {device}"
    get_run_logger().info("%s trains on %s", model, place)
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    attempts = Attempts(context.flow_run, get_run_logger().warning)
    order = Order(model, commit, ref, cache, tuple(force))
    outcomes = attempts.over_all(make(order, attempts))
    did = ", ".join(f"{outcome.stage} {outcome.result}" for outcome in outcomes)
    # The requesting flow reads the message, from any machine.
    return Completed(message=f"{place}: {did}")


@task(name="train and evaluate", **RETRY_OPTIONS)
def make(order: Order, attempts: Attempts) -> list[StageOutcome]:
    """Run the stages; retried after temporary errors."""
    process_group = ProcessGroup()
    name = f"{str(flow_run.id)[:8]}-{order.model}"
    try:
        with showing_locks(attempts.listening(get_run_logger().info)) as say:
            return fulfil(find_home(), order, name, process_group, say)
    finally:
        process_group.end()
