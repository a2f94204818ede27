"""Precision, recall, density and coverage of samples in a space of features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

from genmint.common.array_types import Floats
from genmint.common.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr

# k of Naeem et al. (2020), who use it for precision and recall as well.
_NEIGHBOURS = 5
# Distances computed at a time: 32 MB.
_PAIRS = 4_000_000


def prdc(samples: Floats, real: Floats, *, real_radii: Floats | None = None) -> dict[str, float]:
    """Precision, recall, density and coverage of samples with respect to real items.

    The neighbourhood of an item is the ball up to its 5th nearest neighbour in its own set (up to
    the furthest if there are 5 items or fewer).

    - `precision`: share of samples in the neighbourhood of any real item. `recall`: share of real
      items in the neighbourhood of any sample (Kynkäänniemi et al. 2019).
    - `density`: mean number of real neighbourhoods that contain a sample, divided by 5. `coverage`:
      share of real neighbourhoods that contain a sample (Naeem et al. 2020).

    An outlier among the real items has a large neighbourhood, which raises precision. Density and
    coverage are robust to it. All four depend on N and M: coverage of a perfect model is about
    1 − (M / (N + M))⁵. Distances are exact, so that a copy lies in the neighbourhood of its
    original even if the radius is 0.

    Args:
        samples: float64 N×D.
        real: float64 M×D.
        real_radii: `radii(real)`, if already computed.

    Returns:
        The four metrics by name (density is 0 or more, the others 0…1), and their standard errors
        as `NAME_stderr`. Those of precision and density are over the samples, those of recall and
        coverage over the real items.

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
    """Distance of each item to its 5th nearest neighbour (to the furthest if there are fewer).

    Args:
        items: float64 N×D, N at least 2.
    """
    k = min(_NEIGHBOURS, len(items) - 1)
    parts = [np.partition(distance, k, axis=1)[:, k] for _, distance in _blocks(items, items)]
    return np.concatenate(parts)


def _blocks(a: Floats, b: Floats) -> Iterator[tuple[slice, Floats]]:
    """Distances of blocks of rows of `a` to all of `b`; exactly 0 for equal rows."""
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
