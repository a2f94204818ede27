"""Scores of challenger and champion under one protocol: read where they exist, else measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genmint.comparison import Scores, incomparable
from genmint.data.prepared import Prepared
from genmint.errors import GenmintError
from genmint.files import read_json, sha256_file
from genmint.models import store
from genmint.project import Project

ITEMS = "items.npy"


def protocol_path(project: Project, name: str) -> Path:
    """Where evaluate says how a model was measured."""
    return project.metrics(name).with_name(f"{name}.protocol.json")


def challenger_scores(project: Project, name: str) -> Scores:
    """Read the scores that evaluate wrote.

    Raises:
        GenmintError: a file is missing or unreadable.
    """
    way_out = f"Run `dvc repro gate@{name}`."
    measured = read_json(protocol_path(project, name), way_out)
    return Scores(
        metrics=read_json(project.metrics(name), way_out),
        protocol=measured["protocol"],
        items=_items(project.samples(name) / ITEMS),
    )


def noise_floor(project: Project, name: str, metric: str) -> float | None:
    """Return the noise floor of a metric from the protocol file, None if it has none."""
    known = read_json(protocol_path(project, name)).get("noise_floor")
    value = known.get(metric) if isinstance(known, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def champion_scores(
    project: Project,
    name: str,
    weights: Path,
    evaluation: Path,
    metric: str,
    protocol: Mapping[str, Any],
) -> Scores:
    """Read the champion's scores if they were measured under `protocol`, else measure them.

    Args:
        project: with the prepared data and reference that the challenger was measured on.
        name: of the model.
        weights: folder with the champion's model.safetensors and config.json.
        evaluation: folder with the files of its evaluation, laid out as in a project.
        metric: by which they are to be compared.
        protocol: of the challenger.

    Raises:
        GenmintError: the champion's files are damaged, or it cannot be measured here.
    """
    recorded = _recorded(name, weights, evaluation)
    if recorded is not None and not incomparable(metric, recorded.protocol, protocol):
        return recorded
    return _measure(project, name, weights)


def _measure(project: Project, name: str, weights: Path) -> Scores:
    """Score the champion on the data and reference that lie here, as evaluate would."""
    from genmint.metrics.score import score

    model, record = store.load(weights)
    if record.name != name:
        raise GenmintError(f"the champion of {name} holds the weights of {record.name}")
    dataset = record.model.dataset
    found = score(model, record, Prepared(project.prepared(dataset)), project.reference(dataset))
    items = None if found.items is None else [float(item) for item in found.items]
    return Scores(metrics=found.metrics, protocol=found.protocol, items=items)


def _recorded(name: str, weights: Path, evaluation: Path) -> Scores | None:
    """Read a registered evaluation; None unless its files belong to each other and the weights."""
    registered = Project(evaluation)
    metrics = registered.metrics(name)
    try:
        measured = read_json(protocol_path(registered, name))
        if measured["metrics"] != sha256_file(metrics):
            return None
        if measured["weights"] != sha256_file(weights / "model.safetensors"):
            return None
        items = _items(registered.samples(name) / ITEMS)
        return Scores(read_json(metrics), measured["protocol"], items)
    except (GenmintError, OSError, KeyError, TypeError):
        # Registered by another version, or cut short: then it is measured again.
        return None


def _items(path: Path) -> list[float] | None:
    if not path.is_file():
        return None
    values: list[float] = np.load(path, allow_pickle=False).astype(np.float64).ravel().tolist()
    return values
