"""Scores, rules and spreads by hand."""

import json
import math
import statistics

from tests.workshop import spread_of

from genmint.config import ChampionRule, parse_model
from genmint.decision.comparison import Scores, Spread, block_hash, compare


def block(**said):
    return block_hash(parse_model({"family": "vae", "dataset": "d", "steps": 9, **said}))


BLOCK = block(seed=0)


PROTOCOL = {"samples": 64, "seed": 1, "data": "d"}


LOWER = ("frechet", "bits_per_character", "bits_per_dim")


SETS = [-0.2, -0.1, 0.0, 0.1, 0.2]


def rule(superior=("frechet",), non_inferior=(), confidence=0.95):
    return ChampionRule(superior=superior, non_inferior=non_inferior, confidence=confidence)


def direction(metric):
    return "lower" if metric.startswith(LOWER) else "higher"


def sampled(protocol=PROTOCOL, **values):
    """Scores of metrics of samples, each with five sets around its value."""
    sets = {metric: [value + step for step in SETS] for metric, value in values.items()}
    return Scores(values, protocol, {}, sets)


def itemised(items, metric="elbo", unit=1.0, protocol=PROTOCOL, of="elbo"):
    """Scores of a metric that is `unit` times the mean of its items."""
    return Scores({metric: unit * statistics.fmean(items)}, protocol, {of: list(items)})


def spread(deviation=0.05, metrics=("frechet", "elbo", "confident"), **changed):
    """Five trainings with this standard deviation in each metric."""
    about = spread_of("vae", BLOCK, PROTOCOL, metrics, deviation, around=0.0)
    return Spread.model_validate_json(json.dumps({**about, **changed}))


def judge(new, old, using=None, known=None, block=BLOCK):
    return compare(
        using or rule(), direction, new, old, spread() if known is None else known, block
    )


def only(comparison):
    (contrast,) = comparison.contrasts
    assert contrast.passed is comparison.better
    assert comparison.reason == f"{contrast.metric}: {contrast.reason}"
    return contrast


# Half a width of the interval: t(0.95, 8) · √(0.025 / 5 · 2), and the margin of `spread`.
REACH = 1.859548 * math.sqrt(2 * 0.025 / 5)
