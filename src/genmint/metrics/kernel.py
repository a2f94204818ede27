"""Kernel distance between two sets of features."""

from __future__ import annotations

import numpy as np

from genmint.common.array_types import Floats
from genmint.common.errors import DataError

# Pairs computed at a time: 16 MB. All pairs of 10,000 items would take 800 MB.
_PAIRS = 2_000_000


def kernel_distance(
    samples: Floats, real: Floats, *, real_mean: float | None = None
) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with the kernel (x·y/D + 1)³, and its error.

    Gretton et al. (2012), equation 3, with the kernel of Bińkowski et al. (2018), who call it
    "KID". All pairs are used instead of random subsets. The standard error is the leave-one-out
    jackknife over the samples (Tukey 1958).

    Args:
        samples: float64 N×D.
        real: float64 M×D.
        real_mean: `mean_kernel(real)`, if already computed.

    Returns:
        Distance and standard error. The distance of equal distributions is around 0 and can be
        negative.

    Raises:
        DataError: fewer than three samples, fewer than two real items, or values not finite.
    """
    n, m = len(samples), len(real)
    if n < 3 or m < 2:
        raise DataError(
            f"the kernel distance needs at least three samples and two real items, but there are "
            f"{n} and {m}; raise protocol.samples or use a larger set"
        )
    if not (np.isfinite(samples).all() and np.isfinite(real).all()):
        raise DataError("the features hold values that are not finite")
    own = _kernel_sums(samples, samples) - _kernel_to_itself(samples)
    across = _kernel_sums(samples, real)
    real_mean = mean_kernel(real) if real_mean is None else real_mean
    value = own.sum() / (n * (n - 1)) + real_mean - 2 * across.sum() / (n * m)
    left_out = (
        (own.sum() - 2 * own) / ((n - 1) * (n - 2))
        + real_mean
        - 2 * (across.sum() - across) / ((n - 1) * m)
    )
    stderr = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return float(value), float(stderr)


def mean_kernel(features: Floats) -> float:
    """Mean of the kernel over all pairs of distinct rows of float64 M×D, M at least 2."""
    m = len(features)
    pairs = _kernel_sums(features, features) - _kernel_to_itself(features)
    return float(pairs.sum() / (m * (m - 1)))


def _kernel_sums(a: Floats, b: Floats) -> Floats:
    """Sum of the kernel of each row of `a` with all rows of `b`."""
    rows = max(1, _PAIRS // len(b))
    sums = []
    for start in range(0, len(a), rows):
        base = a[start : start + rows] @ b.T / a.shape[1] + 1
        sums.append((base * base * base).sum(axis=1))
    return np.concatenate(sums)


def _kernel_to_itself(a: Floats) -> Floats:
    norms: Floats = ((a * a).sum(axis=1) / a.shape[1] + 1) ** 3
    return norms
