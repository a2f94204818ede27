"""A model's files, put back from DVC's cache where the working tree lacks them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genmint.config import Params
from genmint.lock import read_lock
from genmint.programs import run_dvc
from genmint.project import Project


def restore(project: Project, params: Params, names: Sequence[str]) -> None:
    """Check out what promotion needs of each model, if it is missing here and DVC knows it.

    `dvc repro --allow-missing` and a fresh clone leave stages that are up to date without their
    files. What the cache lacks too stays missing: promotion then names it.

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
        project.model(name) / "model.safetensors",
        project.model(name) / "config.json",
        project.model(name) / "history.csv",
        project.model(name) / "health.json",
        project.metrics(name),
        project.cost(name),
        project.samples(name),
        project.gate_record(name),
        project.validation(dataset),
        project.prepared(dataset),
        project.reference(dataset),
    ]
