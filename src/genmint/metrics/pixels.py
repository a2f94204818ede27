"""Trivial baselines of grids with independent pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genmint.common.array_types import Floats
from genmint.data.views.binarise import binarise

# Pixels processed at a time, since a histogram of all pixels of large images exhausts memory.
_PIXELS = 4096
# float32 or float64 values held at a time: at most 128 MB.
_NUMBERS = 1 << 24


def pixel_bernoulli(train: Tensor, test: Tensor, seed: int) -> Floats:
    """Log-likelihood of held-out binary grids under one Bernoulli probability per pixel.

    The probability is the mean grey value of the training grids, which is the expected mean of
    their binarised versions. Laplace smoothing adds one "on" and one "off" observation.

    Args:
        train: uint8 N×C×H×W.
        test: uint8 M×C×H×W, binarised by `seed` as for the models.
        seed: of the protocol.

    Returns:
        float64 M, nats per item.
    """
    on = train.sum(dim=0, dtype=torch.int64).to(torch.float64) / 255
    p = ((on + 1) / (len(train) + 2)).flatten()
    parts = []
    for part in binarise(test, seed).flatten(1).split(_rows(test)):
        x = part.to(torch.float64)
        parts.append((x @ torch.log(p) + (1 - x) @ torch.log1p(-p)).numpy())
    return np.concatenate(parts)


def pixel_histogram(train: Tensor, test: Tensor) -> Floats:
    """Log-likelihood of held-out 8-bit grids under one histogram of 256 values per pixel.

    Laplace smoothing adds one observation of every value to every pixel.

    Args:
        train: uint8 N×C×H×W.
        test: uint8 M×C×H×W.

    Returns:
        float64 M, nats per item.
    """
    seen = train.flatten(1).numpy()
    pixels = test.flatten(1).numpy()
    total = np.zeros(len(pixels))
    for start in range(0, seen.shape[1], _PIXELS):
        part = seen[:, start : start + _PIXELS]
        width = part.shape[1]
        counts = np.zeros((width, 256), dtype=np.int64)
        for rows in np.array_split(part, max(1, len(part) // 1024)):
            cells = rows.astype(np.int64) + 256 * np.arange(width)
            counts += np.bincount(cells.ravel(), minlength=256 * width).reshape(width, 256)
        logs = np.log((counts + 1) / (len(seen) + 256))
        total += logs[np.arange(width), pixels[:, start : start + width]].sum(axis=1)
    return total


def mean_plus_noise(train: Tensor, n: int, seed: int) -> Tensor:
    """Samples of a baseline with independent normal pixels, at the mean and deviation of training.

    Every model should be better than this baseline.

    Args:
        train: uint8 N×C×H×W.
        n: number of samples.
        seed: of the noise.

    Returns:
        uint8 n×C×H×W.
    """
    spread, mean = pixel_moments(train)
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, n, _rows(train)):
        shape = (min(_rows(train), n - start), *train.shape[1:])
        noise = torch.randn(shape, generator=generator)
        parts.append((mean + spread * noise).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


def _rows(grids: Tensor) -> int:
    """Number of grids processed at a time."""
    return max(1, _NUMBERS // grids[0].numel())


def pixel_moments(train: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean of each pixel, float32 C×H×W."""
    if train.numel() <= _NUMBERS:
        return torch.std_mean(train.to(torch.float32), dim=0, correction=0)
    columns = max(1, _NUMBERS // len(train))
    parts = [
        torch.std_mean(part.to(torch.float32), dim=0, correction=0)
        for part in train.flatten(1).split(columns, dim=1)
    ]
    spread, mean = (torch.cat(values) for values in zip(*parts, strict=True))
    return spread.view(train.shape[1:]), mean.view(train.shape[1:])
