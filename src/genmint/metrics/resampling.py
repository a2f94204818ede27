"""Selection of items, and jackknife standard errors over the drawing of the samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

# Number of groups that Efron and Tibshirani (1993) find sufficient for a standard error. The
# cost grows with the number of groups.
_GROUPS = 20


def evenly_spaced(items: int, most: int) -> Rows:
    """Return the numbers of `most` evenly spaced items, int64; of all items if there are fewer."""
    return np.linspace(0, items - 1, min(items, most)).astype(np.int64)


def jackknife_stderr(score: Callable[[Rows], float], items: int) -> float:
    """Standard error of a score over the drawing of its items, by the jackknife.

    Items are left out in 20 groups of equal size (one by one if there are fewer than 20). This is
    the delete-a-group form (Tukey 1958; Shao and Wu 1989), whose number of evaluations does not
    grow with the number of items. It is valid for scores that change smoothly with each item, but
    not for a maximum or a number of classes.

    Args:
        score: function of the numbers of the items used, ascending.
        items: number of items.

    Returns:
        0 for a single item.
    """
    groups = min(_GROUPS, items)
    if groups < 2:
        return 0.0
    of = np.arange(items) % groups
    left_out = np.array([score(np.flatnonzero(of != group)) for group in range(groups)])
    return math.sqrt((groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum()))
