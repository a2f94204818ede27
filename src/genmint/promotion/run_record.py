"""What a promotion adds to the MLflow run of a model, for people who look at the run."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import scratch_dir, sha256_file
from genmint.common.layout import HISTORY, SHEET, STRIP, TEXT
from genmint.common.project import Project
from genmint.common.tags import ENTRY_VERSION_TAGS, VERDICT_TAG
from genmint.decision.trivial_baselines import marked_metrics
from genmint.promotion.challenge import Challenger
from genmint.promotion.version_card import Page
from genmint.registry import signature
from genmint.registry.registry import Registry
from genmint.registry.versions import MISSING, Version
from genmint.tracking.chart_keys import chart_key
from genmint.training.history import read_history

_VERSION_TAG = ENTRY_VERSION_TAGS["version"]
_FOLDER = "samples"
_LOSS = "validation_loss"


def log_samples(
    registry: Registry, run_id: str, files: Project, name: str, known: Version | None
) -> None:
    """Copy the samples of a model to `samples/` of its run, named by their training step.

    They are unsigned copies of signed files. A file that is there already is uploaded again only if
    the version was signed with another one.

    Args:
        registry: registry of the run.
        run_id: the run.
        files: files of the model.
        name: name of the model.
        known: version of these weights as registered so far; None if there is none.
    """
    signed = None if known is None else signature.read(known.tags)
    hashes = {} if signed is None else signed[0].evaluation
    with scratch_dir() as scratch, tracking.reaching(registry.address):
        there = {item.path for item in registry.client.list_artifacts(run_id, _FOLDER)}
        for target, path in samples(files, name).items():
            stored = path.relative_to(files.root).as_posix()
            if target in there and hashes.get(stored) == sha256_file(path):
                continue
            copy = scratch / target.rpartition("/")[2]
            shutil.copyfile(path, copy)
            tracking.upload(registry.client, run_id, copy, _FOLDER)


def samples(files: Project, name: str) -> dict[str, Path]:
    """Return the existing files with samples of a model, by their path in the run's artefacts."""
    folder, step = files.samples(name), _best_step(files, name)
    return {
        f"{_FOLDER}/{'samples' if step is None else f'step-{step}'}{path.suffix}": path
        for path in (folder / shown for shown in (SHEET, STRIP, TEXT))
        if path.is_file()
    }


def _best_step(files: Project, name: str) -> int | None:
    """Return the training step of a model's weights: that of its lowest validation loss.

    None if the history is missing or has no such loss, which must not stop a promotion.
    """
    try:
        rows = read_history(files.model(name) / HISTORY)
    except GenmintError:
        return None
    losses = {int(row.get("step", 0)): row.get(_LOSS, math.nan) for row in rows}
    finite = [step for step, loss in losses.items() if math.isfinite(loss)]
    return min(finite, key=losses.__getitem__, default=None)


def page_of(
    registry: Registry,
    challenger: Challenger,
    run_id: str | None,
    version: Version | None,
    champion: Version | None,
) -> Page:
    """Collect what the page of a version shows from its run and the champion's.

    Args:
        registry: registry of the version.
        challenger: the model.
        run_id: run of the version, None if it has none.
        version: the version; None before it has a number.
        champion: champion of the model; None if there is none.
    """
    if version is not None and champion is not None and champion.version == version.version:
        champion = None
    artifacts = ""
    with tracking.reaching(registry.address):
        run = _run(registry, run_id)
        if run is not None:
            artifacts = f"#/experiments/{run.info.experiment_id}/runs/{run_id}/artifacts"
        recorded = None if champion is None else _run(registry, champion.run_id)
    return Page(
        version=None if version is None else version.version,
        samples=tuple(samples(challenger.files, challenger.name)),
        artifacts=artifacts,
        metrics=challenger.scores.metrics,
        no_better=marked_metrics(challenger.evaluation),
        champion=None if champion is None else champion.version,
        champion_metrics={} if recorded is None else _by_name(recorded, challenger),
    )


def _run(registry: Registry, run_id: str | None) -> Run | None:
    """Return the run of a version; None if there is none, or if it was deleted."""
    if run_id is None:
        return None
    try:
        return registry.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        return None


def _by_name(run: Run, challenger: Challenger) -> dict[str, float]:
    """Return the metrics of a run that the challenger has, too, by their names."""
    keyed = run.data.metrics
    # Runs of earlier versions of genmint have the names as keys.
    keys = {name: (chart_key(name), name) for name in challenger.scores.metrics}
    return {
        name: keyed[key] for name, either in keys.items() for key in either[::-1] if key in keyed
    }


def tag_run(registry: Registry, run_id: str, version: str | None, verdict: str) -> None:
    """Write the latest verdict of `genmint promote` to a run, and the version made from it."""
    known = {VERDICT_TAG: verdict} | ({} if version is None else {_VERSION_TAG: version})
    with tracking.reaching(registry.address):
        tags = registry.client.get_run(run_id).data.tags
        changed = [RunTag(key, value) for key, value in known.items() if tags.get(key) != value]
        if changed:
            registry.client.log_batch(run_id, tags=changed)
