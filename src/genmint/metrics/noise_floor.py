"""How far real items are from real items: what chance alone does to a metric of samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from genmint.metrics.frechet import frechet_distance
from genmint.metrics.kernel import kernel_distance, mean_kernel

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_RESAMPLES = 9


def distance_floors(pool: Floats, real: Floats, samples: int, *, seed: int) -> tuple[float, float]:
    """Fréchet and kernel distance that a perfect model would score.

    Real items that are not in the test split take the place of the samples, as many as the protocol
    draws, or all where there are fewer. Median over 9 draws; of the kernel distance, which is
    around 0, the median size.

    Args:
        pool: features of real items outside of the test split, float64 N×D.
        real: features of the test split, float64 M×D.
        samples: of the protocol.
        seed: of the draws.
    """
    frechet, kernel = [], []
    real_mean = mean_kernel(real)
    for chosen in _draws(len(pool), min(samples, len(pool)), seed):
        frechet.append(frechet_distance(pool[chosen], real))
        kernel.append(abs(kernel_distance(pool[chosen], real, real_mean=real_mean)[0]))
    return float(np.median(frechet)), float(np.median(kernel))


def share_floor(score: Callable[[Rows], float], items: int, samples: int, *, seed: int) -> float:
    """Median difference of a score between two disjoint sets of real items; 9 draws.

    Args:
        score: of the items with these numbers.
        items: how many real items there are.
        samples: size of each set, as the protocol draws, or half of all where there are fewer.
        seed: of the draws.
    """
    size = min(samples, items // 2)
    if size == 0:
        return 0.0
    differences = [
        abs(score(chosen[:size]) - score(chosen[size:])) for chosen in _draws(items, 2 * size, seed)
    ]
    return float(np.median(differences))


def _draws(items: int, size: int, seed: int) -> list[Rows]:
    generator = np.random.default_rng(seed)
    return [generator.permutation(items)[:size] for _ in range(_RESAMPLES)]
