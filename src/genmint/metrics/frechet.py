"""Fréchet distance between two sets of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from genmint.errors import DataError
from genmint.metrics.resampling import Rows, jackknife_stderr

Array = npt.NDArray[np.float64]

_REPLICATES = 100
# Sizes of subsets from N/2 to N, and orders of the samples from whose beginnings they are taken.
_SIZES = 8
_ORDERS = 16


def frechet_distance(samples: Array, real: Array) -> float:
    """Fréchet distance between the Gaussians fitted to two sets of features.

    ‖m₁ − m₂‖² + Tr(C₁ + C₂ − 2·(C₁C₂)^½) with covariances divided by N − 1 (Dowson and Landau 1982;
    for generative models Heusel et al. 2017).

    Args:
        samples: float64 N×D.
        real: float64 M×D.

    Returns:
        A value of 0 or more, too large by a bias that falls with 1/N and 1/M (Bińkowski et al.
        2018), so only values with the same N and M compare.

    Raises:
        DataError: fewer than two rows, or a value that is not finite.
    """
    _check(samples, "the samples")
    _check(real, "the real items")
    return _distance(samples.mean(axis=0), _covariance(samples), real.mean(axis=0), _root(real))


def frechet_stderr(samples: Array, real: Array, *, seed: int) -> float:
    """Standard error of the Fréchet distance over the drawing of the samples.

    The bootstrap (Efron 1979) with 100 replicates of the samples; the real items stay as they are,
    as they do when two models are compared.

    Raises:
        DataError: as `frechet_distance`.
    """
    _check(samples, "the samples")
    _check(real, "the real items")
    generator = np.random.default_rng(seed)
    mean, root = real.mean(axis=0), _root(real)
    n = len(samples)
    values = []
    for _ in range(_REPLICATES):
        drawn = samples[generator.integers(0, n, n)]
        values.append(_distance(drawn.mean(axis=0), _covariance(drawn), mean, root))
    return float(np.std(values, ddof=1))


def frechet_infinite(samples: Array, real: Array, *, seed: int) -> float:
    """Fréchet distance that infinitely many samples of the same model would have.

    The distance of subsets of the samples is a straight line over 1/N, whose value at 1/N = 0 this
    is (Chong and Forsyth 2020). It takes away the bias of the samples; that of the M real items
    stays, the same for every model. Subsets are the beginnings of 16 orders of the samples.

    Args:
        samples: float64 N×D.
        real: float64 M×D.
        seed: of the orders.

    Returns:
        Around the bias of the real items for a perfect model, and then also negative.

    Raises:
        DataError: fewer than 2·D samples (the line bends where a subset has fewer items than
            dimensions) or two real items, or a value that is not finite.
    """
    return _extrapolation(samples, real, seed)(np.arange(len(samples)))


def frechet_infinite_stderr(samples: Array, real: Array, *, seed: int) -> float:
    """Standard error of `frechet_infinite` over the drawing of the samples, by the jackknife.

    Up to a third too large: the choice of subsets adds to it.

    Raises:
        DataError: as `frechet_infinite`.
    """
    return jackknife_stderr(_extrapolation(samples, real, seed), len(samples))


def _extrapolation(samples: Array, real: Array, seed: int) -> Callable[[Rows], float]:
    """Value at 1/N = 0, as a function of which samples there are."""
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
    # Each order backwards as well, so that all samples have the same weight.
    orders = [*forward, *(order[::-1] for order in forward)]
    mean, root = real.mean(axis=0), _root(real)

    def value(rows: Rows) -> float:
        # The orders stay the same but for the rows left out: what the choice of subsets does to
        # the value must not be taken for what the samples do.
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


def _distance(mean: Array, covariance: Array, real_mean: Array, real_root: Array) -> float:
    # Tr((C₁C₂)^½) = Tr((R·C₁·R)^½) with R = C₂^½: symmetric, so its eigenvalues are real and, but
    # for rounding, not negative.
    product = real_root @ covariance @ real_root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2).clip(min=0)
    shift = float(((mean - real_mean) ** 2).sum())
    traces = float(np.trace(covariance) + (real_root**2).sum())
    return max(0.0, shift + traces - 2 * float(np.sqrt(eigenvalues).sum()))


def _covariance(features: Array) -> Array:
    centred = features - features.mean(axis=0)
    covariance: Array = centred.T @ centred / (len(features) - 1)
    return covariance


def _root(features: Array) -> Array:
    """Symmetric square root of the covariance."""
    eigenvalues, vectors = np.linalg.eigh(_covariance(features))
    root: Array = (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T
    return root


def _check(features: Array, whose: str) -> None:
    if len(features) < 2:
        raise DataError(
            f"a distance needs at least two items, but there are {len(features)} of {whose}; "
            "raise protocol.samples or use a larger set"
        )
    if not np.isfinite(features).all():
        raise DataError(f"the features of {whose} hold values that are not finite")
