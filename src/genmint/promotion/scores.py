"""Scores of challenger and champion under one protocol, read from files or measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from genmint.common.errors import GenmintError
from genmint.common.files import read_json
from genmint.common.project import Project
from genmint.config.base import first_problem
from genmint.data.prepared import Prepared
from genmint.decision.comparison import Scores, Spread, incomparable
from genmint.decision.evaluation import Evaluation, is_number
from genmint.decision.gate import as_measured
from genmint.models.shared import store
from genmint.models.shared.family import Family
from genmint.models.shared.record import ModelRecord


def recorded_scores(evaluation: Evaluation) -> Scores:
    """Return the scores that the evaluate stage wrote.

    Raises:
        GenmintError: a file is missing or unreadable.
    """
    return Scores(
        metrics=_numbers(evaluation),
        protocol=evaluation.measured()["protocol"],
        items=evaluation.content(evaluation.items) or {},
        resamples=evaluation.content(evaluation.resamples),
    )


def read_spread(project: Project, name: str) -> Spread | str:
    """Read the seed spread of a model, or return why it is unknown."""
    path = project.spread(name)
    way_out = f"run `genmint spread {name}`"
    if not path.is_file():
        return f"the spread between seeds is not known: {way_out}"
    try:
        spread = Spread.model_validate_json(json.dumps(read_json(path)))
    except GenmintError:
        # The reason goes into the journal, which must not contain paths of this machine.
        return f"results/seed_spread/{name}.json is invalid (not valid JSON): {way_out}"
    except ValidationError as error:
        message = first_problem(error)[1].removeprefix("Value error, ")
        return f"results/seed_spread/{name}.json is invalid ({message}): {way_out}"
    if spread.model != name:
        return f"results/seed_spread/{name}.json belongs to {spread.model}: {way_out}"
    return spread


def champion_scores(
    evaluation: Evaluation, metrics: Sequence[str], protocol: Mapping[str, Any]
) -> Scores | None:
    """Return the champion's recorded scores; None if they do not count for a comparison.

    They count if the files are those that were measured, under `protocol` for each metric.

    Args:
        evaluation: evaluation that is stored with the champion.
        metrics: metrics to compare.
        protocol: protocol of the challenger.
    """
    if not all(check.passed for check in as_measured(evaluation)):
        return None
    try:
        recorded = recorded_scores(evaluation)
    except GenmintError:
        # Another genmint version registered it, or it is incomplete; the model is measured again.
        return None
    others = [one for one in metrics if incomparable(one, recorded.protocol, protocol)]
    return None if others else recorded


def confirmation_scores(
    project: Project, name: str, folder: Path, metrics: Sequence[str]
) -> Scores | None:
    """Score a model on the confirmation split in `metrics`; None if the split is empty.

    Args:
        project: project with the prepared data and reference of the model's data set.
        name: name of the model.
        folder: folder with model.safetensors and config.json.
        metrics: names of the metrics to compute.

    Raises:
        GenmintError: the model cannot be measured on these data.
    """
    from genmint.evaluation.score import score_on

    model, record = _load(name, folder)
    dataset = record.model.dataset
    prepared = Prepared(project.prepared(dataset))
    if not prepared.meta.items.get("confirmation"):
        return None
    values, items, resamples = score_on(
        "confirmation", model, record, prepared, project.reference(dataset), metrics
    )
    return Scores(values, {}, _lists(items), resamples)


def measured_scores(project: Project, name: str, weights: Path) -> Scores:
    """Score the champion on the current data and reference, as the evaluate stage would.

    Args:
        project: project with the prepared data and the reference that the challenger was measured
            on.
        name: name of the model.
        weights: folder with the champion's model.safetensors and config.json.

    Raises:
        GenmintError: the champion's files are damaged, or it cannot be measured on these data.
    """
    from genmint.evaluation.score import score

    model, record = _load(name, weights)
    dataset = record.model.dataset
    scored = score(model, record, Prepared(project.prepared(dataset)), project.reference(dataset))
    return Scores(scored.metrics, scored.protocol, _lists(scored.items), scored.resamples)


def _load(name: str, folder: Path) -> tuple[Family, ModelRecord]:
    model, record = store.load(folder)
    if record.name != name:
        raise GenmintError(f"the champion of {name} holds the weights of {record.name}")
    return model, record


def _numbers(evaluation: Evaluation) -> dict[str, float]:
    metrics = evaluation.content(evaluation.metrics)
    for value in metrics.values():
        if not is_number(value):
            raise GenmintError(
                f"{evaluation.metrics.file}: not numbers by name of the metric. "
                f"Run `dvc repro gate@{evaluation.name}`."
            )
    return dict(metrics)


def _lists(items: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in items.items()}
