"""The one run of a training: made once, and found again by the process that resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Param, Run

from genmint.tracking.provenance import DatasetInfo, flatten
from genmint.tracking.store import experiment_id

_TRAINING = "genmint.training"
ERROR = "genmint.error"


def attach(
    client: MlflowClient, name: str, token: str, start_ms: int, tags: Mapping[str, str]
) -> tuple[Run, bool]:
    """Return the running run of the training `token` of model `name`, and whether it was there.

    A run that was there may hold metrics; one that had ended runs again, without its error.

    Args:
        client: of a tracker that answers.
        name: of the model's block.
        token: letters and digits that no other training of this tracker has.
        start_ms: start of the training, for a run that must be made.
        tags: of a run that must be made.

    Raises:
        MlflowException: the tracker failed; calling again goes on from there.
    """
    found = _of_training(client, name, token)
    if not found:
        marked = {**tags, "genmint.model": name, _TRAINING: token}
        return client.create_run(experiment_id(client), start_ms, marked), False
    # Of several, all but one are the empty ones that `delete_copies` tells of.
    run = max(found, key=lambda each: (len(each.data.metrics), len(each.data.params)))
    if run.info.status != "RUNNING":
        client.update_run(run.info.run_id, status="RUNNING")
    if ERROR in run.data.tags:
        client.delete_tag(run.info.run_id, ERROR)
    return run, True


def describe(
    client: MlflowClient, run: Run, params: Mapping[str, Any], dataset: DatasetInfo | None
) -> None:
    """Log the parameters (flattened) and the data set, as far as `run` lacks them.

    Raises:
        MlflowException: the tracker failed.
    """
    flat = flatten(params).items()
    missing = [Param(key, value) for key, value in flat if key not in run.data.params]
    client.log_batch(run.info.run_id, params=missing)
    has_inputs = run.inputs is not None and run.inputs.dataset_inputs
    if dataset is not None and not has_inputs:
        client.log_inputs(run.info.run_id, [dataset.to_mlflow()])


def delete_copies(client: MlflowClient, name: str, token: str, run_id: str) -> None:
    """Delete the empty runs that lost or late answers left beside `run_id`.

    The HTTP client sends a request again when its answer is lost, and a slow server may still
    carry out one that was given up: either way a run is created twice.

    Raises:
        MlflowException: the tracker failed.
    """
    for other in _of_training(client, name, token):
        if other.info.run_id != run_id and not other.data.metrics:
            client.delete_run(other.info.run_id)


def _of_training(client: MlflowClient, name: str, token: str) -> list[Run]:
    condition = f"tags.`{_TRAINING}` = '{token}' AND tags.`genmint.model` = '{name}'"
    return list(client.search_runs([experiment_id(client)], filter_string=condition))
