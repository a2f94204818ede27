"""Adaptive discriminator augmentation (Karras et al. 2020) for GANs with little training data.

Data and samples are changed at random in the same way before the discriminator sees them, as in
`diffaug`. Each change has the probability p, which is adjusted during training: it rises while the
discriminator memorises the data, and falls otherwise. The changes do not leak into the samples as
long as p is well below 1, since unchanged items then remain more frequent than items with any
particular change (appendix C of the paper).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config.models import Ada
from genmint.models.shared.noise import Noise

# Largest or typical amounts, appendix B of the paper. Shifts are fractions of each side; factors
# are powers of 2.
_SHIFT, _SCALE, _BRIGHTNESS, _CONTRAST, _SATURATION = 1 / 8, 0.2, 0.2, 0.5, 1.0


class AdaptiveAugmentation(nn.Module):
    """Random changes of images whose probability follows the discriminator's scores.

    Attributes:
        p: float32 scalar, probability of each change; it starts at 0. It and the sums are buffers,
            so that they are part of every checkpoint.
    """

    p: Tensor
    signs: Tensor
    items: Tensor

    def __init__(self, settings: Ada) -> None:
        super().__init__()
        self.settings = settings
        for name in ("p", "signs", "items"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, grid: Tensor, noise: Noise) -> Tensor:
        """Change every item with its own random draws; float −1…1 N×C×H×W to the same shape.

        Computed in float32 at any precision of the step. Gradients flow through the changes.
        """
        with torch.autocast(grid.device.type, enabled=False):
            grid = _moved(grid, self.p, noise, self.settings.changes)
            return _coloured(grid, self.p, noise) if "colour" in self.settings.changes else grid

    def note(self, accuracy: Tensor, items: int) -> None:
        """Add the scores of a batch of data: the share of them above the threshold, and its size.

        The mean of their signs, r_t in equation 1 of the paper, is twice this share minus 1.
        """
        # Whole numbers, so that the sum does not depend on how processes share a batch.
        self.signs += (2 * accuracy * items).round() - items
        self.items += items

    def adjust(self, step: int, mean: Callable[[Tensor], Tensor]) -> None:
        """Adjust p after every `every`-th step by the signs since the last adjustment.

        Args:
            step: the step that was done, counted from 0.
            mean: averages over the processes, so that all of them get the same p.
        """
        settings = self.settings
        if (step + 1) % settings.every:
            return
        signs, items = mean(torch.stack([self.signs, self.items])).unbind()
        change = torch.sign(signs / items - settings.target) * (settings.every / settings.rise)
        self.p.copy_((self.p + change).clamp(0, settings.limit))
        self.signs.zero_()
        self.items.zero_()


def _moved(grid: Tensor, p: Tensor, noise: Noise, changes: tuple[str, ...]) -> Tensor:
    """Apply `blit` and `geometry` as one interpolation; unchanged items keep their exact values."""
    n, _, height, width = grid.shape
    maps: list[Tensor] = []
    moved = torch.zeros(n, dtype=torch.bool, device=grid.device)
    sides = torch.tensor([width, height], device=grid.device)
    if "blit" in changes:
        more, gates = _blit(n, sides, p, noise)
        maps, moved = [*maps, *more], moved | gates
    if "geometry" in changes:
        more, gates = _geometry(n, sides, p, noise)
        maps, moved = [*maps, *more], moved | gates
    if not maps:
        return grid
    source = torch.eye(3, device=grid.device).expand(n, 3, 3)
    for each in maps:
        source = source @ each
    # From pixels, with the origin at the centre, to the units of torch: half a side.
    units = torch.cat([2 / sides, torch.ones(1, device=grid.device)])
    theta = (units[:, None] * source / units)[:, :2]
    places = functional.affine_grid(theta, list(grid.shape), align_corners=False)
    sampled = functional.grid_sample(
        grid, places, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return torch.where(moved[:, None, None, None], sampled, grid)


def _blit(n: int, sides: Tensor, p: Tensor, noise: Noise) -> tuple[list[Tensor], Tensor]:
    """Mirroring, quarter turns and shifts by whole pixels; matrices N×3×3, and which rows change.

    A matrix maps places of the result to places of the source, in pixels. Grids that are not square
    are turned by half turns only.
    """
    gates = noise.uniform(n, 3) < p
    mirror, quarter, *shift = noise.uniform(n, 4).unbind(1)
    square = bool(sides[0] == sides[1])
    quarters = (4 * quarter).floor() if square else 2 * (2 * quarter).floor()
    flip = torch.where(gates[:, 0] & (mirror < 0.5), -1.0, 1.0)
    angle = torch.where(gates[:, 1], quarters * (math.pi / 2), 0.0)
    pixels = ((2 * torch.stack(shift, 1) - 1) * _SHIFT * sides).round()
    pixels = pixels * gates[:, 2:3]
    return [_scaling(flip, torch.ones_like(flip)), _rotation(angle), _shift(pixels)], gates.any(1)


def _geometry(n: int, sides: Tensor, p: Tensor, noise: Noise) -> tuple[list[Tensor], Tensor]:
    """Scaling, rotation, stretching in any direction, and shifts; as `_blit`."""
    # Two rotations, of which at least one happens with probability p.
    of_rotation = 1 - (1 - p).sqrt()
    gates = noise.uniform(n, 5) < torch.stack([p, of_rotation, p, of_rotation, p])
    first, second = (2 * math.pi * (noise.uniform(n, 2) - 0.5) * gates[:, [1, 3]]).unbind(1)
    scale, stretch, *shift = noise.normal(n, 4).unbind(1)
    scale = torch.exp2(_SCALE * scale * gates[:, 0])
    stretch = torch.exp2(_SCALE * stretch * gates[:, 2])
    pixels = torch.stack(shift, 1) * _SHIFT * sides * gates[:, 4:5]
    maps = [_scaling(scale, scale), _rotation(first), _scaling(stretch, 1 / stretch),
            _rotation(second), _shift(pixels)]  # fmt: skip
    return maps, gates.any(1)


def _coloured(grid: Tensor, p: Tensor, noise: Noise) -> Tensor:
    """Brightness, contrast, inversion; with three channels also hue, with several saturation."""
    n, channels = grid.shape[:2]
    gates = (noise.uniform(n, 5) < p)[:, :, None, None, None]
    flip, hue = (noise.uniform(n, 2) - 0.5).unbind(1)
    brightness, contrast, saturation = noise.normal(n, 3)[:, :, None, None, None].unbind(1)
    grid = grid + _BRIGHTNESS * brightness * gates[:, 0]
    grid = grid * torch.exp2(_CONTRAST * contrast * gates[:, 1])
    inverted = gates[:, 2] & (flip < 0)[:, None, None, None]
    grid = grid - 2 * inverted * grid.mean(1, keepdim=True)
    if channels == 3:
        turned = torch.einsum("nij,njhw->nihw", _hue(2 * math.pi * hue), grid)
        grid = torch.where(gates[:, 3], turned, grid)
    if channels > 1:
        grey = grid.mean(1, keepdim=True)
        saturated = grey + (grid - grey) * torch.exp2(_SATURATION * saturation)
        grid = torch.where(gates[:, 4], saturated, grid)
    return grid


def _hue(angle: Tensor) -> Tensor:
    """Rotations of colours around the axis of greys by N angles, N×3×3 (Rodrigues' formula)."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / math.sqrt(3)
    return cos * torch.eye(3, device=angle.device) + sin * cross + (1 - cos) / 3


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _shift(pixels: Tensor) -> Tensor:
    x, y = pixels.unbind(1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])
