"""Distances between samples and data in pixel space, to rank the weights of a training run."""

from __future__ import annotations

import torch
from torch import Tensor

from genmint.models.shared.blocks import seeded

_DIRECTIONS = 4

# Directions of the sliced distance: 256 keep its random error below 1 % on small images.
_SLICES = 256
# float32 pixels processed at a time (128 MB).
_NUMBERS = 1 << 25


def sliced_wasserstein(real: Tensor, fake: Tensor, *, seed: int) -> Tensor:
    """Sliced 1-Wasserstein distance in pixel space (Rabin et al. 2011; Bonneel et al. 2015).

    Args:
        real: uint8 n×C×H×W.
        fake: uint8 (k·n)×C×H×W.
        seed: of the 256 directions, which depend on nothing else.

    Returns:
        0-d float32: the distance between the projected sets, averaged over directions (unit
        vectors), with pixels scaled to 0…1. It is 0 for equal sets; lower is better.
    """
    n = len(real)
    directions = torch.randn(real[0].numel(), _SLICES, generator=seeded(seed, _DIRECTIONS))
    directions = (directions / directions.norm(dim=0)).to(real.device)
    projected_real = _projected(real, directions).sort(dim=0).values
    projected_fake = _projected(fake, directions).sort(dim=0).values
    repeated = projected_real.repeat_interleave(len(fake) // n, dim=0)
    distance: Tensor = (repeated - projected_fake).abs().mean()
    return distance


def _projected(grids: Tensor, directions: Tensor) -> Tensor:
    """Projection of pixels 0…1 of uint8 N×… on the directions, D×K; float32 N×K."""
    rows = max(1, _NUMBERS // directions.shape[0])
    return torch.cat([part.flatten(1).float() / 255 @ directions for part in grids.split(rows)])


def coverage(real: Tensor, fake: Tensor, neighbours: int = 5) -> float:
    """Share of real items with a sample within the distance of their k-th real neighbour.

    Coverage of Naeem et al. 2020, "Reliable fidelity and diversity metrics", in pixel space.

    Args:
        real: uint8 N×C×H×W; for a single item only exact copies count.
        fake: uint8 M×C×H×W, on the same device.
        neighbours: k; N − 1 if there are fewer neighbours.

    Returns:
        0…1. Samples from the data distribution give about 1 − 2^−k (0.97 for k = 5).
    """
    among = _squared_distances(real, real)
    # The nearest neighbour of each item is the item itself.
    radius = among.kthvalue(min(neighbours, len(real) - 1) + 1, dim=1).values
    nearest = _squared_distances(real, fake).min(dim=1).values
    return float((nearest <= radius).double().mean())


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances between the rows of uint8 N×… and M×…; float64 N×M.

    They are integers and exact in float64, so that equal rows are at distance 0. `torch.cdist`
    guarantees this only in a mode that is twenty times slower.
    """
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    columns = max(1, _NUMBERS // max(len(a), len(b)))
    squares = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    for part_a, part_b in zip(
        flat_a.split(columns, dim=1), flat_b.split(columns, dim=1), strict=True
    ):
        x, y = part_a.double(), part_b.double()
        squares += x.square().sum(1)[:, None] + y.square().sum(1) - 2 * (x @ y.T)
    return squares
