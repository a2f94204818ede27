"""Smooth features of ordered symbols: audio levels and pixel values."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def smooth_levels(levels: int, width: int) -> Tensor:
    """Features of the levels 0…levels−1: the level itself, and sines and cosines of it.

    Returns:
        float32 levels×width. The first column is −2…2. The others are waves, from half a period
        over the range upwards; the frequency of each pair is 1.35 times that of the pair before.
    """
    level = (torch.arange(levels) - levels / 2) / (levels / 2)
    columns = [2 * level]
    pace = 0.5 * math.pi
    while len(columns) < width:
        columns += [torch.sin(pace * level), torch.cos(pace * level)]
        pace *= 1.35
    return torch.stack(columns[:width], dim=1)
