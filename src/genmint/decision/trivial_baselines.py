"""Metrics in which a model is no better than a trivial baseline, or worse than a codec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genmint.config.metric_catalogue import CODECS, Metric, known_metric
from genmint.decision.evaluation import is_number


@dataclass(frozen=True)
class NoBetter:
    """A metric in which a trivial baseline is at least as good as the model.

    Attributes:
        metric: name of the metric.
        value: value of the model; NaN or infinite if it has no proper value.
        baseline: name of the best such baseline.
        baseline_value: value of that baseline.
        worse: whether the model is worse; False if both have the worst value that there is.
    """

    metric: str
    value: float
    baseline: str
    baseline_value: float
    worse: bool

    @property
    def reason(self) -> str:
        """Return the result without the model's value."""
        word = "worse than" if self.worse else "no better than"
        return f"{word} {self.baseline}: {self.baseline_value:.4g}"

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.4g} ({self.reason})"


def no_better(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[NoBetter]:
    """Return the metrics in which a trivial baseline is at least as good, in the order of metrics.

    Two equal values count only at the worst end of the metric's range: a model whose recall is 0
    is no better than noise, a model with all ten classes is not marked. Codecs are not trivial and
    do not count; see `better_codecs`.

    Args:
        metrics: content of metrics/NAME.json.
        baselines: `baselines` of metrics/NAME.protocol.json: by metric, the values by baseline.
    """
    results = (
        _against(name, value, baselines.get(name))
        for name, value in metrics.items()
        if is_number(value)
    )
    return [result for result in results if result is not None]


def better_codecs(
    metrics: Mapping[str, Any], baselines: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Return, by metric, the lossless codecs that are better than the model, the weakest first.

    Args:
        metrics: content of metrics/NAME.json.
        baselines: `baselines` of metrics/NAME.protocol.json: by metric, the values by baseline.
    """
    result = {}
    for name, value in metrics.items():
        known = known_metric(name)
        if known is None or not is_number(value):
            continue
        numbers = {
            key: number
            for key, number in _numbers(baselines.get(name)).items()
            if key in CODECS and known.sign * number > known.sign * value
        }
        if numbers:
            weakest = sorted(numbers, key=lambda key: known.sign * numbers[key])
            result[name] = {key: numbers[key] for key in weakest}
    return result


def _numbers(values: Any) -> dict[str, float]:
    return {
        str(baseline): float(number)
        for baseline, number in (values.items() if isinstance(values, Mapping) else ())
        if is_number(number) and math.isfinite(number)
    }


def _against(name: str, value: float, values: Any) -> NoBetter | None:
    """Compare one metric with its baselines; None if it beats them or there are none."""
    numbers = {key: number for key, number in _numbers(values).items() if key not in CODECS}
    if not numbers:
        return None
    known = known_metric(name)
    if known is None:
        return None
    sign = known.sign
    best = max(numbers, key=lambda baseline: sign * numbers[baseline])
    worse = not math.isfinite(value) or sign * value < sign * numbers[best]
    if not worse and (value != numbers[best] or value != _worst(known)):
        return None
    return NoBetter(name, float(value), best, numbers[best], worse)


def _worst(known: Metric) -> float:
    return known.low if known.direction == "higher" else known.high
