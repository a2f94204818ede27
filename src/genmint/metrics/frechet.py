"""Fréchet distance between two sets of features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genmint.errors import DataError

Array = npt.NDArray[np.float64]

_REPLICATES = 100


def frechet_distance(samples: Array, real: Array) -> float:
    """Fréchet distance between the Gaussians fitted to two sets of features.

    ‖m₁ − m₂‖² + Tr(C₁ + C₂ − 2·(C₁C₂)^½) with covariances divided by N − 1 (Dowson and Landau 1982;
    for generative models Heusel et al. 2017).

    Args:
        samples: float64 N×D.
        real: float64 M×D.

    Returns:
        A value of 0 or more. Its bias falls with N and M, so only values with the same N and M
        compare.

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
