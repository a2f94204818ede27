"""Differentiable augmentation (Zhao et al. 2020): discriminators that see little data.

What is shown of data and of samples is changed alike, in the turns of both networks, and gradients
flow through the change: the discriminator cannot learn the items by heart, and the generator does
not learn the changes, as it would from changed data alone (section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genmint.models.noise import Noise

# Of the height and width; as in the paper, section 3.2.
_SHIFT, _HOLE = 1 / 8, 1 / 2


def augment(grid: Tensor, policy: Sequence[str], noise: Noise) -> Tensor:
    """Change every item by draws of its own; float −1…1 N×C×H×W to the same.

    colour: brightness by ±½, saturation by a factor of 0…2, contrast by ½…1½; translation: by up
    to an eighth of each side, 0 (mid-grey) where nothing was; cutout: a square of half of each side
    becomes 0.
    """
    changes = {"colour": _colour, "translation": _translation, "cutout": _cutout}
    for name in policy:
        grid = changes[name](grid, noise)
    return grid


def _colour(grid: Tensor, noise: Noise) -> Tensor:
    drawn = noise.uniform(len(grid), 3, 1, 1, 1)
    brightness, saturation, contrast = drawn.unbind(1)
    grid = grid + (brightness - 0.5)
    grey = grid.mean(1, keepdim=True)
    grid = grey + (grid - grey) * (2 * saturation)
    mean = grid.mean((1, 2, 3), keepdim=True)
    return mean + (grid - mean) * (contrast + 0.5)


def _translation(grid: Tensor, noise: Noise) -> Tensor:
    drawn = noise.uniform(len(grid), 2)
    for axis, part in zip((2, 3), drawn.unbind(1), strict=True):
        side = grid.shape[axis]
        most = int(side * _SHIFT + 0.5)
        shift = (part * (2 * most + 1)).long() - most
        source = _places(side, grid.device) + shift[:, None]
        inside = _along(axis, (source >= 0) & (source < side))
        source = _along(axis, source.clamp(0, side - 1))
        grid = grid.gather(axis, source.expand_as(grid)) * inside
    return grid


def _cutout(grid: Tensor, noise: Noise) -> Tensor:
    vertical, horizontal = noise.uniform(len(grid), 2).unbind(1)
    return grid.masked_fill(_covered(grid, 2, vertical) & _covered(grid, 3, horizontal), 0.0)


def _covered(grid: Tensor, axis: int, part: Tensor) -> Tensor:
    """Where a hole with its centre at `part` (N, 0…1) of an axis lies; it may reach over an end."""
    side = grid.shape[axis]
    width = int(side * _HOLE + 0.5)
    first = (part * (side + 1 - width % 2)).long() - width // 2
    place = _places(side, grid.device) - first[:, None]
    return _along(axis, (place >= 0) & (place < width))


def _places(side: int, device: torch.device) -> Tensor:
    return torch.arange(side, device=device)[None]


def _along(axis: int, rows: Tensor) -> Tensor:
    """N×side to N×1×side×1 for the vertical axis (2), N×1×1×side for the horizontal one (3)."""
    return rows[:, None, :, None] if axis == 2 else rows[:, None, None, :]
