"""How far real items are from real items: what chance alone does to a metric of samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from genmint.metrics.frechet import frechet_distance, frechet_infinite
from genmint.metrics.kernel import kernel_distance, mean_kernel

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_RESAMPLES = 9


def distance_floors(
    pool: Floats, real: Floats, samples: int, *, seed: int
) -> tuple[float, float | None, float]:
    """Fréchet distance, its extrapolation and kernel distance that a perfect model would score.

    Real items that are not in the test split take the place of the samples, as many as the protocol
    draws, or all where there are fewer. Median over 9 draws; of the extrapolation and the kernel
    distance, which are around 0, the median size.

    Args:
        pool: features of real items outside of the test split, float64 N×D.
        real: features of the test split, float64 M×D.
        samples: of the protocol.
        seed: of the draws.

    Returns:
        The three; None in the place of the second where there are too few items for it.
    """
    frechet, infinite, kernel = [], [], []
    real_mean = mean_kernel(real)
    for chosen in _draws(len(pool), min(samples, len(pool)), seed):
        frechet.append(frechet_distance(pool[chosen], real))
        if len(chosen) >= 2 * pool.shape[1]:
            infinite.append(abs(frechet_infinite(pool[chosen], real, seed=seed)))
        kernel.append(abs(kernel_distance(pool[chosen], real, real_mean=real_mean)[0]))
    extrapolated = float(np.median(infinite)) if infinite else None
    return float(np.median(frechet)), extrapolated, float(np.median(kernel))


def share_floors(
    scores: Callable[[Rows], dict[str, float]], items: int, samples: int, *, seed: int
) -> dict[str, float]:
    """Median difference of each score between two disjoint sets of real items; 9 draws.

    Args:
        scores: of the items with these numbers, by metric; standard errors are left out.
        items: how many real items there are.
        samples: size of each set, as the protocol draws, or half of all where there are fewer.
        seed: of the draws.

    Returns:
        By metric; empty where there are no two items.
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
