"""Flow `train-model`: one model from train to evaluate, as one run on a worker of the pool `gpu`.

`retrain` asks for it. It works in a checkout of its own, goes on from the checkpoint of a run that
died, and leaves its results in DVC's cache (or remote), where the flow that asked finds them.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from genmint.flow.home import find_home
from genmint.flow.stage import Crew, Outcome, heals
from genmint.flow.worker import Order, fulfil
from genmint.training.device_lock import DEVICE


def _heals(_task: Any, _run: Any, state: Any) -> bool:
    return heals(state.result(raise_on_failure=False))


@flow(name="train-model", flow_run_name="{model}")
def train_model(
    model: str, commit: str, ref: str, cache: str, force: tuple[str, ...] = ()
) -> State[None]:
    """Train and evaluate a model of a commit; the state says where, and what DVC did.

    Args:
        model: name of its block in params.yaml.
        commit: with code, parameters and the hashes of the prepared data.
        ref: under which the git remote has it, for a worker on another machine.
        cache: name of the DVC cache of the flow that asks (`genmint.flow.transfer.cache_token`).
        force: verbs of stages, `train`, `evaluate`, that run also where nothing changed.

    Raises:
        StageError: a stage failed.
        GenmintError: commit, inputs or results cannot be brought here or back.
    """
    device = os.environ.get(DEVICE) or os.environ.get("CUDA_VISIBLE_DEVICES") or "CPU"
    place = f"{socket.gethostname()}, {device}"
    get_run_logger().info("%s trains on %s", model, place)
    outcomes = make(Order(model, commit, ref, cache, tuple(force)))
    did = ", ".join(f"{outcome.stage} {outcome.result}" for outcome in outcomes)
    # The flow that asked reads it there, from whichever machine.
    return Completed(message=f"{place}: {did}")


@task(name="train and evaluate", retries=3, retry_delay_seconds=[2, 10, 30],
      retry_condition_fn=_heals, persist_result=False, cache_policy=NO_CACHE)  # fmt: skip
def make(order: Order) -> list[Outcome]:
    """The work, tried again where that can help."""
    crew = Crew()
    name = f"{str(flow_run.id)[:8]}-{order.model}"
    try:
        return fulfil(find_home(), order, name, crew, get_run_logger().info)
    finally:
        crew.end()
