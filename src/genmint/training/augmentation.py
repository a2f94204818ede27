"""Training items as they might as well have been: what a label and a likelihood do not care about.

With little data a model learns the items by heart; moved and turned a little in every step, they
are more (Simard et al. 2003). A GAN's generator learns to make such items, too: keep them small
there, or take differentiable augmentation, which does not leak (Zhao et al. 2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from genmint.config import Augmentation
from genmint.models.noise import Noise


def augmented(batch: Tensor, settings: Augmentation, noise: Noise, *, sound: bool) -> Tensor:
    """Move every item of a batch by its own draw.

    Args:
        batch: uint8 N×C×H×W.
        settings: how far at most; every amount is uniform between that and its opposite.
        noise: five numbers an item.
        sound: items are spectrograms, time running along W: they are only shifted, in time alone,
            since anything else would change pitch or tempo.

    Returns:
        uint8 N×C×H×W. Places that come from outside repeat the nearest edge. Values between pixels
        are interpolated; shifts are of whole pixels and change none.
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
    # From where a pixel comes, in units of half a side: the sides differ, so turns are of pixels.
    rows = [
        torch.stack([mirror * cos, -mirror * sin * (height / width), -right * (2 / width)], 1),
        torch.stack([sin * (width / height), cos, -down * (2 / height)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(batch.shape), align_corners=False)
    moved = functional.grid_sample(
        batch.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return moved.round().to(torch.uint8)
