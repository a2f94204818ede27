"""Differentiable augmentation (Zhao et al. 2020) for GANs with little training data.

Data and samples are augmented in the same way, in the optimizer phases of both networks, and
gradients flow through the augmentation. The discriminator can then not memorise the items. The
generator does not reproduce the augmentations, as it does if only the data are augmented
(section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genmint.models.shared.noise import Noise

# Fractions of the height and width, as in the paper, section 3.2.
_SHIFT, _HOLE = 1 / 8, 1 / 2


def augment(grid: Tensor, policy: Sequence[str], noise: Noise) -> Tensor:
    """Augment every item with its own random draws; float −1…1 N×C×H×W to the same shape.

    - colour: brightness by ±½, saturation by a factor of 0…2, contrast by a factor of ½…1½.
    - translation: by up to an eighth of each side, padded with 0 (mid-grey).
    - cutout: a square of half of each side is set to 0.
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
    """Mask of a hole whose centre is at `part` (N, 0…1) of an axis; it may extend over an end."""
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
