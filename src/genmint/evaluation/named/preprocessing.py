"""Preprocessing of images for a named extractor."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genmint.evaluation.named.description import NetworkInput

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def preprocess(grids: Tensor, wanted: NetworkInput) -> Tensor:
    """Return images as the network takes them, float32 N×3×S×S.

    Args:
        grids: uint8 N×C×H×W; grey images are repeated in the three channels.
        wanted: size, resize and normalisation.
    """
    if grids.shape[1] == 1:
        grids = grids.expand(-1, 3, -1, -1)
    if wanted.resize == "tensorflow":
        images = _as_tensorflow(grids.to(torch.float32), wanted.side)
    else:
        images = _by_pillow(grids, wanted.side, _FILTERS[wanted.resize])
    mean, std = (torch.tensor(three).view(1, 3, 1, 1) for three in (wanted.mean, wanted.std))
    normalised: Tensor = (images - mean) / std
    return normalised


def _by_pillow(grids: Tensor, side: int, kind: Image.Resampling) -> Tensor:
    """Resize with Pillow, which published features were computed with; float32 N×3×side×side."""
    resized = [
        np.asarray(Image.fromarray(one).resize((side, side), kind))
        for one in grids.permute(0, 2, 3, 1).contiguous().numpy()
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).to(torch.float32)


def _as_tensorflow(images: Tensor, side: int) -> Tensor:
    """Resize bilinearly as TensorFlow 1 does without `align_corners`.

    Output pixel i lies at the input coordinate i·(input size)/(output size), without antialiasing;
    beyond the last pixel the last one is repeated.
    """
    rows, columns = (_positions(size, side) for size in images.shape[2:])
    (top, bottom, down), (left, right, across) = rows, columns
    above, below = images[:, :, top], images[:, :, bottom]
    upper = above[..., left] + (above[..., right] - above[..., left]) * across
    lower = below[..., left] + (below[..., right] - below[..., left]) * across
    return upper + (lower - upper) * down[:, None]


def _positions(size: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the neighbours of each output position, and the weight of the second."""
    at = torch.arange(side, dtype=torch.float32) * torch.tensor(size / side, dtype=torch.float32)
    low = at.long()
    return low, (low + 1).clamp_max(size - 1), at - low.to(torch.float32)
