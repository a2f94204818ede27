"""Kernel distance between two sets of features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genmint.errors import DataError

Array = npt.NDArray[np.float64]


def kernel_distance(samples: Array, real: Array) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with the kernel (x·y/D + 1)³, and its error.

    Gretton et al. (2012), equation 3; the kernel of Bińkowski et al. (2018), there "KID". All pairs
    are used, not random subsets of them. The standard error is the jackknife's over the samples
    (Tukey 1958): each is left out once.

    Args:
        samples: float64 N×D.
        real: float64 M×D.

    Returns:
        Distance and standard error. Around 0 for equal distributions, and then also negative.

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
    within = _kernel(samples, samples)
    own = within.sum(axis=1) - np.diagonal(within)
    across = _kernel(samples, real).sum(axis=1)
    real_pairs = _kernel(real, real)
    real_mean = (real_pairs.sum() - np.trace(real_pairs)) / (m * (m - 1))
    value = own.sum() / (n * (n - 1)) + real_mean - 2 * across.sum() / (n * m)
    left_out = (
        (own.sum() - 2 * own) / ((n - 1) * (n - 2))
        + real_mean
        - 2 * (across.sum() - across) / ((n - 1) * m)
    )
    stderr = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return float(value), float(stderr)


def _kernel(a: Array, b: Array) -> Array:
    product: Array = (a @ b.T / a.shape[1] + 1) ** 3
    return product
