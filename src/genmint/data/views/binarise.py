"""Binarisation of grey pixels, for Bernoulli likelihoods."""

from __future__ import annotations

import torch
from torch import Tensor

# Noise is drawn for blocks of this many items, the last block in full. Memory use stays small, and
# the pixels of an item do not depend on the number of later items.
_BLOCK = 64


def binarise(pixels: Tensor, seed: int) -> Tensor:
    """Sample every pixel once, with its grey value as the probability of 1.

    Held-out data with one seed are equal for every model and baseline, so that likelihoods refer to
    the same binary pixels (Salakhutdinov and Murray 2008).

    Args:
        pixels: uint8 N×C×H×W.
        seed: seed of the samples.

    Returns:
        uint8 N×C×H×W of 0 and 1, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for part in pixels.cpu().split(_BLOCK):
        noise = torch.rand((_BLOCK, *part.shape[1:]), generator=generator)[: len(part)]
        parts.append((noise * 255 < part).to(torch.uint8))
    return torch.cat(parts)
