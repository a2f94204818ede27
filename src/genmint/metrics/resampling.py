"""The jackknife: how far a metric would move had other samples been drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

# As many parts as Efron and Tibshirani (1993) find enough for an error bar; more cost more.
_GROUPS = 20


def jackknife_stderr(score: Callable[[Rows], float], items: int) -> float:
    """Standard error of a score over the drawing of its items, by the jackknife.

    Items are left out in 20 groups of equal size (one by one where there are fewer): the delete-a-
    group form (Tukey 1958; Shao and Wu 1989), whose cost does not grow with the number of items.
    Fit for what changes smoothly with each item; a maximum or a count of classes does not.

    Args:
        score: of the items with these numbers, ascending.
        items: how many there are.

    Returns:
        0 for a single item.
    """
    groups = min(_GROUPS, items)
    if groups < 2:
        return 0.0
    of = np.arange(items) % groups
    left_out = np.array([score(np.flatnonzero(of != group)) for group in range(groups)])
    return math.sqrt((groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum()))
