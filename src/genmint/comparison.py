"""Whether a challenger is better than the champion, as a pure function of their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genmint.config.base import Frozen
from genmint.config.gates import ChampionRule
from genmint.gating import number

Direction = Literal["higher", "lower"]

# Two standard errors: about one in forty for a challenger that is no better (one-sided, normal).
_STANDARD_ERRORS = 2.0

# Metrics that are a monotone function of the mean log-likelihood of the test items.
_LIKELIHOODS = (
    "elbo",
    "importance_weighted_bound",
    "bits_per_dim",
    "bits_per_character",
    "bits_per_sample",
)


@dataclass(frozen=True)
class Scores:
    """What is known of one model when it is compared with another.

    Attributes:
        metrics: name → value.
        protocol: how they were measured; comparable only if equal.
        items: log-likelihood of each test item in nats, float, in the order of the test split;
            None for families without a likelihood.
    """

    metrics: Mapping[str, Any]
    protocol: Mapping[str, Any]
    items: Sequence[float] | None = None


class Comparison(Frozen):
    """Whether a challenger is better than the champion, and by which reckoning.

    Attributes:
        better: the verdict.
        metric: by which they were compared.
        challenger: its value, None if it has none.
        champion: its value, None if it has none.
        difference: how much better the challenger is, positive when it is.
        margin: what the difference had to exceed.
        reason: the verdict in words.
    """

    better: bool
    metric: str
    challenger: float | None = None
    champion: float | None = None
    difference: float | None = None
    margin: float | None = None
    reason: str


def compare(
    rule: ChampionRule,
    direction: Direction,
    challenger: Scores,
    champion: Scores,
    noise_floor: float | None,
) -> Comparison:
    """Say whether a challenger is better than the champion by more than noise.

    For a likelihood metric, where both have a log-likelihood for each test item, the items are
    paired: the mean of their differences must exceed two of its standard errors (pairing cancels
    what makes an item hard for both). Otherwise the difference of the metric must exceed
    `rule.noise_floors` times the noise floor: what real data against other real data gives.

    Args:
        rule: the metric, and how many noise floors.
        direction: which values of the metric are better.
        challenger: scores of the new model.
        champion: scores of the champion, under the same protocol.
        noise_floor: of the metric, in its unit; None if the reference has none.
    """
    values = []
    for who, scores in (("challenger", challenger), ("champion", champion)):
        value, problem = number(scores.metrics, rule.metric, f"the {who}'s metrics")
        if value is None:
            return Comparison(better=False, metric=rule.metric, reason=problem or "missing")
        values.append(value)
    new, old = values
    result = Comparison(better=False, metric=rule.metric, challenger=new, champion=old, reason="")
    differing = incomparable(rule.metric, challenger.protocol, champion.protocol)
    if differing:
        reason = f"measured under another protocol ({', '.join(differing)}): no number compares"
        return result.model_copy(update={"reason": reason})
    paired = rule.metric in _LIKELIHOODS
    if paired and challenger.items is not None and champion.items is not None:
        return _paired(result, challenger.items, champion.items)
    if noise_floor is None or not math.isfinite(noise_floor) or noise_floor < 0:
        reason = f"no noise floor of {rule.metric} is known, so no difference can be believed"
        return result.model_copy(update={"reason": reason})
    difference = new - old if direction == "higher" else old - new
    margin = rule.noise_floors * noise_floor
    return _verdict(result, difference, margin, f"{rule.noise_floors:g} noise floors")


def incomparable(metric: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name what two protocols do not share, though `metric` depends on it.

    An RNN's temperature is a part of the model, like its weights, so it may differ. What a
    likelihood is of, and by how many samples it is bounded, means nothing to distances.
    """
    apart = {"temperature"}
    if metric not in _LIKELIHOODS:
        apart |= {"observation", "importance_samples"}
    return sorted(
        key
        for key in (set(one) | set(other)) - apart
        if key not in one or key not in other or one[key] != other[key]
    )


def _paired(result: Comparison, new: Sequence[float], old: Sequence[float]) -> Comparison:
    """Compare item by item; see `compare`."""
    if len(new) != len(old) or len(new) < 2:
        reason = f"cannot pair {len(new)} with {len(old)} items"
        return result.model_copy(update={"reason": reason})
    differences = [float(a) - float(b) for a, b in zip(new, old, strict=True)]
    if not all(math.isfinite(d) for d in differences):
        return result.model_copy(update={"reason": "an item's likelihood is not finite"})
    n = len(differences)
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1)
    margin = _STANDARD_ERRORS * math.sqrt(variance / n)
    return _verdict(result, mean, margin, f"two standard errors over {n} paired items, in nats")


def _verdict(result: Comparison, difference: float, margin: float, of: str) -> Comparison:
    # Strictly more: two equal models are no promotion, whatever the margin.
    better = difference > margin and difference > 0
    how = f"better by {difference:.4g}" if difference > 0 else f"worse by {-difference:.4g}"
    word = "more" if better else "not more"
    reason = f"{how}, which is {word} than the margin {margin:.4g} ({of})"
    if difference == 0:
        reason = "not different"
    return result.model_copy(
        update={"better": better, "difference": difference, "margin": margin, "reason": reason}
    )
