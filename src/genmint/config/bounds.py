"""Checks of gate bounds against the ranges of their metrics.

A bound that always or never passes is rejected.
"""

from __future__ import annotations

import fnmatch

from genmint.common.errors import ConfigError
from genmint.config import metric_catalogue
from genmint.config.gates import Bound, Gate
from genmint.config.skill_scale import why_no_skill

# Metrics of named extractors, whose names do not hold that of the data set; `fit` checks them.
_NAMED = ("frechet_*", "kernel_*")
# Metric that each key of a gate bounds.
_KEYS = {
    "health": {"min_coverage": "coverage"},
    "memorisation": {
        "max_copied": "copied",
        "max_near_duplicates": "near_duplicates",
        "min_authenticity": "authenticity",
    },
}


def bound_problems(name: str, gate: Gate, dataset: str) -> list[str]:
    """Return the problems with the metrics and bounds of a gate, one line each.

    Args:
        name: name of the gate.
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
                reason = metric_catalogue.always_held(metric, **side)
                problems += [f"gates.{name}.{section}.{key}: {reason}"] if reason else []
    for metric in (*gate.champion.superior, *gate.champion.non_inferior):
        problem = _unknown(metric, dataset)
        problems += [f"gates.{name}.champion: {problem}"] if problem else []
    return problems


def _threshold(metric: str, bound: Bound, dataset: str) -> list[str]:
    problem = _unknown(metric, dataset)
    if problem:
        return [problem]
    problems = []
    if bound.skill is not None:
        undefined = why_no_skill(metric)
        problems += [undefined] if undefined else []
    if bound.min is not None or bound.max is not None:
        problems += _limit(metric, bound)
    return problems


def _limit(metric: str, bound: Bound) -> list[str]:
    direction = metric_catalogue.metric(metric).direction
    if (direction == "higher") != (bound.max is None):
        side, other = ("min", "max") if direction == "higher" else ("max", "min")
        return [f"{other} would refuse the better models: {direction} is better; give {side}"]
    never = metric_catalogue.never_held(metric, least=bound.min, most=bound.max)
    # Beside a baseline or a skill, a limit that every value meets does no harm.
    always = None
    if bound.baseline is None and bound.skill is None:
        always = metric_catalogue.always_held(metric, least=bound.min, most=bound.max)
    return [reason for reason in (never, always) if reason]


def _unknown(metric: str, dataset: str) -> str | None:
    try:
        known = metric_catalogue.metric(metric)
    except ConfigError as error:
        return str(error)
    if known.pattern in _NAMED:
        return None
    here = known.pattern.replace("*", dataset.replace("-", "_"))
    if "*" in known.pattern and not fnmatch.fnmatchcase(metric, here):
        return f"the model is trained on {dataset}, whose metric is called {here}"
    return None
