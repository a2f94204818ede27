"""Networks of R3GAN (Huang et al. 2024, section 3): residual, without normalisation.

A stage is a transition and some residual blocks at one resolution. Transitions change the
resolution by bilinear interpolation and the width by a 1×1 convolution. The discriminator is the
mirror image of the generator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.models.shared.networks import halvings

# Slope of the leaky rectifier, and width within a block as a multiple of the width between blocks.
_SLOPE, _EXPANSION = 0.2, 2
# Factor that keeps the variance of a layer's output after the leaky rectifier (He et al. 2015).
_GAIN = math.sqrt(2 / (1 + _SLOPE**2))

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


class GroupedResidual(nn.Module):
    """Residual block x + f(x); f is a 1×1, a grouped 3×3 and a 1×1 convolution.

    The inner layers have twice the width, as inverted bottlenecks (Sandler et al. 2018), and groups
    as in ResNeXt (Xie et al. 2017). Fixup (Zhang et al. 2019, "Fixup initialization") replaces
    normalisation: the last convolution starts at zero, so that the block starts as the identity.
    The others start with the scale L^(−1/4) for L blocks, so that an update changes the output of
    the network by an amount that does not depend on its depth.
    """

    def __init__(self, channels: int, group_width: int, blocks: int) -> None:
        """Create a block with `channels` channels, for a network with `blocks` blocks in total."""
        super().__init__()
        inner = _EXPANSION * channels
        # L^(−1/(2m−2)) for a branch of m layers, m = 3.
        gain = _GAIN * blocks**-0.25
        self.body = nn.Sequential(
            _convolution(channels, inner, 1, gain=gain, bias=True),
            nn.LeakyReLU(_SLOPE),
            _convolution(inner, inner, 3, gain=gain, bias=True, groups=inner // group_width),
            nn.LeakyReLU(_SLOPE),
            _convolution(inner, channels, 1, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        return x + self.body(x)  # type: ignore[no-any-return]


class Resample(nn.Module):
    """Bilinear interpolation to `size`; with `low_pass`, without aliases in smaller grids."""

    def __init__(self, size: tuple[int, int], *, low_pass: bool) -> None:
        super().__init__()
        self.size = size
        self.low_pass = low_pass

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to N×C×`size`."""
        # In float32, since the low-pass form has no 16 bits on a CPU.
        resampled = functional.interpolate(
            x.float(), self.size, mode="bilinear", align_corners=False, antialias=self.low_pass
        )
        return resampled.to(x.dtype)


class Basis(nn.Module):
    """First layer of the generator: a learnt grid per channel, times a linear map of the noise."""

    def __init__(self, features: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.randn(1, channels, *size))
        self.scale = _start(nn.Linear(features, channels, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        """N×features to N×channels×`size`."""
        return self.grid * self.scale(z)[:, :, None, None]  # type: ignore[no-any-return]


def r3_generator(
    features: int, hidden: Sequence[int], shape: tuple[int, ...], *, blocks: int, group_width: int
) -> nn.Sequential:
    """A network from a vector to a grid.

    Args:
        features: length of the vector.
        hidden: widths from the grid inwards, one per resolution; the first is at full size.
        shape: (C, H, W) of the grid.
        blocks: residual blocks per resolution.
        group_width: channels per group of the 3×3 convolutions.

    Returns:
        A module from float N×features to N×C×H×W, without an output activation.

    Raises:
        ConfigError: the grid cannot be halved so many times.
    """
    sides = halvings((shape[1], shape[2]), len(hidden) - 1)
    total = blocks * len(hidden)
    layers: list[nn.Module] = [Basis(features, hidden[-1], sides[-1])]
    layers += [GroupedResidual(hidden[-1], group_width, total) for _ in range(blocks)]
    inwards = list(zip(itertools.pairwise(hidden), sides, strict=False))
    for (outer, inner), size in reversed(inwards):
        if inner != outer:
            layers.append(_convolution(inner, outer, 1))
        layers.append(Resample(size, low_pass=False))
        layers += [GroupedResidual(outer, group_width, total) for _ in range(blocks)]
    return nn.Sequential(*layers, _convolution(hidden[0], shape[0], 1))


def r3_discriminator(
    shape: tuple[int, ...], hidden: Sequence[int], *, blocks: int, group_width: int
) -> nn.Sequential:
    """A network from a grid to a score: the mirror of `r3_generator`, with the same arguments.

    The last two layers are a learnt mean of each channel over the innermost grid (a depthwise
    convolution), and a linear layer.

    Returns:
        A module from float N×C×H×W to N×1; the last layer is linear.
    """
    sides = halvings((shape[1], shape[2]), len(hidden) - 1)
    total = blocks * len(hidden)
    layers: list[nn.Module] = [_convolution(shape[0], hidden[0], 1)]
    layers += [GroupedResidual(hidden[0], group_width, total) for _ in range(blocks)]
    for (outer, inner), size in zip(itertools.pairwise(hidden), sides[1:], strict=True):
        layers.append(Resample(size, low_pass=True))
        if inner != outer:
            layers.append(_convolution(outer, inner, 1))
        layers += [GroupedResidual(inner, group_width, total) for _ in range(blocks)]
    width = hidden[-1]
    layers.append(_start(nn.Conv2d(width, width, sides[-1], groups=width, bias=False)))
    return nn.Sequential(*layers, nn.Flatten(), _start(nn.Linear(width, 1, bias=False)))


def _convolution(
    channels_in: int,
    channels_out: int,
    kernel: int,
    *,
    gain: float = 1.0,
    bias: bool = False,
    groups: int = 1,
) -> nn.Conv2d:
    padding = kernel // 2
    layer = nn.Conv2d(channels_in, channels_out, kernel, padding=padding, groups=groups, bias=bias)
    return _start(layer, gain)


def _start(layer: _Layer, gain: float = 1.0) -> _Layer:
    """Draw the weights from N(0, gain² / inputs of an output); biases start at 0."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
