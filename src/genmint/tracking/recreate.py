"""A run made again from what a model carries, when this tracker has never seen it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from genmint.errors import GenmintError
from genmint.files import read_json, sha256_file
from genmint.project import Project
from genmint.reading import read_table
from genmint.rows import put
from genmint.tracking.provenance import DatasetInfo, data_hashes, flatten, user
from genmint.tracking.store import connect, experiment_id, find_run, reaching, uri

_BATCH = 500


def recreate_run(
    project: Project,
    name: str,
    client: MlflowClient | None = None,
    *,
    files: Project | None = None,
) -> str:
    """Id of the run that made the weights of model `name`, made from its history if unknown.

    A model that DVC restored from a cache was trained elsewhere, or before this tracker existed.
    Its run is then written anew from models/NAME/history.csv and config.json, with the tag
    `genmint.recreated`; times are those of the file, since the history holds none. It names no
    commit: the one that happens to be checked out here need not be the one that trained.

    Args:
        project: whose tracker it is.
        name: of the model.
        client: of that tracker, which answers; one is made if it is left out.
        files: with models/NAME and dvc.lock, if they are not to be read from `project`.

    Raises:
        RegistryUnreachableError: the tracker does not answer.
        GenmintError: history or configuration are missing or unreadable.
    """
    client = client or connect(project)
    files = files or project
    folder = files.model(name)
    weights = sha256_file(folder / "model.safetensors")
    with reaching(uri(project)):
        known = find_run(client, name, weights)
    if known is not None:
        return known
    config = read_json(folder / "config.json", f"Run `dvc repro train@{name}`.")
    metrics = _read_history(folder / "history.csv", name)
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
    start = int((folder / "history.csv").stat().st_mtime * 1000)
    tags = {
        "mlflow.runName": name,
        "mlflow.user": user(),
        "genmint.model": name,
        "genmint.recreated": "1",
    }
    dataset = str(config.get("model", {}).get("dataset", ""))
    tags.update({f"dvc.{k}": v for k, v in data_hashes(project, dataset).items()})
    run_id = str(client.create_run(experiment_id(client), start, tags).info.run_id)
    parameters = [Param(k, v) for k, v in flatten(config.get("model", {})).items()]
    client.log_batch(run_id, params=parameters)
    if config.get("prepared"):
        put(client.log_inputs, run_id, [_dataset(project, config, dataset).to_mlflow()])
    for begin in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])
    client.log_artifact(run_id, str(folder / "config.json"))
    client.log_artifact(run_id, str(folder / "history.csv"))
    # The tag by which it is found comes last: a half-written run is never taken for the real one.
    client.log_batch(run_id, tags=[RunTag("genmint.weights", weights)])
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
                        metrics.append(Metric(key, value, time, step))
        except ValueError as error:
            raise GenmintError(f"{path}: line {line}: not a history ({error}). {way_out}") from None
    return metrics
