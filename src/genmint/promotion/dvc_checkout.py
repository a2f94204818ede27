"""Restoring a model's files from the DVC cache if the working tree lacks them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genmint.common.dvc_lock import read_lock
from genmint.common.layout import CONFIG, HEALTH, HISTORY, WEIGHTS
from genmint.common.programs import run_dvc
from genmint.common.project import Project
from genmint.config import Params


def restore(project: Project, params: Params, names: Sequence[str]) -> None:
    """Check out the files that promotion needs of each model, if they are missing.

    `dvc repro --allow-missing` and a fresh clone leave up-to-date stages without their files. Files
    that the cache lacks stay missing; promotion then reports them.

    Raises:
        GenmintError: dvc.lock is damaged, or DVC fails.
    """
    if not read_lock(project.lock):
        return
    stages: list[str] = []
    for name in names:
        dataset = params.models[name].dataset
        if not all(path.exists() for path in _needed(project, name, dataset)):
            stages += [f"{stage}@{name}" for stage in ("train", "evaluate", "gate")]
            stages += [f"{stage}@{dataset}" for stage in ("validate", "prepare", "reference")]
    if stages:
        run_dvc(project, "checkout", "--quiet", "--allow-missing", *stages)


def _needed(project: Project, name: str, dataset: str) -> list[Path]:
    return [
        project.model(name) / WEIGHTS,
        project.model(name) / CONFIG,
        project.model(name) / HISTORY,
        project.model(name) / HEALTH,
        project.metrics(name),
        project.cost(name),
        project.samples(name),
        project.gate_record(name),
        project.validation(dataset),
        project.prepared(dataset),
        project.reference(dataset),
    ]
