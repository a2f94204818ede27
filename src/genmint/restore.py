"""A model's files, put back from DVC's cache where the working tree lacks them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from genmint.config import Params
from genmint.project import Project


def restore(project: Project, params: Params, names: Sequence[str]) -> None:
    """Check out what promotion needs of each model, if it is missing here and DVC knows it.

    `dvc repro --allow-missing` and a fresh clone leave stages that are up to date without their
    files. What the cache lacks too stays missing: promotion then names it.
    """
    if not (project.root / "dvc.lock").is_file():
        return
    stages: list[str] = []
    for name in names:
        dataset = params.models[name].dataset
        if not all(path.exists() for path in _needed(project, name, dataset)):
            stages += [f"{stage}@{name}" for stage in ("train", "evaluate", "gate")]
            stages += [f"{stage}@{dataset}" for stage in ("validate", "prepare", "reference")]
    if stages:
        subprocess.run(
            [sys.executable, "-m", "dvc", "checkout", "--quiet", "--allow-missing", *stages],
            cwd=project.root,
            check=False,
            capture_output=True,
        )


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
