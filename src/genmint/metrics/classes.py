"""What a classifier says of samples: how sure it is, and how many classes occur."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.8


def confident(probabilities: npt.NDArray[np.float64]) -> float:
    """Share of samples whose most probable class has a probability above 0.8.

    Args:
        probabilities: float64 N×classes; rows sum to one.
    """
    return float((probabilities.max(axis=1) > CONFIDENCE).mean())


def classes(probabilities: npt.NDArray[np.float64]) -> int:
    """Number of classes that are the most probable one of at least one sample.

    Args:
        probabilities: float64 N×classes.
    """
    return len(np.unique(probabilities.argmax(axis=1)))
