"""Noise floors: values of sample metrics between two sets of real items, due to sampling alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from genmint.common.array_types import Floats
from genmint.metrics.frechet import frechet_distance, frechet_infinite
from genmint.metrics.kernel import kernel_distance, mean_kernel
from genmint.metrics.resampling import Rows

_RESAMPLES = 9


def distance_floors(
    pool: Floats, real: Floats, samples: int, *, seed: int, extrapolated: bool = True
) -> tuple[float, float | None, float]:
    """Return Fréchet distance, its extrapolation and kernel distance of a perfect model.

    Real items outside of the test split replace the samples. Their number is that of the protocol,
    or all if there are fewer. The result is the median over 9 draws. The extrapolation and the
    kernel distance are distributed around 0, so the median of their absolute values is returned.

    Args:
        pool: features of real items outside of the test split, float64 N×D.
        real: features of the test split, float64 M×D.
        samples: number of samples of the protocol.
        seed: seed of the draws.
        extrapolated: whether the extrapolation is computed.

    Returns:
        The three values; the second is None if there are too few items for it.
    """
    frechet, infinite, kernel = [], [], []
    real_mean = mean_kernel(real)
    for chosen in _draws(len(pool), min(samples, len(pool)), seed):
        frechet.append(frechet_distance(pool[chosen], real))
        if extrapolated and len(chosen) >= 2 * pool.shape[1]:
            infinite.append(abs(frechet_infinite(pool[chosen], real, seed=seed)))
        kernel.append(abs(kernel_distance(pool[chosen], real, real_mean=real_mean)[0]))
    limit = float(np.median(infinite)) if infinite else None
    return float(np.median(frechet)), limit, float(np.median(kernel))


def share_floors(
    scores: Callable[[Rows], dict[str, float]], items: int, samples: int, *, seed: int
) -> dict[str, float]:
    """Return the median difference of each score between two disjoint sets of real items; 9 draws.

    Args:
        scores: function from item indices to scores by metric; standard errors are left out.
        items: number of real items.
        samples: size of each set, that of the protocol, or half of all items if there are fewer.
        seed: seed of the draws.

    Returns:
        Noise floor by metric; empty if there are fewer than two items.
    """
    size = min(samples, items // 2)
    if size == 0:
        return {}
    differences: dict[str, list[float]] = {}
    for chosen in _draws(items, 2 * size, seed):
        one, other = scores(chosen[:size]), scores(chosen[size:])
        for metric, value in one.items():
            if not metric.endswith("_stderr"):
                differences.setdefault(metric, []).append(abs(value - other[metric]))
    return {metric: float(np.median(values)) for metric, values in differences.items()}


def _draws(items: int, size: int, seed: int) -> list[Rows]:
    generator = np.random.default_rng(seed)
    return [generator.permutation(items)[:size] for _ in range(_RESAMPLES)]
