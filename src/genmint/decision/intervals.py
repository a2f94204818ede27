"""Confidence intervals of means and of repeated measurements, and seed margins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from genmint.common.array_types import Floats

Interval = tuple[float, float]

# With 2,000 resamples the limits still vary by 0.1 standard errors from seed to seed.
_RESAMPLES = 10_000
# A fixed seed makes the interval a deterministic function of the differences.
_SEED = 20_231
# Random numbers per chunk, which is 32 MB.
_CELLS = 4_000_000


def bootstrap(differences: Sequence[float], confidence: float) -> Interval:
    """Return one-sided limits of the mean of paired differences, each at `confidence`.

    Bias-corrected and accelerated bootstrap (BCa; Efron 1987) with 10,000 resamples of the pairs.
    Differences of log-likelihoods are skewed, because a few items are unlikely under one model
    only. One-sided percentile limits have an error of the order of the skewness over √n; BCa limits
    have an error of order 1/n at the same cost. For a mean, the bias is zero up to resampling
    noise. The acceleration is the skewness over 6√n, which equals the jackknife estimate.

    Args:
        differences: two or more finite values.
        confidence: level of each limit, 0.5…1.

    Returns:
        Lower and upper limit, in the unit of the differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    assert len(values) > 1
    mean = float(values.mean())
    deviations = values - mean
    squares = float((deviations**2).sum())
    # Differences that are equal up to rounding have no variance to resample.
    if math.sqrt(squares / len(values)) <= 1e-12 * abs(mean):
        return mean, mean
    means = np.sort(_resampled_means(values))
    below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / 2
    # With few values all resampled means may lie on one side; 0 and 1 have no finite quantile.
    bias = float(ndtri(np.clip(below / len(means), 1 / len(means), 1 - 1 / len(means))))
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5)
    low, high = (
        float(np.quantile(means, _adjusted(level, bias, acceleration)))
        for level in (1 - confidence, confidence)
    )
    return low, high


def _adjusted(level: float, bias: float, acceleration: float) -> float:
    """Return the percentile that replaces `level` after bias correction and acceleration."""
    z = bias + float(ndtri(level))
    return float(ndtr(bias + z / (1 - acceleration * z)))


def _resampled_means(values: Floats) -> Floats:
    generator = np.random.default_rng(_SEED)
    n = len(values)
    rows = max(1, _CELLS // n)
    parts = [
        values[generator.integers(0, n, (min(rows, _RESAMPLES - start), n))].mean(axis=1)
        for start in range(0, _RESAMPLES, rows)
    ]
    return np.concatenate(parts)


def welch(new: Sequence[float], old: Sequence[float], confidence: float) -> Interval:
    """Return one-sided limits of the difference of two means, new − old, each at `confidence`.

    Welch's t interval with Satterthwaite's degrees of freedom (Welch 1947). The two variances may
    differ.

    Args:
        new: two or more finite independent measurements of the new model.
        old: two or more finite independent measurements of the old model.
        confidence: level of each limit, 0.5…1.
    """
    assert len(new) > 1
    assert len(old) > 1
    difference = float(np.mean(new) - np.mean(old))
    one, other = (float(np.var(values, ddof=1)) / len(values) for values in (new, old))
    if one + other == 0:
        return difference, difference
    freedom = (one + other) ** 2 / (one**2 / (len(new) - 1) + other**2 / (len(old) - 1))
    reach = float(stdtrit(freedom, confidence)) * math.sqrt(one + other)
    return difference - reach, difference + reach


def seed_margin(deviation: float, trainings: int, confidence: float) -> float:
    """Return the upper limit of the difference between two training runs that differ by seed.

    t(confidence, n − 1) · √2 · s is Student's one-sided prediction limit for the difference of two
    further training runs. The difference has mean 0 and variance 2σ², where σ is estimated by the
    standard deviation s of n training runs.

    Args:
        deviation: s, in the metric's unit.
        trainings: n, two or more.
        confidence: level of the limit, 0.5…1.
    """
    assert trainings > 1
    return float(stdtrit(trainings - 1, confidence)) * math.sqrt(2) * deviation
