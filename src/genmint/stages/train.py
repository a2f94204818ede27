"""Stage train: from prepared data to weights, their configuration and history, and a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from genmint import tracking
from genmint.config import Params
from genmint.data import views
from genmint.data.prepared import Prepared
from genmint.errors import ConfigError, DataError
from genmint.files import atomic_dir, write_json
from genmint.models import store
from genmint.models.family import Family
from genmint.models.store import ModelRecord
from genmint.project import Project
from genmint.training.history import write_history
from genmint.training.loop import Outcome, fit
from genmint.training.precision import choose_device, resolve_precision


def run(project: Project, params: Params, name: str) -> None:
    """Train models.NAME and write models/NAME, whole or not at all.

    Raises:
        ConfigError: no such block, or one that does not fit the data.
        DataError: the prepared data are missing, changed, or not of the block's data set.
        GenmintError: the training failed.
    """
    if name not in params.models:
        raise ConfigError(f"{project.params}: models has no block {name!r}")
    config = params.models[name]
    prepared = Prepared(project.prepared(config.dataset))
    if prepared.meta.dataset != config.dataset:
        raise DataError(
            f"{prepared.path / 'meta.json'}: is of {prepared.meta.dataset!r}. "
            f"Run `dvc repro -f prepare@{config.dataset}`."
        )
    prepared.check()
    spec = prepared.spec(config.family)
    device = choose_device()
    resolved = {"precision": resolve_precision(config, device), "device": device.type}
    model = store.build(config, spec).to(device)
    about = tracking.DatasetInfo(
        name=config.dataset,
        kind=prepared.meta.kind,
        sha256=prepared.sha256,
        source=os.path.relpath(prepared.path, project.root),
        items=prepared.meta.items,
    )
    logged = {**config.model_dump(mode="json"), "resolved": resolved}
    with tracking.start_run(project, name, logged, about) as reported:
        outcome = fit(
            name,
            model,
            config,
            views.load(prepared, "train", spec),
            views.load(prepared, "validation", spec),
            precision=resolved["precision"],
            reporter=reported,
        )
        described = {
            "name": name,
            "model": config,
            "data": spec,
            "prepared": prepared.sha256,
            "resolved": resolved,
        }
        record = _write(project, name, model, described, outcome)
        folder = project.model(name)
        reported.finish(record.weights, [folder / store.CONFIG, folder / "history.csv"])
    parameters = sum(value.numel() for value in model.parameters())
    print(  # noqa: T201 - a stage says what it did
        f"{name}: {parameters:,} parameters, {config.steps} steps in {outcome.seconds:.1f} s; "
        f"best validation loss {outcome.best_loss:.4f} at step {outcome.best_step}"
    )


def _write(
    project: Project, name: str, model: Family, described: dict[str, Any], outcome: Outcome
) -> ModelRecord:
    with atomic_dir(project.model(name)) as folder:
        record = store.save(folder, model, described)
        write_history(folder / "history.csv", outcome.history)
    # Times differ from run to run, and outs must not: they go where evaluate finds them by weights.
    write_json(_cost(project, record), {"train_seconds": outcome.seconds})
    return record


def _cost(project: Project, record: ModelRecord) -> Path:
    return project.state / "cost" / f"{record.weights}.json"
