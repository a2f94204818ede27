"""Names of flow runs in Prefect: what a run does, unless a person typed a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

# Prefect calls a run by an adjective and an animal if nobody names it; its form, with capitals.
_GENERATED = re.compile(r"[a-z]+-[a-z]+|[A-Z][a-z]+-[A-Z][a-z]+")
_SHOWN_NAMES = 4

Parameters = Mapping[str, Any]


def naming(describe: Callable[[Parameters], str]) -> Callable[[], str]:
    """Return a function for `flow_run_name` of a flow: it names the current run.

    Args:
        describe: name of a run with these parameters, for one that nobody named.
    """

    def name() -> str:
        from prefect.runtime import flow_run

        return run_name(flow_run.name or "", describe(flow_run.parameters or {}))

    return name


def run_name(current: str, description: str) -> str:
    """Return the name of a run: the current one if a person typed it, else the description.

    A name in the form of Prefect's own names, two words with a hyphen, counts as not typed.
    """
    return description if not current or _GENERATED.fullmatch(current) else current


def retrain_name(parameters: Parameters) -> str:
    """Return the name of a run of `retrain`, such as `retrain image-vae steps=1000`."""
    models = parameters.get("models") or []
    parts = ["retrain", _listed(models, "models") or "all models"]
    for key, value in (parameters.get("overrides") or {}).items():
        # The model is named already if there is only one.
        prefix = f"models.{models[0]}." if len(models) == 1 else "models."
        parts.append(f"{key.removeprefix(prefix)}={value}")
    parts += _at(parameters)
    if fresh := parameters.get("fresh"):
        parts.append(f"on new {_listed(fresh, 'data sets')}")
    if force := parameters.get("force"):
        parts.append(f"forced {_listed(force, 'stages')}")
    return " ".join(parts)


def train_name(model: str) -> str:
    """Return the name of a run of `train-model`, such as `train image-vae`."""
    return f"train {model}"


def drift_name(parameters: Parameters) -> str:
    """Return the name of a run of `drift`, such as `drift digits, notes`."""
    names = _listed(parameters.get("datasets") or [], "data sets") or "all data sets"
    parts = ["drift", names, *_at(parameters)]
    if not parameters.get("retrain", True):
        parts.append("without retraining")
    return " ".join(parts)


def reconcile_name(parameters: Parameters) -> str:
    """Return the name of a run of `reconcile`, such as `reconcile all models`."""
    names = _listed(parameters.get("models") or [], "models") or "all models"
    return " ".join(["reconcile", names, *_at(parameters)])


def _at(parameters: Parameters) -> list[str]:
    revision = parameters.get("revision", "HEAD")
    if revision == "HEAD":
        return []
    return [f"at {revision[:12] if re.fullmatch('[0-9a-f]{40}', revision) else revision}"]


def _listed(names: Collection[str], kind: str) -> str:
    return ", ".join(names) if len(names) <= _SHOWN_NAMES else f"{len(names)} {kind}"
