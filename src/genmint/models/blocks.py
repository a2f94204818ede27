"""What families share: networks over grids, seeded noise, passes of a fixed size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.errors import ConfigError

# Rows of every pass in evaluation. The last bits of a matrix product depend on its shape, so a pass
# that grew with the caller's batch size would let a sample depend on it. 64 rows keep a CPU busy.
ROWS = 64

# Purpose of a seed: draws of the latent prior.
_PRIOR = 3

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


def activation(name: str) -> nn.Module:
    """A new activation: relu, tanh, silu, or leaky-relu with DCGAN's slope of 0.2."""
    return nn.LeakyReLU(0.2) if name == "leaky-relu" else _ACTIVATIONS[name]()


class Down(nn.Module):
    """Convolution that halves height and width, rounded up, whatever they are.

    N×in×H×W to N×out×⌈H/2⌉×⌈W/2⌉.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it, after one row or column of zeros where a side is odd."""
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            x = functional.pad(x, (0, width % 2, 0, height % 2))
        return self.convolution(x)  # type: ignore[no-any-return]


class Up(nn.Module):
    """Transposed convolution that doubles height and width, cut to the size asked for."""

    def __init__(self, channels_in: int, channels_out: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """N×in×h×w to N×out×`size`, `size` at most 2h×2w."""
        height, width = self.size
        return self.convolution(x)[..., :height, :width]  # type: ignore[no-any-return]


class Residual(nn.Module):
    """x + f(x), f being activation and 3×3 convolution twice (He et al. 2016, pre-activation).

    The last convolution starts at zero, so that a deep network starts as a shallow one
    (Goyal et al. 2017, section 5.1, who start the scale of the last normalisation there).
    """

    def __init__(self, channels: int, act: str) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.body = nn.Sequential(
            activation(act), nn.Conv2d(channels, channels, 3, padding=1), activation(act), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        return x + self.body(x)  # type: ignore[no-any-return]


def encoder(
    network: str,
    shape: tuple[int, ...],
    hidden: Sequence[int],
    features: int,
    *,
    act: str,
    norm: bool = False,
) -> nn.Sequential:
    """A network from a grid to a vector.

    Args:
        network: mlp (fully connected), conv (one halving convolution per entry of `hidden`) or
            residual (a residual block after each of them).
        shape: (C, H, W) of the grid.
        hidden: widths, from the grid on.
        features: length of the vector.
        act: activation, see `activation`.
        norm: batch normalisation after every convolution but the first (Radford et al. 2016).

    Returns:
        A module from float N×C×H×W to N×features.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    if network == "mlp":
        layers.append(nn.Flatten())
        sizes = [channels * height * width, *hidden]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), activation(act)]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], features))
    sides = _halvings((height, width), len(hidden))
    for i, (before, after) in enumerate(itertools.pairwise([channels, *hidden])):
        layers.append(Down(before, after))
        if norm and i > 0:
            layers.append(nn.BatchNorm2d(after))
        if network == "residual":
            layers.append(Residual(after, act))
        layers.append(activation(act))
    flat = hidden[-1] * sides[-1][0] * sides[-1][1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, features))


def decoder(
    network: str,
    features: int,
    hidden: Sequence[int],
    shape: tuple[int, ...],
    *,
    act: str,
    norm: bool = False,
) -> nn.Sequential:
    """A network from a vector to a grid: the mirror of `encoder`, with `hidden` read backwards.

    Batch normalisation (`norm`) follows every layer but the last.

    Returns:
        A module from float N×features to N×C×H×W, not squashed.
    """
    channels, height, width = shape
    widths = list(reversed(hidden))
    layers: list[nn.Module] = []
    if network == "mlp":
        for before, after in itertools.pairwise([features, *widths]):
            layers.append(nn.Linear(before, after))
            if norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(activation(act))
        layers.append(nn.Linear(widths[-1], channels * height * width))
        return nn.Sequential(*layers, nn.Unflatten(1, (channels, height, width)))
    sides = _halvings((height, width), len(hidden))
    first = (widths[0], *sides[-1])
    layers += [nn.Linear(features, first[0] * first[1] * first[2]), nn.Unflatten(1, first)]
    for i, (before, after) in enumerate(itertools.pairwise([*widths, channels])):
        if norm:
            layers.append(nn.BatchNorm2d(before))
        if network == "residual":
            layers.append(Residual(before, act))
        layers += [activation(act), Up(before, after, sides[-2 - i])]
    return nn.Sequential(*layers)


def _halvings(side: tuple[int, int], times: int) -> list[tuple[int, int]]:
    sides = [side]
    for _ in range(times):
        if max(sides[-1]) == 1:
            raise ConfigError(
                f"hidden has {times} widths, but a grid of {side[0]}×{side[1]} can be halved only "
                f"{len(sides) - 1} times: give it fewer"
            )
        sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
    return sides


def seeded(seed: int, purpose: int = 0, device: torch.device | None = None) -> torch.Generator:
    """A generator for one purpose of a seed; different purposes give unrelated streams."""
    state = np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)
    generator = torch.Generator(device or torch.device("cpu"))
    return generator.manual_seed(int(state[0]) >> 1)


def prior(n: int, latent: int, seed: int) -> Tensor:
    """Draw n times from N(0, I), float32 n×latent; the first of them are the same whatever n is."""
    noise_of = seeded(seed, _PRIOR)
    blocks = range(math.ceil(n / ROWS))
    return torch.cat([torch.randn(ROWS, latent, generator=noise_of) for _ in blocks])[:n]


def in_blocks(data: Tensor, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Walk through the rows of `data` in blocks of one fixed size.

    Every block has min(ROWS, N) rows: the last is filled up with row 0, so that every pass has the
    same shape. Only the first `stop − start` rows of a block count.

    Yields:
        The rows of `data` that the block stands for, and the block on `device`.
    """
    n = len(data)
    rows = min(ROWS, n)
    for start in range(0, n, ROWS):
        block = data[start : start + rows]
        if len(block) < rows:
            block = torch.cat([block, data[:1].expand(rows - len(block), *data.shape[1:])])
        yield slice(start, min(start + rows, n)), block.to(device)


def to_bytes(unit: Tensor) -> Tensor:
    """Floats 0…1 to uint8 0…255, rounded."""
    return (unit * 255).round().clamp(0, 255).to(torch.uint8)
