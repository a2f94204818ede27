"""Precision, recall, density and coverage of samples in a space of features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from genmint.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr

Floats = npt.NDArray[np.float64]

# k of Naeem et al. (2020), who also take it for precision and recall.
_NEIGHBOURS = 5
# Distances at a time: 32 MB.
_PAIRS = 4_000_000


def prdc(samples: Floats, real: Floats, *, real_radii: Floats | None = None) -> dict[str, float]:
    """Are the samples like real items, and are all kinds of real items among them?

    The neighbourhood of an item is the ball that reaches to its 5th nearest neighbour in its own
    set (with 5 items or fewer, to the furthest). Then

    - `precision` is the share of samples in the neighbourhood of any real item, `recall` that of
      real items in the neighbourhood of any sample (Kynkäänniemi et al. 2019);
    - `density` is the number of real neighbourhoods that a sample lies in, over 5, on average;
      `coverage` the share of real neighbourhoods with a sample in them (Naeem et al. 2020).

    An outlier among the real items has a wide neighbourhood, which raises precision; density and
    coverage do not suffer from it. All depend on N and M: coverage of a perfect model is about
    1 − (M / (N + M))⁵. Distances are exact, so a copy is in the neighbourhood of its original even
    where that has no width.

    Args:
        samples: float64 N×D.
        real: float64 M×D.
        real_radii: `radii(real)`, if it is known already.

    Returns:
        The four by name, density of 0 or more, the others 0…1, and the standard error of each as
        `NAME_stderr`: of precision and density over the samples, of recall and coverage over the
        real items.

    Raises:
        DataError: fewer than two samples or real items, or values that are not finite.
    """
    _check(samples, "the samples")
    _check(real, "the real items")
    reach = radii(samples)
    real_reach = radii(real) if real_radii is None else real_radii
    around = np.empty(len(samples))
    covered, recalled = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows, distance in _blocks(samples, real):
        near_real = distance <= real_reach
        around[rows] = near_real.sum(axis=1)
        covered |= near_real.any(axis=0)
        recalled |= (distance <= reach[rows, None]).any(axis=0)
    scores = {
        "precision": around > 0,
        "recall": recalled,
        "density": around / min(_NEIGHBOURS, len(real) - 1),
        "coverage": covered,
    }
    result: dict[str, float] = {}
    for name, values in scores.items():
        result[name], result[f"{name}_stderr"] = mean_and_stderr(values.astype(np.float64))
    return result


def radii(items: Floats) -> Floats:
    """Distance of each item to its 5th nearest neighbour (or the furthest, where there are fewer).

    Args:
        items: float64 N×D, N at least 2.
    """
    k = min(_NEIGHBOURS, len(items) - 1)
    parts = [np.partition(distance, k, axis=1)[:, k] for _, distance in _blocks(items, items)]
    return np.concatenate(parts)


def _blocks(a: Floats, b: Floats) -> Iterator[tuple[slice, Floats]]:
    """Distances of some rows of `a` to all of `b`, from differences: equal rows are at 0."""
    rows = max(1, _PAIRS // len(b))
    for start in range(0, len(a), rows):
        block = slice(start, start + rows)
        yield block, cdist(a[block], b)


def _check(features: Floats, whose: str) -> None:
    if len(features) < 2:
        raise DataError(
            f"precision and coverage need at least two items, but there are {len(features)} of "
            f"{whose}; raise protocol.samples or use a larger set"
        )
    if not np.isfinite(features).all():
        raise DataError(f"the features of {whose} hold values that are not finite")
