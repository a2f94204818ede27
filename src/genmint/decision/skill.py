"""Skill of a metric: 0 for the best trivial baseline, 1 for real data; the same on any data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from genmint.config.metric_catalogue import STDERR, known_metric
from genmint.config.skill_scale import Scale, scale_of, why_no_skill
from genmint.decision.evaluation import is_number

# Skill of a distance of 0, which has no finite logarithm. Only copies of the held-out items have
# it; sampling alone keeps the distance of real items above 0.
_HIGHEST = 2.0


@dataclass(frozen=True)
class Skill:
    """Skill of one value.

    Attributes:
        value: the skill.
        low: lower limit of its interval; None if the standard error of the metric is unknown.
        high: upper limit of its interval.
        baseline: name of the best trivial baseline, whose skill is 0.
        baseline_value: its value of the metric.
        real: value of the metric for real data, whose skill is 1.
    """

    value: float
    low: float | None
    high: float | None
    baseline: str
    baseline_value: float
    real: float


@dataclass(frozen=True)
class _Scale:
    """The two ends of a scale; `name` is the baseline, `noise` the standard error of `real`."""

    kind: Scale
    name: str
    baseline: float
    real: float
    noise: float


def skill_of(
    metric: str,
    metrics: Mapping[str, Any],
    protocol: Mapping[str, Any],
    confidence: float,
) -> tuple[Skill | None, str]:
    """Return the skill of a metric and "", or None and the reason why it is undefined.

    With the value v of the model, b of the best trivial baseline and r of real items in the place
    of samples, the skill is (v − b)/(r − b) for shares and counts, log(b/v)/log(b/r) for distances
    that are at least 0, and 1 − |v − r|/|b − r| where real data lie in the middle. Its standard
    error is that of v and r by the delta method; b, computed once for the data set, is taken as
    exact. The noise of r is its standard error or else the noise floor of the metric.

    Skill is undefined where the baseline is not worse than real data by more than the noise floor:
    the metric then cannot tell real data from a trivial model.

    Args:
        metric: name of the metric.
        metrics: content of metrics/NAME.json; the metric itself must be a finite number.
        protocol: content of metrics/NAME.protocol.json.
        confidence: level of the two-sided interval, 0…1.
    """
    reason = why_no_skill(metric)
    if reason is not None:
        return None, f"{metric}: {reason}"
    scale, reason = _scale(metric, protocol)
    if scale is None:
        return None, reason
    value = float(metrics[metric])
    skill = _value(value, scale)
    if not math.isfinite(skill):
        return None, f"skill is undefined: {metric} {value:.4g} is too far from {scale.baseline:g}"
    low, high = _interval(value, _finite(metrics.get(metric + STDERR)), scale, confidence)
    return Skill(skill, low, high, scale.name, scale.baseline, scale.real), ""


def format_skill(value: float, low: float | None, high: float | None) -> str:
    """Format a skill, with half the width of its interval if that is known."""
    if low is None or high is None:
        return f"{value:.2f}"
    return f"{value:.2f} ± {(high - low) / 2:.2g}"


def _scale(metric: str, protocol: Mapping[str, Any]) -> tuple[_Scale | None, str]:
    """Return the scale of a metric and "", or None and the reason why there is none."""
    kind = scale_of(metric)
    reals = _table(protocol, "real")
    real = _finite(reals.get(metric))
    if real is None:
        return None, _no_real(metric, protocol)
    floor = _finite(_table(protocol, "noise_floor").get(metric))
    if floor is None:
        return None, f"the reference has no noise floor of {metric}"
    if kind == "ratio" and real <= 0:
        # Fewer real items than the noise floor was drawn from may lie at 0 by chance.
        real = floor
    best = _best(metric, _table(_table(protocol, "baselines"), metric), real)
    if best is None:
        return None, f"the reference has no trivial baseline of {metric}"
    name, baseline = best
    if not _gap(metric, baseline, real) > floor or (kind == "ratio" and real <= 0):
        return None, (
            f"skill is undefined: {metric} cannot tell the trivial baseline {name} "
            f"({baseline:.4g}) from real data ({real:.4g}), noise floor {floor:.2g}"
        )
    error = _finite(reals.get(metric + STDERR))
    return _Scale(kind, name, baseline, real, floor if error is None else error), ""


def _no_real(metric: str, protocol: Mapping[str, Any]) -> str:
    if "real" not in protocol:
        return (
            "the evaluation has no values of real data, an older version of genmint made it; run "
            f"`dvc repro -f evaluate@{protocol.get('model')}`"
        )
    return f"the reference has no {metric} of real data"


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = values.get(key)
    return table if isinstance(table, Mapping) else {}


def _finite(value: Any) -> float | None:
    return float(value) if is_number(value) and math.isfinite(value) else None


def _best(metric: str, values: Mapping[str, Any], real: float) -> tuple[str, float] | None:
    """Return name and value of the baseline that is closest to real data or beyond."""
    numbers = {name: number for name, value in values.items()
               if (number := _finite(value)) is not None}  # fmt: skip
    if not numbers:
        return None
    name = min(numbers, key=lambda key: _gap(metric, numbers[key], real))
    return name, numbers[name]


def _gap(metric: str, baseline: float, real: float) -> float:
    """Return by how much a baseline is worse than real data, in the unit of the metric."""
    if scale_of(metric) == "nearness":
        return abs(baseline - real)
    known = known_metric(metric)
    assert known is not None, "a metric with a scale is in the catalogue"
    return known.sign * (real - baseline)


def _value(value: float, scale: _Scale) -> float:
    """Return the skill of a value."""
    if scale.kind == "linear":
        return (value - scale.baseline) / (scale.real - scale.baseline)
    if scale.kind == "nearness":
        return 1 - abs(value - scale.real) / abs(scale.baseline - scale.real)
    if value <= 0:
        return _HIGHEST
    ratio = (math.log(scale.baseline) - math.log(value)) / math.log(scale.baseline / scale.real)
    return min(ratio, _HIGHEST)


def _slopes(value: float, scale: _Scale) -> tuple[float, float]:
    """Return the derivatives of the skill by the value of the model and by that of real data."""
    skill, gap = _value(value, scale), scale.real - scale.baseline
    if scale.kind == "linear":
        return 1 / gap, -skill / gap
    if scale.kind == "nearness":
        side = math.copysign(1.0, value - scale.real) / abs(gap)
        return -side, side + (1 - skill) / gap
    log = math.log(scale.baseline / scale.real)
    return (-1 / (value * log), skill / (scale.real * log)) if value > 0 else (0.0, 0.0)


def _interval(
    value: float, stderr: float | None, scale: _Scale, confidence: float
) -> tuple[float | None, float | None]:
    if stderr is None:
        return None, None
    by_value, by_real = _slopes(value, scale)
    error = math.hypot(by_value * stderr, by_real * scale.noise)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    skill = _value(value, scale)
    low, high = skill - reach, skill + reach
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)
