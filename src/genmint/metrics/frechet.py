"""Fréchet distance between two sets of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genmint.common.array_types import Floats
from genmint.common.errors import DataError
from genmint.metrics.resampling import Rows, jackknife_stderr

_REPLICATES = 100
# Number of subset sizes between N/2 and N, and of permutations whose prefixes are the subsets.
_SIZES = 8
_ORDERS = 16


def frechet_distance(samples: Floats, real: Floats) -> float:
    """Fréchet distance between the Gaussians fitted to two sets of features.

    ‖m₁ − m₂‖² + Tr(C₁ + C₂ − 2·(C₁C₂)^½) with covariances divided by N − 1 (Dowson and Landau 1982;
    for generative models Heusel et al. 2017).

    Args:
        samples: float64 N×D.
        real: float64 M×D.

    Returns:
        A value of 0 or more. Its upward bias falls with 1/N and 1/M (Bińkowski et al. 2018), so
        that only values with the same N and M are comparable.

    Raises:
        DataError: fewer than two rows, or a value that is not finite.
    """
    _check(samples, "the samples")
    _check(real, "the real items")
    if len(samples) < samples.shape[1]:
        return _ByPairs(samples, real).distance(np.arange(len(samples)))
    return _distance(samples.mean(axis=0), _covariance(samples), real.mean(axis=0), _root(real))


def frechet_stderr(samples: Floats, real: Floats, *, seed: int) -> float:
    """Standard error of the Fréchet distance over the drawing of the samples.

    Bootstrap (Efron 1979) with 100 replicates of the samples. The real items are not resampled,
    since they are the same when two models are compared.

    Raises:
        DataError: as `frechet_distance`.
    """
    _check(samples, "the samples")
    _check(real, "the real items")
    generator = np.random.default_rng(seed)
    n = len(samples)
    if n < samples.shape[1]:
        pairs = _ByPairs(samples, real)
        replicates = [pairs.distance(generator.integers(0, n, n)) for _ in range(_REPLICATES)]
        return float(np.std(replicates, ddof=1))
    mean, root = real.mean(axis=0), _root(real)
    values = []
    for _ in range(_REPLICATES):
        drawn = samples[generator.integers(0, n, n)]
        values.append(_distance(drawn.mean(axis=0), _covariance(drawn), mean, root))
    return float(np.std(values, ddof=1))


def frechet_infinite(samples: Floats, real: Floats, *, seed: int) -> float:
    """Fréchet distance extrapolated to infinitely many samples.

    The distance of subsets of the samples is linear in 1/N. The result is the value of the fitted
    line at 1/N = 0 (Chong and Forsyth 2020). This removes the bias due to the number of samples.
    The bias due to the M real items remains, and is equal for all models. Subsets are prefixes of
    16 permutations of the samples.

    Args:
        samples: float64 N×D.
        real: float64 M×D.
        seed: of the permutations.

    Returns:
        For a perfect model about the bias of the real items; values can be negative.

    Raises:
        DataError: fewer than 2·D samples (the relation is not linear where a subset has fewer items
            than dimensions), fewer than two real items, or a value that is not finite.
    """
    return _extrapolation(samples, real, seed)(np.arange(len(samples)))


def frechet_infinite_stderr(samples: Floats, real: Floats, *, seed: int) -> float:
    """Standard error of `frechet_infinite` over the drawing of the samples (jackknife).

    It is up to a third too large, since the choice of subsets adds variance.

    Raises:
        DataError: as `frechet_infinite`.
    """
    return jackknife_stderr(_extrapolation(samples, real, seed), len(samples))


def _extrapolation(samples: Floats, real: Floats, seed: int) -> Callable[[Rows], float]:
    """Function that returns the value at 1/N = 0 for the samples with the given row numbers."""
    _check(samples, "the samples")
    if len(samples) < 2 * samples.shape[1]:
        raise DataError(
            f"the extrapolation of a distance needs twice as many samples as features, "
            f"{2 * samples.shape[1]}, but there are {len(samples)}; raise protocol.samples"
        )
    _check(real, "the real items")
    n = len(samples)
    generator = np.random.default_rng(seed)
    forward = [generator.permutation(n) for _ in range(_ORDERS // 2)]
    # Each permutation is also used reversed, so that all samples have the same weight.
    orders = [*forward, *(order[::-1] for order in forward)]
    mean, root = real.mean(axis=0), _root(real)

    def value(rows: Rows) -> float:
        # Only the left-out rows are removed from the permutations. Otherwise the jackknife would
        # attribute the variance of the subset choice to the samples.
        kept = np.zeros(n, dtype=bool)
        kept[rows] = True
        sizes = np.unique(np.linspace(max(2, len(rows) / 2), len(rows), _SIZES).astype(int))
        inverse, distances = [], []
        for order in orders:
            chosen = samples[order[kept[order]]]
            for size in sizes:
                part = chosen[:size]
                inverse.append(1 / size)
                distances.append(_distance(part.mean(axis=0), _covariance(part), mean, root))
        return float(np.polyfit(inverse, distances, 1)[1])

    return value


class _ByPairs:
    """The same distance from products of pairs of items, for fewer samples than dimensions.

    Tr((C₁C₂)^½) is the sum of the singular values of X₁X₂ᵀ, whose rows are centred, divided by the
    root of (N − 1)(M − 1). An N×N matrix takes the place of D×D matrices.
    """

    def __init__(self, samples: Floats, real: Floats) -> None:
        self.samples, self.mean = samples, real.mean(axis=0)
        centred = real - self.mean
        self.products = samples @ centred.T
        self.real_items = len(real)
        self.real_trace = float((centred**2).sum()) / (len(real) - 1)

    def distance(self, rows: Rows) -> float:
        """Return the distance of the samples with these row numbers."""
        samples, products = self.samples[rows], self.products[rows]
        shift = float(((samples.mean(axis=0) - self.mean) ** 2).sum())
        trace = float(samples.var(axis=0, ddof=1).sum())
        centred = products - products.mean(axis=0)
        squares = np.linalg.eigvalsh(centred @ centred.T).clip(min=0)
        scale = np.sqrt((len(rows) - 1) * (self.real_items - 1))
        roots = float(np.sqrt(squares).sum()) / scale
        distance: float = max(0.0, shift + trace + self.real_trace - 2 * roots)
        return distance


def _distance(mean: Floats, covariance: Floats, real_mean: Floats, real_root: Floats) -> float:
    # Tr((C₁C₂)^½) = Tr((R·C₁·R)^½) with R = C₂^½. The matrix is symmetric, so its eigenvalues are
    # real and, except for rounding, not negative.
    product = real_root @ covariance @ real_root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2).clip(min=0)
    shift = float(((mean - real_mean) ** 2).sum())
    traces = float(np.trace(covariance) + (real_root**2).sum())
    return max(0.0, shift + traces - 2 * float(np.sqrt(eigenvalues).sum()))


def _covariance(features: Floats) -> Floats:
    centred = features - features.mean(axis=0)
    covariance: Floats = centred.T @ centred / (len(features) - 1)
    return covariance


def _root(features: Floats) -> Floats:
    """Symmetric square root of the covariance."""
    eigenvalues, vectors = np.linalg.eigh(_covariance(features))
    root: Floats = (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T
    return root


def _check(features: Floats, whose: str) -> None:
    if len(features) < 2:
        raise DataError(
            f"a distance needs at least two items, but there are {len(features)} of {whose}; "
            "raise protocol.samples or use a larger set"
        )
    if not np.isfinite(features).all():
        raise DataError(f"the features of {whose} hold values that are not finite")
