"""Networks on grids: fully connected, convolutional and residual; normalisation and attention."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

from genmint.common.errors import ConfigError

Norm = Literal["none", "batch", "group", "layer"]

# Channels per group, the best value of Wu and He 2018, section 4.1.
_GROUP = 16

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


def activation(name: str) -> nn.Module:
    """A new activation: relu, tanh, silu, or leaky-relu with DCGAN's slope of 0.2."""
    return nn.LeakyReLU(0.2) if name == "leaky-relu" else _ACTIVATIONS[name]()


def normalisation(norm: Norm, width: int, *, grid: bool) -> list[nn.Module]:
    """Normalisation of `width` channels of N×C×H×W (`grid`) or N×C; an empty list for none.

    - batch: over the items of a batch (Ioffe and Szegedy 2015). During training the output of an
      item depends on the rest of its batch.
    - group: over groups of 16 channels of an item (Wu and He 2018); for any batch size.
    - layer: over a whole item (Ba et al. 2016); for any batch size.
    """
    if norm == "none":
        return []
    if norm == "batch":
        return [nn.BatchNorm2d(width) if grid else nn.BatchNorm1d(width)]
    groups = 1 if norm == "layer" else math.gcd(width, max(1, width // _GROUP))
    return [nn.GroupNorm(groups, width)]


class Down(nn.Module):
    """Convolution that halves height and width, rounded up.

    N×in×H×W to N×out×⌈H/2⌉×⌈W/2⌉, for any H and W.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution; sides of odd length are padded with one row or column of zeros."""
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            x = functional.pad(x, (0, width % 2, 0, height % 2))
        return self.convolution(x)  # type: ignore[no-any-return]


class Up(nn.Module):
    """Transposed convolution that doubles height and width, cropped to `size`."""

    def __init__(self, channels_in: int, channels_out: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """N×in×h×w to N×out×`size`, `size` at most 2h×2w."""
        height, width = self.size
        return self.convolution(x)[..., :height, :width]  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Residual block x + f(x); f is normalisation, activation and 3×3 convolution, twice.

    Pre-activation form of He et al. 2016. The last convolution starts at zero, so that a deep
    network starts as a shallow one. Goyal et al. 2017, section 5.1, instead initialise the scale of
    the last normalisation to zero.
    """

    def __init__(self, channels: int, act: str, norm: Norm = "none") -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.body = nn.Sequential(
            *normalisation(norm, channels, grid=True),
            activation(act),
            nn.Conv2d(channels, channels, 3, padding=1),
            *normalisation(norm, channels, grid=True),
            activation(act),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        return x + self.body(x)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Base class of attention layers whose weights can be inspected.

    Attributes:
        keep: whether `weights` are kept.
        weights: float32 N×queries×keys of the last pass, whose rows sum to 1; None without `keep`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keep = False
        self.weights: Tensor | None = None


class SelfAttention(Attention):
    """Self-attention x + γ·attention(x) over all positions of a grid (Zhang et al. 2019, SAGAN).

    As in the paper, queries and keys have an eighth of the channels and values a half. γ starts at
    0, so that the network learns local features first. `weights` are N×P×P for P positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        query, key, value = (
            f(x).flatten(2).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        if self.keep:
            self.weights = (query @ key.transpose(1, 2)).softmax(dim=2).detach()
        # The paper does not divide by √d.
        seen = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        grid = seen.transpose(1, 2).unflatten(2, x.shape[-2:])
        return x + self.gamma * self.out(grid)  # type: ignore[no-any-return]


class MinibatchStddev(nn.Module):
    """Append the standard deviation over groups of `items` (Karras et al. 2018, section 3).

    The standard deviation of each feature over a group is averaged over the features and appended
    to all items of the group. A discriminator can then detect a generator that collapses to one
    sample.
    """

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items = items

    def forward(self, x: Tensor) -> Tensor:
        """N×F to N×(F+1), N a multiple of `items`; neighbours in the batch are a group."""
        groups = x.float().unflatten(0, (-1, self.items))
        variance = (groups - groups.mean(1, keepdim=True)).square().mean(1)
        # ε as in the paper's code, since the square root has no finite gradient at 0.
        spread = (variance + 1e-8).sqrt().mean(1).repeat_interleave(self.items)
        return torch.cat([x, spread[:, None].to(x.dtype)], dim=1)


class _Spectral(parametrizations._SpectralNorm):
    """Spectral normalisation in float32, also under autocast, which would use 16 bits in part."""

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return super().forward(weight)


def spectral(module: nn.Module) -> nn.Module:
    """Divide every weight of a network by its largest singular value (Miyato et al. 2018).

    Each pass runs one power iteration in training and none in evaluation. The network is changed in
    place and returned. All-zero weights have no singular direction and are initialised again.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            if not layer.weight.any():
                layer.reset_parameters()
            rows = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
            bound = _Spectral(layer.weight, dim=rows)
            parametrize.register_parametrization(layer, "weight", bound)
    return module


def encoder(
    network: str,
    shape: tuple[int, ...],
    hidden: Sequence[int],
    features: int,
    *,
    act: str,
    norm: Norm = "none",
    attention: bool = False,
    compared: int = 0,
) -> nn.Sequential:
    """A network from a grid to a vector.

    Args:
        network: mlp (fully connected), conv (one halving convolution per entry of `hidden`) or
            residual (conv with a residual block after each convolution).
        shape: (C, H, W) of the grid.
        hidden: widths, starting at the grid.
        features: length of the vector.
        act: activation, see `activation`.
        norm: normalisation after every layer, or every convolution except the first (Radford et
            al. 2016), and within residual blocks.
        attention: self-attention at the second smallest resolution; not for mlp.
        compared: group size of `MinibatchStddev` before the last layer; 0: none.

    Returns:
        A module from float N×C×H×W to N×features. If `features` is 0 the last layer is omitted, and
        the output is N×(flattened innermost grid, or hidden[-1]).
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    if network == "mlp":
        layers.append(nn.Flatten())
        sizes = [channels * height * width, *hidden]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), *normalisation(norm, after, grid=False)]
            layers.append(activation(act))
        return nn.Sequential(*layers, *_last(sizes[-1], features, compared))
    sides = halvings((height, width), len(hidden))
    for i, (before, after) in enumerate(itertools.pairwise([channels, *hidden])):
        layers.append(Down(before, after))
        if i > 0:
            layers += normalisation(norm, after, grid=True)
        if network == "residual":
            layers.append(Residual(after, act, norm))
        layers.append(activation(act))
        if attention and i == max(0, len(hidden) - 2):
            layers.append(SelfAttention(after))
    flat = hidden[-1] * sides[-1][0] * sides[-1][1]
    return nn.Sequential(*layers, nn.Flatten(), *_last(flat, features, compared))


def decoder(
    network: str,
    features: int,
    hidden: Sequence[int],
    shape: tuple[int, ...],
    *,
    act: str,
    norm: Norm = "none",
    attention: bool = False,
) -> nn.Sequential:
    """A network from a vector to a grid: the mirror of `encoder`, with `hidden` in reverse order.

    Normalisation follows every layer except the last. Arguments are those of `encoder`.

    Returns:
        A module from float N×features to N×C×H×W, without an output activation.
    """
    channels, height, width = shape
    widths = list(reversed(hidden))
    layers: list[nn.Module] = []
    if network == "mlp":
        for before, after in itertools.pairwise([features, *widths]):
            layers += [nn.Linear(before, after), *normalisation(norm, after, grid=False)]
            layers.append(activation(act))
        layers.append(nn.Linear(widths[-1], channels * height * width))
        return nn.Sequential(*layers, nn.Unflatten(1, (channels, height, width)))
    sides = halvings((height, width), len(hidden))
    first = (widths[0], *sides[-1])
    layers += [nn.Linear(features, first[0] * first[1] * first[2]), nn.Unflatten(1, first)]
    for i, (before, after) in enumerate(itertools.pairwise([*widths, channels])):
        layers += normalisation(norm, before, grid=True)
        if network == "residual":
            layers.append(Residual(before, act, norm))
        layers.append(activation(act))
        if attention and i == min(1, len(widths) - 1):
            layers.append(SelfAttention(before))
        layers.append(Up(before, after, sides[-2 - i]))
    return nn.Sequential(*layers)


def attentions(module: nn.Module) -> Iterable[SelfAttention]:
    """All self-attention layers of a network, outermost first."""
    return (layer for layer in module.modules() if isinstance(layer, SelfAttention))


def halvings(side: tuple[int, int], times: int, key: str = "hidden") -> list[tuple[int, int]]:
    """(H, W) followed by the size after each of `times` halvings, rounded up.

    `key` is the key of the model entry that `times` follows from.

    Raises:
        ConfigError: the grid cannot be halved so many times.
    """
    sides = [side]
    for _ in range(times):
        if max(sides[-1]) == 1:
            raise ConfigError(
                f"{key} halves the grid {times} times, but {side[0]}×{side[1]} can be halved only "
                f"{len(sides) - 1} times: give it fewer numbers"
            )
        sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
    return sides


def _last(width: int, features: int, compared: int) -> list[nn.Module]:
    if not features:
        return []
    if not compared:
        return [nn.Linear(width, features)]
    return [MinibatchStddev(compared), nn.Linear(width + 1, features)]
