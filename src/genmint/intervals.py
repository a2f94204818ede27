"""How sure a difference is: intervals of means and of repeated measurements, and seed margins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

# With 2,000 the limits still move by a tenth of a standard error from seed to seed.
_RESAMPLES = 10_000
# The same differences always give the same interval.
_SEED = 20_231
# Numbers drawn at a time: 32 MB of them.
_CELLS = 4_000_000


def bootstrap(differences: Sequence[float], confidence: float) -> Interval:
    """One-sided limits of the mean of paired differences, each at `confidence`.

    Bias-corrected and accelerated bootstrap (BCa; Efron 1987) with 10,000 resamples of the pairs.
    Differences of log-likelihoods are skewed: a few items that only one model finds unlikely make
    the tail. The limits of the plain percentile bootstrap are wrong by the order of the skewness
    over √n on one side, BCa's by 1/n, at the same cost. For a mean, bias is zero up to the
    resampling and the acceleration is the skewness over 6√n, exactly what the jackknife gives.

    Args:
        differences: finite, two or more.
        confidence: of each limit, 0.5…1.

    Returns:
        Lower and upper limit, in the unit of the differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    assert len(values) > 1
    mean = float(values.mean())
    deviations = values - mean
    squares = float((deviations**2).sum())
    # Differences that are all the same leave rounding, and nothing to resample.
    if math.sqrt(squares / len(values)) <= 1e-12 * abs(mean):
        return mean, mean
    means = np.sort(_resampled_means(values))
    below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / 2
    # Kept off 0 and 1, where few values make all resamples fall on one side.
    bias = float(ndtri(np.clip(below / len(means), 1 / len(means), 1 - 1 / len(means))))
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5)
    low, high = (
        float(np.quantile(means, _adjusted(level, bias, acceleration)))
        for level in (1 - confidence, confidence)
    )
    return low, high


def _adjusted(level: float, bias: float, acceleration: float) -> float:
    """The percentile that stands for `level` once bias and acceleration are taken out."""
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
    """One-sided limits of the difference of two means, new − old, each at `confidence`.

    Welch's t interval, with the degrees of freedom of Satterthwaite (Welch 1947): the two may be
    spread differently.

    Args:
        new: independent measurements, finite, two or more.
        old: the same of the other.
        confidence: of each limit, 0.5…1.
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
    """What two trainings that differ by seed alone differ by at most, at `confidence`.

    t(confidence, n − 1) · √2 · s: the one-sided prediction limit (Student) for the difference of
    two further trainings, which has mean 0 and variance 2σ², when σ is known only as the standard
    deviation s of n trainings.

    Args:
        deviation: s, in the metric's unit.
        trainings: n, two or more.
        confidence: 0.5…1.
    """
    assert trainings > 1
    return float(stdtrit(trainings - 1, confidence)) * math.sqrt(2) * deviation
