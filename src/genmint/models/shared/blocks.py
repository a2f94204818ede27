"""Functions that all families share: seeded noise and passes of a fixed size."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

# Rows of every pass in evaluation. The last bits of a matrix product depend on its shape. With
# passes of the caller's batch size, samples would depend on it. 64 rows keep a CPU busy.
ROWS = 64

# Maximum pixels per pass: passes of grids above 128×128 have fewer rows.
_PIXELS = 1 << 20

# Purpose of a seed: draws of the latent prior.
_PRIOR = 3


def seeded(seed: int, purpose: int = 0, device: torch.device | None = None) -> torch.Generator:
    """A generator for one purpose of a seed; different purposes give independent streams."""
    state = np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)
    generator = torch.Generator(device or torch.device("cpu"))
    return generator.manual_seed(int(state[0]) >> 1)


def prior(n: int, latent: int, seed: int) -> Tensor:
    """Draw n times from N(0, I), float32 n×latent; the first rows do not depend on n."""
    noise_of = seeded(seed, _PRIOR)
    blocks = range(math.ceil(n / ROWS))
    return torch.cat([torch.randn(ROWS, latent, generator=noise_of) for _ in blocks])[:n]


def prior_blocks(n: int, latent: int, seed: int) -> Iterator[tuple[slice, Tensor]]:
    """The draws of `prior` in blocks, for latents of which n rows do not fit in memory.

    Yields:
        The rows of a block, and min(`ROWS`, n) draws, of which the first `stop − start` are these
        rows. All blocks have the same shape, as in `in_blocks`.
    """
    noise_of = seeded(seed, _PRIOR)
    for start in range(0, n, ROWS):
        draws = torch.randn(ROWS, latent, generator=noise_of)
        yield slice(start, min(start + ROWS, n)), draws[:n]


def rows_of(shape: tuple[int, ...]) -> int:
    """Rows per pass for a model of items of this shape, (C, H, W) or (T,) or ()."""
    return max(1, min(ROWS, _PIXELS // (shape[1] * shape[2]))) if len(shape) == 3 else ROWS


def in_blocks(
    data: Tensor, device: torch.device, rows: int = ROWS
) -> Iterator[tuple[slice, Tensor]]:
    """Iterate over the rows of `data` in blocks of a fixed size.

    Every block has min(rows, N) rows. The last block is padded with row 0, so that every pass has
    the same shape. Only the first `stop − start` rows of a block are valid.

    Args:
        data: N×….
        device: of the blocks.
        rows: per pass, see `rows_of`.

    Yields:
        The slice of `data` that the block contains, and the block on `device`.
    """
    n = len(data)
    count = min(rows, n)
    for start in range(0, n, rows):
        block = data[start : start + count]
        if len(block) < count:
            block = torch.cat([block, data[:1].expand(count - len(block), *data.shape[1:])])
        yield slice(start, min(start + count, n)), block.to(device)


def in_labelled_blocks(
    data: Tensor, labels: Tensor | None, device: torch.device, rows: int = ROWS
) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """As `in_blocks`, with the labels of each block (rows of int64 N), or None without labels."""
    if labels is None:
        for taken, block in in_blocks(data, device, rows):
            yield taken, block, None
        return
    pairs = zip(in_blocks(data, device, rows), in_blocks(labels, device, rows), strict=True)
    for (taken, block), (_, of_rows) in pairs:
        yield taken, block, of_rows


def to_bytes(unit: Tensor) -> Tensor:
    """Floats 0…1 to uint8 0…255, rounded."""
    return (unit * 255).round().clamp(0, 255).to(torch.uint8)
