"""Recreation of an MLflow run from a model's files, if this tracker does not have it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from genmint.common.errors import GenmintError
from genmint.common.files import read_json, sha256_file
from genmint.common.layout import CONFIG, HISTORY, WEIGHTS
from genmint.common.project import Project
from genmint.common.reading import read_table
from genmint.common.tags import DVC_TAGS, MODEL_TAG, RECREATED_TAG, WEIGHTS_TAG
from genmint.tracking.chart_keys import chart_key
from genmint.tracking.provenance import DatasetInfo, data_hashes, flatten, user
from genmint.tracking.run_name import run_name, with_weights
from genmint.tracking.store import connect, experiment_id, find_run, reaching, uri
from genmint.tracking.transfer import upload
from genmint.tracking.write_conflicts import put

_BATCH = 500


def recreate_run(
    project: Project,
    name: str,
    client: MlflowClient | None = None,
    *,
    files: Project | None = None,
) -> str:
    """Return the id of the run that produced model `name`; recreate the run if it is unknown.

    A model restored from the DVC cache was trained elsewhere, or before this tracker existed. Its
    run is recreated from models/NAME/history.csv and config.json, with the tag `genmint.recreated`.
    Times are those of the file, since the history has none. The run names no commit, because the
    checked-out commit need not be the one that was trained.

    Args:
        project: project of the tracker.
        name: name of the model.
        client: client of that reachable tracker; None connects.
        files: project with models/NAME and dvc.lock, if different from `project`.

    Raises:
        RegistryUnreachableError: the tracker does not answer.
        GenmintError: history or configuration are missing or unreadable.
    """
    client = client or connect(project)
    files = files or project
    folder = files.model(name)
    weights = sha256_file(folder / WEIGHTS)
    with reaching(uri(project)):
        known = find_run(client, name, weights)
    if known is not None:
        return known
    config = read_json(folder / CONFIG, f"Run `dvc repro train@{name}`.")
    metrics = _read_history(folder / HISTORY, name)
    with reaching(uri(project)):
        return _write_run(client, files, name, weights, config, metrics)


def _write_run(
    client: MlflowClient,
    project: Project,
    name: str,
    weights: str,
    config: dict[str, Any],
    metrics: list[Metric],
) -> str:
    folder = project.model(name)
    start = int((folder / HISTORY).stat().st_mtime * 1000)
    tags = {
        "mlflow.runName": with_weights(run_name(name, config.get("model", {}), {}), weights),
        "mlflow.user": user(),
        MODEL_TAG: name,
        RECREATED_TAG: "1",
    }
    dataset = str(config.get("model", {}).get("dataset", ""))
    tags.update({f"{DVC_TAGS}{k}": v for k, v in data_hashes(project, dataset).items()})
    run_id = str(client.create_run(experiment_id(client), start, tags).info.run_id)
    parameters = [Param(k, v) for k, v in flatten(config.get("model", {})).items()]
    client.log_batch(run_id, params=parameters)
    if config.get("prepared"):
        put(client.log_inputs, run_id, [_dataset(project, config, dataset).to_mlflow()])
    for begin in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])
    for file in (CONFIG, HISTORY):
        upload(client, run_id, folder / file)
    # The tag that identifies the run is written last, so an incomplete run is never found by it.
    client.log_batch(run_id, tags=[RunTag(WEIGHTS_TAG, weights)])
    client.set_terminated(run_id, "FINISHED", end_time=start)
    return run_id


def _dataset(project: Project, config: dict[str, Any], dataset: str) -> DatasetInfo:
    source = os.path.relpath(project.prepared(dataset), project.root)
    kind = str(config.get("data", {}).get("kind", ""))
    return DatasetInfo(dataset, kind, str(config["prepared"]), source, {})


def _read_history(path: Path, name: str) -> list[Metric]:
    way_out = f"Run `dvc repro -f train@{name}`."
    rows = read_table(path, ("step",), "a history", way_out)
    time = int(path.stat().st_mtime * 1000)
    metrics = []
    for line, row in enumerate(rows, start=2):
        try:
            step = int(row["step"])
            for key, text in row.items():
                if key not in ("step", "epoch") and text:
                    value = float(text)
                    if math.isfinite(value):
                        metrics.append(Metric(chart_key(key), value, time, step))
        except ValueError as error:
            raise GenmintError(f"{path}: line {line}: not a history ({error}). {way_out}") from None
    return metrics
