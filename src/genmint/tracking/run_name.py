"""Name of a run in MLflow: the model, what is special about it, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient

from genmint.common.errors import GenmintError
from genmint.common.layout import PARAMS
from genmint.common.programs import git, has_git
from genmint.common.project import Project
from genmint.common.reading import parse_yaml, read_yaml
from genmint.tracking.provenance import flatten

_SEPARATOR = " · "
_NAMED = 3
_DIGITS = 4


def run_name(name: str, params: Mapping[str, Any], changed: Mapping[str, str]) -> str:
    """Return the name of a run, such as `image-vae · steps 800`.

    Args:
        name: name of the model entry.
        params: model entry.
        changed: values by which the entry differs from the commit (`changed_keys`).
    """
    special = dict(list(changed.items())[:_NAMED])
    if not special and "steps" in params:
        special = {"steps": str(params["steps"])}
    if params.get("seeds", 1) != 1:
        special["seed"] = str(params.get("seed"))
    words = ", ".join(f"{key} {value}" for key, value in special.items())
    return _SEPARATOR.join(filter(None, (name, words)))


def with_weights(name: str, weights_sha256: str) -> str:
    """Add the start of the weights' hash to the name of a run."""
    return f"{name}{_SEPARATOR}{weights_sha256[:_DIGITS]}"


def changed_keys(project: Project, name: str) -> dict[str, str]:
    """Return the keys of a model entry whose values differ from those in the checked-out commit.

    {} outside of git, or if one of both files cannot be read: a name must not stop a training run.
    """
    if not has_git(project):
        return {}
    try:
        committed = parse_yaml(git(project, "show", f"HEAD:./{PARAMS}"), PARAMS)
        now, then = (_entry(content, name) for content in (read_yaml(project.params), committed))
    except GenmintError:
        return {}
    return {key: value for key, value in now.items() if then.get(key) != value} if then else {}


def _entry(content: Any, name: str) -> dict[str, str]:
    models = content.get("models") if isinstance(content, Mapping) else None
    entry = models.get(name) if isinstance(models, Mapping) else None
    return flatten(entry) if isinstance(entry, Mapping) else {}


def add_weights(client: MlflowClient, run_id: str, name: str, weights_sha256: str) -> None:
    """Add the start of the weights' hash to a run's name, unless a person has renamed the run.

    Raises:
        MlflowException: the tracker failed.
    """
    whole = with_weights(name, weights_sha256)
    # An earlier attempt may have renamed it already, as may a training run that is resumed.
    resumed = name.endswith(whole.removeprefix(name))
    if not resumed and client.get_run(run_id).info.run_name == name:
        client.update_run(run_id, name=whole)
