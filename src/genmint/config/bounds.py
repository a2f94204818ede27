"""Bounds of gates against the ranges of their metrics: what always or never passes is refused."""

from __future__ import annotations

import fnmatch

from genmint import catalogue
from genmint.config.gates import Bound, Gate
from genmint.errors import ConfigError

# Which metric each key of a gate bounds, and from which side.
_KEYS = {
    "health": {"min_coverage": "coverage"},
    "memorisation": {
        "max_copied": "copied",
        "max_near_duplicates": "near_duplicates",
        "min_authenticity": "authenticity",
    },
}


def bound_problems(name: str, gate: Gate, dataset: str) -> list[str]:
    """What is wrong with the metrics and bounds of a gate, one line each.

    Args:
        name: of the gate.
        gate: its entry.
        dataset: name of the data set that the model is trained on.
    """
    problems = []
    for metric, bound in gate.thresholds.items():
        key = f"gates.{name}.thresholds.{metric}"
        problems += [f"{key}: {problem}" for problem in _threshold(metric, bound, dataset)]
    for section, keys in _KEYS.items():
        entry = getattr(gate, section)
        for key, metric in keys.items():
            at = None if entry is None else getattr(entry, key)
            if at is not None:
                side = {"least": at} if key.startswith("min") else {"most": at}
                found = catalogue.always_held(metric, **side)
                problems += [f"gates.{name}.{section}.{key}: {found}"] if found else []
    for metric in (*gate.champion.superior, *gate.champion.non_inferior):
        problem = _unknown(metric, dataset)
        problems += [f"gates.{name}.champion: {problem}"] if problem else []
    return problems


def _threshold(metric: str, bound: Bound, dataset: str) -> list[str]:
    problem = _unknown(metric, dataset)
    if problem:
        return [problem]
    direction = catalogue.metric(metric).direction
    if (direction == "higher") != (bound.max is None):
        side, other = ("min", "max") if direction == "higher" else ("max", "min")
        return [f"{other} would refuse the better models: {direction} is better; give {side}"]
    never = catalogue.never_held(metric, least=bound.min, most=bound.max)
    # Beside a baseline a bound that all values hold says at least which way is better.
    always = None
    if bound.baseline is None:
        always = catalogue.always_held(metric, least=bound.min, most=bound.max)
    return [found for found in (never, always) if found]


def _unknown(metric: str, dataset: str) -> str | None:
    try:
        known = catalogue.metric(metric)
    except ConfigError as error:
        return str(error)
    here = known.pattern.replace("*", dataset.replace("-", "_"))
    if "*" in known.pattern and not fnmatch.fnmatchcase(metric, here):
        return f"the model is trained on {dataset}, whose metric is called {here}"
    return None
