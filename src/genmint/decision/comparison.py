"""Comparison of a challenger with the champion, as a pure function of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genmint.common.files import sha256_json
from genmint.config.base import Frozen
from genmint.config.gates import ChampionRule
from genmint.config.metric_catalogue import Direction
from genmint.decision import intervals
from genmint.decision.gate import number
from genmint.decision.intervals import Interval

Aim = Literal["superior", "non-inferior"]

# Metrics that equal a constant times the mean log-likelihood of the held-out items. Each maps to
# the item likelihoods it derives from, in order of preference.
_ITEMS: Mapping[str, tuple[str, ...]] = {
    "elbo": ("elbo",),
    "importance_weighted_bound": ("importance_weighted_bound",),
    "bits_per_dim": ("elbo", "log_likelihood"),
    "bits_per_character": ("log_likelihood",),
    "bits_per_sample": ("log_likelihood",),
}

# One evaluation writes both metrics and items, so they differ by rounding only.
_ROUNDING = 1e-6

# Protocol keys that may differ between the seed spread and tonight's evaluation. The spread must
# stay valid over nightly runs, which change the data and the extractor trained on them, and over
# code versions. Seeds and batch sizes do not affect it. Sampling settings of an RNN are part of its
# model entry, whose hash is checked separately.
_DRAWING = frozenset({"temperature", "top_k", "top_p"})
_NIGHTLY = frozenset({"data", "extractor", "seed", "batch_size", "code"}) | _DRAWING

FEWEST_TRAININGS = 5


@dataclass(frozen=True)
class Scores:
    """Scores of one model, as input to a comparison.

    Attributes:
        metrics: metric values by name.
        protocol: how the metrics were measured. Only equal protocols are comparable.
        items: log-likelihood of each held-out item in nats, in the order of the split. Keyed by
            estimator: elbo, importance_weighted_bound or log_likelihood.
        resamples: sample-based metrics by name, one value per independent set of samples.
    """

    metrics: Mapping[str, Any]
    protocol: Mapping[str, Any]
    items: Mapping[str, Sequence[float]] = field(default_factory=dict)
    resamples: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Spread(Frozen):
    """Variation between training runs that differ only by seed; results/seed_spread/NAME.json.

    Attributes:
        model: name of the model entry in params.yaml.
        block: sha256 of the model entry without its seed, see `block_hash`.
        seeds: seeds of the training runs.
        protocol: evaluation protocol of the training runs.
        values: by metric, one value per training run. For a sample-based metric each value is the
            mean over its sets of samples.
        standard_deviation: sample standard deviation of the values, by metric.
    """

    model: str
    block: str
    seeds: Annotated[tuple[int, ...], Field(min_length=FEWEST_TRAININGS)]
    protocol: dict[str, Any]
    values: dict[str, tuple[float, ...]]
    standard_deviation: dict[str, float]

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if set(self.values) != set(self.standard_deviation):
            raise ValueError("values and standard_deviation are not of the same metrics")
        for metric, values in self.values.items():
            if len(values) != len(self.seeds):
                raise ValueError(f"{metric} has {len(values)} values of {len(self.seeds)} seeds")
            deviation = stdev(values)
            if not math.isclose(deviation, self.standard_deviation[metric], rel_tol=1e-9):
                raise ValueError(f"standard_deviation of {metric} is not that of its values")
        return self


class Contrast(Frozen):
    """Difference between challenger and champion in one metric.

    Attributes:
        metric: name of the metric.
        aim: what the challenger has to show.
        challenger: value of the challenger, None if it has none.
        champion: value of the champion, None if it has none.
        difference: improvement of the challenger over the champion; negative if it is worse.
        low: lower confidence limit of the difference, one-sided at the confidence of the
            comparison.
        high: upper confidence limit of the difference, also one-sided.
        bound: threshold for the lower limit: the margin (superior) or minus the margin
            (non-inferior).
        passed: whether the challenger showed its aim.
        reason: explanation of the result.
    """

    metric: str
    aim: Aim
    challenger: float | None = None
    champion: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    passed: bool = False
    reason: str


class Comparison(Frozen):
    """Result of comparing a challenger with the champion on one split.

    Attributes:
        better: whether every contrast passed.
        confidence: confidence level of each interval.
        contrasts: one per metric of the champion rule, in the order of the rule.
    """

    better: bool
    confidence: float
    contrasts: tuple[Contrast, ...]

    @property
    def reason(self) -> str:
        """Explanation of the result: the failed contrasts, or all contrasts if none failed."""
        shown = [one for one in self.contrasts if one.passed == self.better]
        return "; ".join(f"{one.metric}: {one.reason}" for one in shown)


class ChampionComparison(Frozen):
    """Result against the champion on the test split and, if better there, on a second split.

    Attributes:
        champion: version number of the champion.
        test: comparison on the test split.
        confirmation: comparison on the confirmation split; None if it was not run or is switched
            off.
        left_out: which items were excluded from both splits and why; "" if none.
    """

    champion: str
    test: Comparison
    confirmation: Comparison | None
    left_out: str = ""

    @property
    def better(self) -> bool:
        """Whether the challenger is better on each split on which it was compared."""
        return self.test.better and (self.confirmation is None or self.confirmation.better)

    @property
    def reason(self) -> str:
        """Explanation of the result."""
        text = self._summary
        if self.left_out:
            text += f"; left out, {self.left_out}"
        return text

    @property
    def _summary(self) -> str:
        if not self.test.better:
            return self.test.reason
        if self.confirmation is None:
            return f"{self.test.reason}; not confirmed on a second split, since there is none"
        word = "confirmed" if self.confirmation.better else "but not confirmed"
        return f"{self.test.reason}; {word} on a second split: {self.confirmation.reason}"


def compare(
    rule: ChampionRule,
    direction: Callable[[str], Direction],
    challenger: Scores,
    champion: Scores,
    spread: Spread | str,
    block: str,
) -> Comparison:
    """Test whether a challenger is superior and, beyond seed variation, nowhere inferior.

    Superior means that the lower limit of the difference is above the margin. Non-inferior means
    that the lower limit is not below minus the margin. The margin bounds the difference between two
    training runs that differ only by seed (`intervals.seed_margin`).

    For a likelihood the interval is a paired bootstrap over items, so that item difficulty cancels.
    For a sample-based metric it is Welch's interval over the independent sets of samples.

    Args:
        rule: metrics to compare and the confidence level.
        direction: whether higher or lower values of a metric are better.
        challenger: scores of the new model.
        champion: scores of the champion, measured under the same protocol.
        spread: seed variation of this model entry, or the reason why it is unknown.
        block: hash of the challenger's model entry, see `block_hash`.
    """
    aims: list[tuple[str, Aim]] = [(name, "superior") for name in rule.superior]
    aims += [(name, "non-inferior") for name in rule.non_inferior]
    contrasts = []
    for name, aim in aims:
        contrast = _measured(name, aim, direction(name), challenger, champion, rule.confidence)
        margin = _margin(name, spread, block, challenger.protocol, rule.confidence)
        contrasts.append(_contrast_against(contrast, margin, rule.confidence))
    return _comparison(rule, contrasts)


def confirm(
    rule: ChampionRule,
    direction: Callable[[str], Direction],
    challenger: Scores,
    champion: Scores,
) -> Comparison:
    """Test whether a challenger that was superior on the test split is also better on another.

    The lower limit of the difference must be above 0 in each metric of `superior`. The margin is
    not applied again. It guards against a lucky seed, which is a property of the weights and which
    a second split cannot detect. The second split detects a lucky result on the test split.
    """
    contrasts = [
        _contrast_against(
            _measured(name, "superior", direction(name), challenger, champion, rule.confidence),
            0.0,
            rule.confidence,
        )
        for name in rule.superior
    ]
    return _comparison(rule, contrasts)


def block_hash(block: Frozen) -> str:
    """Return the hash of a model entry without its seed, which identifies its seed spread.

    Keys at their defaults are left out, so a new key in a later genmint does not change the hash.
    """
    return sha256_json(block.model_dump(mode="json", exclude_defaults=True, exclude={"seed"}))


def incomparable(metric: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the protocol keys that affect `metric` and differ between two protocols.

    Sampling settings of an RNN are part of the model, like its weights, and may differ. The
    observation model and the number of importance samples do not affect sample-based metrics.
    """
    apart = set(_DRAWING)
    if metric not in _ITEMS:
        apart |= {"observation", "importance_samples"}
    return _differing(one, other, apart)


def _differing(
    one: Mapping[str, Any], other: Mapping[str, Any], apart: set[str] | frozenset[str]
) -> list[str]:
    return sorted(
        key
        for key in (set(one) | set(other)) - apart
        if key not in one or key not in other or one[key] != other[key]
    )


def _comparison(rule: ChampionRule, contrasts: Sequence[Contrast]) -> Comparison:
    better = all(one.passed for one in contrasts)
    return Comparison(better=better, confidence=rule.confidence, contrasts=tuple(contrasts))


def _measured(
    metric: str,
    aim: Aim,
    direction: Direction,
    challenger: Scores,
    champion: Scores,
    confidence: float,
) -> Contrast:
    """Return the difference with its interval; if it is undefined, only the reason is set."""
    result = Contrast(metric=metric, aim=aim, reason="")
    values = []
    for who, scores in (("challenger", challenger), ("champion", champion)):
        value, problem = number(scores.metrics, metric, f"the {who}'s metrics")
        if value is None:
            return result.model_copy(update={"reason": problem})
        values.append(value)
    differing = incomparable(metric, challenger.protocol, champion.protocol)
    if differing:
        keys = ", ".join(differing)
        reason = f"measured under another protocol ({keys}): the values cannot be compared"
        return result.model_copy(update={"reason": reason})
    if metric in _ITEMS:
        contrast = _paired(metric, values, challenger, champion, confidence)
    else:
        contrast = _repeated(metric, challenger, champion, confidence)
    if isinstance(contrast, str):
        return result.model_copy(update={"reason": contrast})
    new, old, (low, high) = contrast
    sign = 1 if direction == "higher" else -1
    limits = (low, high) if direction == "higher" else (-high, -low)
    return result.model_copy(
        update={
            "challenger": new,
            "champion": old,
            "difference": sign * (new - old),
            "low": limits[0],
            "high": limits[1],
        }
    )


def _paired(
    metric: str, values: Sequence[float], challenger: Scores, champion: Scores, confidence: float
) -> tuple[float, float, Interval] | str:
    """Return both values and the interval of new − old in the metric's unit, or an error."""
    items = []
    for scores in (challenger, champion):
        kept = [scores.items[name] for name in _ITEMS[metric] if name in scores.items]
        if not kept:
            return f"items.npy has no likelihoods per item for {metric}"
        items.append(kept[0])
    new, old = items
    if len(new) != len(old) or len(new) < 2:
        return f"cannot pair {len(new)} with {len(old)} items"
    if not all(math.isfinite(value) for one in items for value in one):
        return "the likelihood of an item is not finite"
    means = fmean(new), fmean(old)
    if means[0] == 0 or means[1] == 0:
        return "the items have a mean likelihood of 0, so the unit cannot be derived"
    # Factor from nats per item to the unit of the metric, for example bits per symbol.
    unit = values[1] / means[1]
    if not math.isclose(values[0], means[0] * unit, rel_tol=_ROUNDING):
        return f"{metric} is not the mean of items.npy"
    low, high = intervals.bootstrap([a - b for a, b in zip(new, old, strict=True)], confidence)
    return values[0], values[1], (min(low * unit, high * unit), max(low * unit, high * unit))


def _repeated(
    metric: str, challenger: Scores, champion: Scores, confidence: float
) -> tuple[float, float, Interval] | str:
    """Return the means over the sets of samples and the interval of new − old, or an error."""
    sets = []
    for who, scores in (("challenger", challenger), ("champion", champion)):
        values = scores.resamples.get(metric, ())
        if len(values) < 2:
            return f"the {who} has {len(values)} measurements of {metric}; an interval needs two"
        if not all(math.isfinite(value) for value in values):
            return f"a measurement of {metric} of the {who} is not finite"
        sets.append(values)
    return fmean(sets[0]), fmean(sets[1]), intervals.welch(sets[0], sets[1], confidence)


def _margin(
    metric: str, spread: Spread | str, block: str, protocol: Mapping[str, Any], confidence: float
) -> float | str:
    """Return the largest difference that seed variation explains, or why it is unknown."""
    if isinstance(spread, str):
        return spread
    file = f"results/seed_spread/{spread.model}.json"
    way_out = f"run `genmint spread {spread.model}`"
    if spread.block != block:
        return f"{file} was measured with other settings of the model: {way_out}"
    differing = _differing(spread.protocol, protocol, _NIGHTLY)
    if differing:
        return f"{file} was measured under another protocol ({', '.join(differing)}): {way_out}"
    deviation = spread.standard_deviation.get(metric)
    if deviation is None:
        return f"{file} does not have {metric}: {way_out}"
    return intervals.seed_margin(deviation, len(spread.seeds), confidence)


def _contrast_against(contrast: Contrast, margin: float | str, confidence: float) -> Contrast:
    """Test a difference against the margin and return the contrast with its result."""
    if contrast.low is None or contrast.high is None or contrast.difference is None:
        return contrast
    how = f"better by {contrast.difference:.4g}"
    if contrast.difference < 0:
        how = f"worse by {-contrast.difference:.4g}"
    if contrast.difference == 0:
        how = "unchanged"
    # Each limit is one-sided, so the two together are no interval of this confidence.
    limits = f"{contrast.low:.4g} … {contrast.high:.4g}"
    bounded = f"{how} ({100 * confidence:g} % limits {limits})"
    if isinstance(margin, str):
        return contrast.model_copy(update={"reason": f"{bounded}, but {margin}"})
    bound = margin if contrast.aim == "superior" else -margin
    # Of two equal models neither is superior and neither is inferior, whatever the margin.
    passed = contrast.low > bound if contrast.aim == "superior" else contrast.low >= bound
    reason = f"{bounded}, {'needed' if passed else 'needs'} {bound + 0.0:+.4g}"
    return contrast.model_copy(update={"bound": bound, "passed": passed, "reason": reason})
