"""Names of flow runs in Prefect: what a run does, unless a person typed a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

# Prefect calls a run by an adjective and an animal if nobody names it.
_GENERATED = re.compile(r"[a-z]+-[a-z]+")
_SHOWN_MODELS = 4


def retrain_name(current: str, parameters: Mapping[str, Any]) -> str:
    """Return the name of a run of `retrain`, such as `retrain image-vae steps=1000`.

    Args:
        current: name of the run so far. It is kept unless it has the form of Prefect's own names,
            two words with a hyphen.
        parameters: parameters of the flow.
    """
    if current and not _GENERATED.fullmatch(current):
        return current
    models = parameters.get("models") or []
    parts = ["retrain", _listed(models) or "all models"]
    for key, value in (parameters.get("overrides") or {}).items():
        # The model is named already if there is only one.
        prefix = f"models.{models[0]}." if len(models) == 1 else "models."
        parts.append(f"{key.removeprefix(prefix)}={value}")
    revision = parameters.get("revision", "HEAD")
    if revision != "HEAD":
        parts.append(f"at {revision[:12] if re.fullmatch('[0-9a-f]{40}', revision) else revision}")
    if fresh := parameters.get("fresh"):
        parts.append(f"on new {_listed(fresh)}")
    if force := parameters.get("force"):
        parts.append(f"forced {_listed(force)}")
    return " ".join(parts)


def _listed(names: Collection[str]) -> str:
    if len(names) > _SHOWN_MODELS:
        return f"{len(names)} models"
    return ", ".join(names)
