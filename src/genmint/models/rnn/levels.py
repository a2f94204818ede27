"""Levels of sound and of pixels: symbols that have an order."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def smooth_levels(levels: int, width: int) -> Tensor:
    """Describe levels 0…levels−1 by `width` smooth functions: the level itself, sines and cosines.

    Returns:
        float32 levels×width: −2…2 in the first column, waves of half a period and upwards in the
        others, each pair 1.35 times as fast as the one before.
    """
    level = (torch.arange(levels) - levels / 2) / (levels / 2)
    columns = [2 * level]
    pace = 0.5 * math.pi
    while len(columns) < width:
        columns += [torch.sin(pace * level), torch.cos(pace * level)]
        pace *= 1.35
    return torch.stack(columns[:width], dim=1)
