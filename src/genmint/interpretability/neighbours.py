"""Training items that are nearest to samples, and the samples that look most like copies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Training items that are compared at once.
_ROWS = 2048


@dataclass(frozen=True)
class Neighbours:
    """Samples, the most suspicious first, with their nearest training items.

    Attributes:
        samples: positions of the samples, int64 N.
        items: positions of the nearest training items, int64 N×K, the nearest first.
        ratios: distance to the nearest item over the distance from that item to the next item,
            float64 N; well below 1: the sample looks like a copy.
    """

    samples: Tensor
    items: Tensor
    ratios: Tensor


def nearest_items(samples: Tensor, data: Tensor, shown: int) -> Neighbours:
    """Find the nearest training items of each sample by the Euclidean distance of pixels.

    Args:
        samples: uint8 N×C×H×W.
        data: uint8 M×C×H×W, the training items; at least two.
        shown: number of nearest items per sample.
    """
    distances, items = _nearest(samples, data, shown)
    # The nearest of an item is the item itself.
    apart = _nearest(data[items[:, 0]], data, 2)[0][:, 1]
    ratios = distances[:, 0] / apart.clamp_min(1e-9)
    order = ratios.argsort(stable=True)
    return Neighbours(order, items[order], ratios[order])


def _nearest(rows: Tensor, data: Tensor, shown: int) -> tuple[Tensor, Tensor]:
    """Return distances and positions of the nearest rows of `data`, each N×K."""
    flat = rows.flatten(1).double()
    shown = min(shown, len(data))
    distances = torch.full((len(rows), shown), torch.inf, dtype=torch.float64)
    positions = torch.zeros((len(rows), shown), dtype=torch.int64)
    for start in range(0, len(data), _ROWS):
        part = data[start : start + _ROWS].flatten(1).double()
        # The expanded square loses the digits that tell a copy from a near copy.
        apart = torch.cdist(flat, part, compute_mode="donot_use_mm_for_euclid_dist")
        here = torch.arange(start, start + len(part)).expand(len(rows), -1)
        joined = torch.cat([distances, apart], dim=1)
        distances, best = joined.topk(shown, dim=1, largest=False)
        positions = torch.cat([positions, here], dim=1).gather(1, best)
    return distances, positions
