"""`genmint ingest`, `validate`, `prepare`, `reference`, `train`, `evaluate`: stages of dvc.yaml."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Annotated

import typer

from genmint.commands.entries import known_entry, open_project
from genmint.common.dvc_preflight import check_output_folders, runs_under_dvc

DATASET_STAGES = {
    "ingest": "Write the manifest of a data set; download it if it is a named set.",
    "validate": "Validate a data set with Great Expectations.",
    "prepare": "Pack a data set into memory-mapped arrays of its splits.",
    "reference": "Compute feature extractor, baselines and noise floors of a data set.",
}
MODEL_STAGES = {
    "train": "Train a model and report the run to MLflow.",
    "evaluate": "Measure a trained model and draw samples from it.",
}


def command(stage: str) -> Callable[..., None]:
    """The function that the command line runs for a stage, with the stage's help."""
    of_dataset = stage in DATASET_STAGES
    what = "DATASET" if of_dataset else "MODEL"
    metavar = typer.Argument(metavar=what, help="An entry of params.yaml, or STAGE@ENTRY.")

    def run(name: Annotated[str, metavar]) -> None:
        run_stage(stage, entry_of(stage, name))

    run.__annotations__["name"] = Annotated[str, metavar]
    short = (DATASET_STAGES if of_dataset else MODEL_STAGES)[stage]
    run.__doc__ = (
        f"{short}\n\nA stage of dvc.yaml; `dvc repro {stage}@{what}` runs it and what it needs."
    )
    return run


def run_stage(stage: str, name: str) -> None:
    """Run a stage of a data set or a model.

    Raises:
        ConfigError: params.yaml has no such entry.
        GenmintError: the stage failed.
    """
    project, params = open_project()
    if runs_under_dvc():
        check_output_folders(project)
    if stage in DATASET_STAGES:
        known_entry(name, params.datasets, "data set")
    else:
        known_entry(name, params.models, "model")
    if stage == "train":
        from genmint.training.device_lock import refuse_elsewhere

        # First: a flow asks so for every model, and the stage takes seconds to import.
        refuse_elsewhere(name)
    from genmint.commands.stage_process import running

    with running(project, f"{stage}@{name}"):
        importlib.import_module(f"genmint.stages.{stage}").run(project, params, name)


def entry_of(stage: str, name: str) -> str:
    """The entry that a stage is run for, also where it was given as `train@NAME`, as DVC calls it.

    dvc.yaml passes the name in a variable: a shell would run what stands in a name.
    """
    return name.rpartition(":")[2].removeprefix(f"{stage}@")
