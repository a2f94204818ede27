"""Grey pixels as binary ones: what a Bernoulli likelihood is a likelihood of."""

from __future__ import annotations

import torch
from torch import Tensor

# Noise is drawn for this many items at a time, the last block in full: memory stays small, and the
# pixels of an item do not depend on how many items follow it.
_BLOCK = 64


def binarise(pixels: Tensor, seed: int) -> Tensor:
    """Draw every pixel once: on with the probability that its grey value says.

    Held-out data of one seed is the same for every model and every baseline, so that their
    likelihoods are of the same binary pixels (Salakhutdinov and Murray 2008).

    Args:
        pixels: uint8 N×C×H×W.
        seed: of the draw.

    Returns:
        uint8 N×C×H×W of 0 and 1, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for part in pixels.cpu().split(_BLOCK):
        noise = torch.rand((_BLOCK, *part.shape[1:]), generator=generator)[: len(part)]
        parts.append((noise * 255 < part).to(torch.uint8))
    return torch.cat(parts)
