"""MLflow run of a training run, created once and found again by a resuming process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Param, Run

from genmint.common.tags import ERROR_TAG, MODEL_TAG, TRAINING_TAG
from genmint.tracking.provenance import DatasetInfo, flatten
from genmint.tracking.store import experiment_id


def attach(
    client: MlflowClient, name: str, token: str, start_ms: int, tags: Mapping[str, str]
) -> tuple[Run, bool]:
    """Return the active MLflow run of the training run `token`, and whether it existed.

    An existing MLflow run may hold metrics. If it had ended, it is active again and its error tag
    is removed.

    Args:
        client: client of a reachable tracker.
        name: name of the model entry.
        token: letters and digits that identify the training run in this tracker.
        start_ms: start of the training run in ms since the epoch, for a new MLflow run.
        tags: tags for a new MLflow run.

    Raises:
        MlflowException: the tracker failed; the call may be repeated.
    """
    existing = _of_training(client, name, token)
    if not existing:
        marked = {**tags, MODEL_TAG: name, TRAINING_TAG: token}
        return client.create_run(experiment_id(client), start_ms, marked), False
    # All but one are empty duplicates, see `delete_copies`.
    run = max(existing, key=lambda each: (len(each.data.metrics), len(each.data.params)))
    if run.info.status != "RUNNING":
        client.update_run(run.info.run_id, status="RUNNING")
    if ERROR_TAG in run.data.tags:
        client.delete_tag(run.info.run_id, ERROR_TAG)
    return run, True


def log_description(
    client: MlflowClient, run: Run, params: Mapping[str, Any], dataset: DatasetInfo | None
) -> None:
    """Log the parameters (flattened) and the data set that `run` lacks.

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
    """Delete empty duplicates of `run_id` that lost or late responses caused.

    The HTTP client repeats a request if the response is lost. A slow server may also complete a
    request that the client gave up. Both create a second run.

    Raises:
        MlflowException: the tracker failed.
    """
    for other in _of_training(client, name, token):
        if other.info.run_id != run_id and not other.data.metrics:
            client.delete_run(other.info.run_id)


def _of_training(client: MlflowClient, name: str, token: str) -> list[Run]:
    condition = f"tags.`{TRAINING_TAG}` = '{token}' AND tags.`{MODEL_TAG}` = '{name}'"
    return list(client.search_runs([experiment_id(client)], filter_string=condition))
