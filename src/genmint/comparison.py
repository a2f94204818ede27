"""Whether a challenger is better than the champion, as a pure function of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genmint import intervals
from genmint.config.base import Frozen
from genmint.config.gates import ChampionRule
from genmint.files import sha256_json
from genmint.gating import number
from genmint.intervals import Interval

Direction = Literal["higher", "lower"]
Aim = Literal["superior", "non-inferior"]

# Metrics that are a constant times the mean log-likelihood of the held-out items, and which of the
# items' likelihoods that is, the first that a model has.
_ITEMS: Mapping[str, tuple[str, ...]] = {
    "elbo": ("elbo",),
    "importance_weighted_bound": ("importance_weighted_bound",),
    "bits_per_dim": ("elbo", "log_likelihood"),
    "bits_per_character": ("log_likelihood",),
    "bits_per_sample": ("log_likelihood",),
}

# Metrics and items are written by one evaluation: only rounding lies between them.
_ROUNDING = 1e-6

# The spread between trainings must hold from one night to the next, when the data have changed
# (and with them the extractor, which is trained on them), and from one version of the code to the
# next; seeds and batch sizes change no spread.
# How an RNN draws is in the block.
_DRAWING = frozenset({"temperature", "top_k", "top_p"})
_NIGHTLY = frozenset({"data", "extractor", "seed", "batch_size", "code"}) | _DRAWING

FEWEST_TRAININGS = 5


@dataclass(frozen=True)
class Scores:
    """What is known of one model when it is compared with another.

    Attributes:
        metrics: name → value.
        protocol: how they were measured; comparable only if equal.
        items: log-likelihood of each held-out item in nats, in the order of the split, by what
            gives it (elbo, importance_weighted_bound, log_likelihood).
        resamples: metrics of samples by name, one value for each independent set of samples.
    """

    metrics: Mapping[str, Any]
    protocol: Mapping[str, Any]
    items: Mapping[str, Sequence[float]] = field(default_factory=dict)
    resamples: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Spread(Frozen):
    """How far trainings of one block differ that differ by seed alone; spreads/NAME.json.

    Attributes:
        model: name of the block.
        block: sha256 of the block without its seed, see `block_hash`.
        seeds: that the trainings started from.
        protocol: that they were measured under.
        values: by metric, one for each training; for a metric of samples the mean of its sets.
        standard_deviation: of the values, by metric.
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
            found = stdev(values)
            if not math.isclose(found, self.standard_deviation[metric], rel_tol=1e-9):
                raise ValueError(f"standard_deviation of {metric} is not that of its values")
        return self


class Contrast(Frozen):
    """Challenger against champion in one metric.

    Attributes:
        metric: its name.
        aim: what the challenger had to show.
        challenger: its value, None if it has none.
        champion: its value, None if it has none.
        difference: by how much the challenger is better, negative when it is worse.
        low: lower limit of the difference, one-sided at the confidence of the comparison.
        high: upper limit, one-sided as well.
        bound: what the lower limit had to be above: the margin, or minus the margin.
        passed: the verdict.
        reason: the verdict in words.
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
    """Whether a challenger is better than the champion, and by which reckoning.

    Attributes:
        better: the verdict: every contrast passed.
        confidence: of each interval.
        contrasts: one for each metric of the champion rule, in its order.
    """

    better: bool
    confidence: float
    contrasts: tuple[Contrast, ...]

    @property
    def reason(self) -> str:
        """The verdict in words: all that failed, or all there is."""
        shown = [one for one in self.contrasts if one.passed == self.better]
        return "; ".join(f"{one.metric}: {one.reason}" for one in shown)


class Ruling(Frozen):
    """A challenger against the champion on the test split and, if better there, on another.

    Attributes:
        champion: number of its version.
        test: on the test split.
        confirmation: on the confirmation split; None if it was not asked, or is switched off.
    """

    champion: str
    test: Comparison
    confirmation: Comparison | None

    @property
    def better(self) -> bool:
        """Better on the test split, and not found otherwise on the other."""
        return self.test.better and (self.confirmation is None or self.confirmation.better)

    @property
    def reason(self) -> str:
        """The verdict in words."""
        if not self.test.better:
            return self.test.reason
        if self.confirmation is None:
            return f"{self.test.reason}; not confirmed on a second split, which is switched off"
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
    """Say whether a challenger is superior and nowhere inferior by more than a change of seed.

    Superior: the lower limit of the difference is above the margin. Non-inferior: it is not below
    minus the margin. The margin is what two trainings differ by that differ by seed alone
    (`intervals.seed_margin`).

    For a likelihood the interval is the bootstrap over items, paired: what makes an item hard for
    both cancels. For a metric of samples it is Welch's over the independent sets of samples.

    Args:
        rule: which metrics, and the confidence.
        direction: which values of a metric are better.
        challenger: scores of the new model.
        champion: scores of the champion, under the same protocol.
        spread: between trainings of this block, or in words why none is known.
        block: hash of the challenger's block, see `block_hash`.
    """
    aims: list[tuple[str, Aim]] = [(name, "superior") for name in rule.superior]
    aims += [(name, "non-inferior") for name in rule.non_inferior]
    contrasts = []
    for name, aim in aims:
        found = _measured(name, aim, direction(name), challenger, champion, rule.confidence)
        margin = _margin(name, spread, block, challenger.protocol, rule.confidence)
        contrasts.append(_held_against(found, margin))
    return _comparison(rule, contrasts)


def confirm(
    rule: ChampionRule,
    direction: Callable[[str], Direction],
    challenger: Scores,
    champion: Scores,
) -> Comparison:
    """Say whether a challenger that was superior on the test split is better on another one, too.

    The lower limit of the difference must be above 0 in each metric of `superior`. The margin is
    not asked for again: it keeps luck with the seed out, and that luck is in the weights, so a
    second split cannot find it; what the second split finds is luck with the test split.
    """
    contrasts = [
        _held_against(
            _measured(name, "superior", direction(name), challenger, champion, rule.confidence), 0.0
        )
        for name in rule.superior
    ]
    return _comparison(rule, contrasts)


def block_hash(block: Frozen) -> str:
    """Hash of what a block of `models` says, without its seed: what a spread belongs to.

    Keys at their defaults are left out: a switch that a later genmint adds changes no block.
    """
    return sha256_json(block.model_dump(mode="json", exclude_defaults=True, exclude={"seed"}))


def incomparable(metric: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name what two protocols do not share, though `metric` depends on it.

    How an RNN draws is a part of the model, like its weights, so it may differ. What a
    likelihood is of, and by how many samples it is bounded, means nothing to metrics of samples.
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
    """The difference with its interval; where there is none, the reason is set and nothing else."""
    result = Contrast(metric=metric, aim=aim, reason="")
    values = []
    for who, scores in (("challenger", challenger), ("champion", champion)):
        value, problem = number(scores.metrics, metric, f"the {who}'s metrics")
        if value is None:
            return result.model_copy(update={"reason": problem})
        values.append(value)
    differing = incomparable(metric, challenger.protocol, champion.protocol)
    if differing:
        reason = f"measured under another protocol ({', '.join(differing)}): no number compares"
        return result.model_copy(update={"reason": reason})
    if metric in _ITEMS:
        found = _paired(metric, values, challenger, champion, confidence)
    else:
        found = _repeated(metric, challenger, champion, confidence)
    if isinstance(found, str):
        return result.model_copy(update={"reason": found})
    new, old, (low, high) = found
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
    """Both values and the interval of new − old in the metric's unit, or why there is none."""
    items = []
    for scores in (challenger, champion):
        kept = [scores.items[name] for name in _ITEMS[metric] if name in scores.items]
        if not kept:
            return f"items.npy has no likelihoods of single items that {metric} is the mean of"
        items.append(kept[0])
    new, old = items
    if len(new) != len(old) or len(new) < 2:
        return f"cannot pair {len(new)} with {len(old)} items"
    if not all(math.isfinite(value) for one in items for value in one):
        return "the likelihood of an item is not finite"
    means = fmean(new), fmean(old)
    if means[0] == 0 or means[1] == 0:
        return "the items have a mean likelihood of 0, which gives no unit"
    # Nats of an item to the unit of the metric: bits of a symbol, say.
    unit = values[1] / means[1]
    if not math.isclose(values[0], means[0] * unit, rel_tol=_ROUNDING):
        return f"items.npy is not what {metric} is the mean of"
    low, high = intervals.bootstrap([a - b for a, b in zip(new, old, strict=True)], confidence)
    return values[0], values[1], (min(low * unit, high * unit), max(low * unit, high * unit))


def _repeated(
    metric: str, challenger: Scores, champion: Scores, confidence: float
) -> tuple[float, float, Interval] | str:
    """Both means over the sets of samples and the interval of new − old, or why there is none."""
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
    """What a difference must exceed to be more than luck with the seed, or why it is not known."""
    if isinstance(spread, str):
        return spread
    way_out = f"run `genmint spread {spread.model}`"
    if spread.block != block:
        return f"spreads/{spread.model}.json is of other settings of the model: {way_out}"
    differing = _differing(spread.protocol, protocol, _NIGHTLY)
    if differing:
        return (
            f"spreads/{spread.model}.json holds for another protocol ({', '.join(differing)}): "
            f"{way_out}"
        )
    deviation = spread.standard_deviation.get(metric)
    if deviation is None:
        return f"spreads/{spread.model}.json does not have {metric}: {way_out}"
    return intervals.seed_margin(deviation, len(spread.seeds), confidence)


def _held_against(found: Contrast, margin: float | str) -> Contrast:
    """Give the verdict on a difference."""
    if found.low is None or found.difference is None:
        return found
    how = f"better by {found.difference:.4g}"
    if found.difference < 0:
        how = f"worse by {-found.difference:.4g}"
    if found.difference == 0:
        how = "not different"
    sure = f"{how}, surely above {found.low:.4g}"
    if isinstance(margin, str):
        return found.model_copy(update={"reason": f"{sure}, but {margin}"})
    bound = margin if found.aim == "superior" else -margin
    # Two equal models: neither is superior, whatever the margin, and neither is inferior.
    passed = found.low > bound if found.aim == "superior" else found.low >= bound
    reason = f"{sure}: {'' if passed else 'not '}{found.aim} by the margin {margin:.4g}"
    return found.model_copy(update={"bound": bound, "passed": passed, "reason": reason})
