"""Augmentation of training items by transformations that preserve label and plausibility.

With few data a model memorises the items. Small random shifts, rotations and scalings in every step
enlarge the training set (Simard et al. 2003). A GAN's generator also learns to produce the
transformed items. For a GAN, keep the transformations small, or use differentiable augmentation,
which does not leak into the samples (Zhao et al. 2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from genmint.config import Augmentation
from genmint.models.shared.noise import Noise


def augmented(batch: Tensor, settings: Augmentation, noise: Noise, *, sound: bool) -> Tensor:
    """Transform every item of a batch with random parameters of its own.

    Args:
        batch: uint8 N×C×H×W.
        settings: maximum amounts; each amount is uniform between the maximum and its negative.
        noise: source of five random numbers per item.
        sound: items are spectrograms with time along W. They are only shifted in time, since other
            transformations would change pitch or tempo.

    Returns:
        uint8 N×C×H×W. Pixels from outside the item repeat the nearest edge. Values between pixels
        are interpolated; shifts are by whole pixels and change no values.
    """
    n, _, height, width = batch.shape
    draws = (2 * noise.uniform(n, 5) - 1).to(batch.device)
    angle, size, right, down, side = draws.unbind(1)
    right, down = (torch.round(amount * settings.shift) for amount in (right, down))
    angle = angle * (math.pi / 180 * settings.rotate)
    size = torch.exp(-size * math.log1p(settings.scale))
    mirror = torch.where(side < 0, -1.0, 1.0) if settings.flip else torch.ones_like(side)
    if sound:
        angle, down = torch.zeros_like(angle), torch.zeros_like(down)
        size, mirror = torch.ones_like(size), torch.ones_like(mirror)
    cos, sin = size * angle.cos(), size * angle.sin()
    # Source coordinates are in units of half a side. Sides differ, so rotations are corrected by
    # the aspect ratio.
    rows = [
        torch.stack([mirror * cos, -mirror * sin * (height / width), -right * (2 / width)], 1),
        torch.stack([sin * (width / height), cos, -down * (2 / height)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(batch.shape), align_corners=False)
    moved = functional.grid_sample(
        batch.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return moved.round().to(torch.uint8)
