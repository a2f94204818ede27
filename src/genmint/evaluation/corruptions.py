"""Graded corruptions of grids: noise, loss of detail and disorder, each of a severity from 0 to 1.

The feature extractor learns to recognise them beside its classes, so that its features depend on
the quality of an item, and `genmint.evaluation.fitness` measures with them what a metric can see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Standard deviation of the noise at severity 1, in standard deviations of the data set's pixels.
_NOISE = 2.0
# Standard deviation of the Gaussian blur at severity 1, as a share of the grid's side.
_BLUR = 1 / 8
# Cells along each axis whose order is shuffled.
_CELLS = (2, 4)


@dataclass(frozen=True)
class PixelStatistics:
    """Statistics of a data set's pixels in grey levels.

    Attributes:
        spread: standard deviation of all pixels.
        mean: mean of each pixel, float32 C×H×W.
        deviation: standard deviation of each pixel, float32 C×H×W.
    """

    spread: float
    mean: Tensor
    deviation: Tensor


def noisy(grids: Tensor, severity: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Add independent normal noise, at severity 1 of twice the data set's standard deviation.

    Args:
        grids: float32 N×C×H×W, grey levels from 0 to 255.
        severity: float32 N, from 0 to 1.
        spread: standard deviation of the data set's pixels, in grey levels.
        generator: source of the noise.

    Returns:
        float32 N×C×H×W from 0 to 255.
    """
    noise = torch.randn(grids.shape, generator=generator)
    return (grids + (_NOISE * spread * _each(severity)) * noise).clamp(0, 255)


def replaced(
    grids: Tensor, severity: Tensor, mean: Tensor, deviation: Tensor, generator: torch.Generator
) -> Tensor:
    """Replace a share of the pixels by independent normal values, at severity 1 all of them.

    At severity 1 the items are samples of the trivial baseline `mean_plus_noise`.

    Args:
        grids: float32 N×C×H×W, grey levels from 0 to 255.
        severity: float32 N, from 0 to 1: probability of each pixel.
        mean: mean of each pixel of the data set, float32 C×H×W.
        deviation: standard deviation of each pixel, float32 C×H×W.
        generator: source of choice and noise.

    Returns:
        float32 N×C×H×W from 0 to 255.
    """
    noise = mean + deviation * torch.randn(grids.shape, generator=generator)
    chosen = torch.rand(grids.shape, generator=generator) < _each(severity)
    return torch.where(chosen, noise.clamp(0, 255), grids)


def blurred(grids: Tensor, severity: Tensor) -> Tensor:
    """Blur by a Gaussian, at severity 1 with a standard deviation of an eighth of the side.

    Weights beyond the border are distributed over the pixels inside, so that a constant grid does
    not change.

    Args:
        grids: float32 N×C×H×W.
        severity: float32 N, from 0 to 1.

    Returns:
        float32 N×C×H×W.
    """
    height, width = grids.shape[2:]
    rows, columns = _gaussian(height, severity), _gaussian(width, severity)
    return rows[:, None] @ grids @ columns[:, None].transpose(2, 3)


def shuffled(
    grids: Tensor, severity: Tensor, generator: torch.Generator, cells: int = _CELLS[-1]
) -> Tensor:
    """Divide each grid into cells×cells blocks and permute a share of them, all at severity 1.

    Args:
        grids: N×C×H×W. Rows and columns beyond a multiple of `cells` stay.
        severity: float32 N, from 0 to 1: probability that a block takes part.
        generator: source of the choice and the permutation.
        cells: blocks along each axis.

    Returns:
        As `grids`.
    """
    n, channels, height, width = grids.shape
    tall, wide = height // cells, width // cells
    blocks = cells * cells
    taking_part = torch.rand((n, blocks), generator=generator) < severity[:, None]
    place = torch.arange(blocks, dtype=torch.float32).expand(n, -1)
    # Blocks that take part come first: in order for the targets, in random order for the sources.
    targets = torch.where(taking_part, place, blocks + place).argsort(dim=1)
    drawn = torch.rand((n, blocks), generator=generator)
    sources = torch.where(taking_part, drawn, blocks + place).argsort(dim=1)
    order = torch.empty_like(targets).scatter_(1, targets, sources)
    area = grids[:, :, : tall * cells, : wide * cells]
    tiles = area.reshape(n, channels, cells, tall, cells, wide).permute(0, 2, 4, 1, 3, 5)
    tiles = tiles.reshape(n, blocks, channels, tall, wide)[torch.arange(n)[:, None], order]
    tiles = tiles.reshape(n, cells, cells, channels, tall, wide).permute(0, 3, 1, 4, 2, 5)
    result = grids.clone()
    result[:, :, : tall * cells, : wide * cells] = tiles.reshape(area.shape)
    return result


def band_limited(grids: Tensor, severity: Tensor) -> Tensor:
    """Silence the upper bands of spectrograms; at severity 1 an eighth of the bands remains.

    Args:
        grids: N×C×bands×frames, low bands first.
        severity: float32 N, from 0 to 1.
    """
    bands = grids.shape[2]
    kept = ((1 - severity * 7 / 8) * bands).ceil()
    silent = torch.arange(bands) >= kept[:, None]
    return grids.masked_fill(silent[:, None, :, None], 0)


def reversed_in_time(grids: Tensor, severity: Tensor) -> Tensor:
    """Reverse the first part of spectrograms in time; at severity 1 all frames.

    Args:
        grids: N×C×bands×frames.
        severity: float32 N, from 0 to 1: share of the frames.
    """
    frames = grids.shape[3]
    place = torch.arange(frames)
    count = (severity * frames).round().to(torch.int64)[:, None]
    source = torch.where(place < count, count - 1 - place, place)
    return grids.gather(3, source[:, None, None, :].expand(grids.shape))


def kinds(*, sound: bool) -> tuple[str, ...]:
    """Return the names of the corruptions that the extractor learns, in the order of its outputs.

    They are the same number for images and for spectrograms.
    """
    return ("noise", "band limit", "disorder") if sound else ("noise", "blur", "disorder")


def corrupted(
    grids: Tensor,
    kind: Tensor,
    severity: Tensor,
    pixels: PixelStatistics,
    generator: torch.Generator,
    *,
    sound: bool,
) -> Tensor:
    """Corrupt each grid by its own kind and severity.

    Half of the items of kind 0 get noise on top, of the others pixels are replaced. Of
    spectrograms, half of the items of kind 1 are blurred instead of band-limited, and half of those
    of kind 2 are reversed in time instead of shuffled.

    Args:
        grids: float32 N×C×H×W, grey levels from 0 to 255.
        kind: index of `kinds`, int64 N.
        severity: float32 N, from 0 to 1.
        pixels: statistics of the data set's pixels.
        generator: source of all random numbers.
        sound: whether the grids are spectrograms.

    Returns:
        float32 N×C×H×W from 0 to 255.
    """
    result = grids.clone()
    variant = torch.randint(0, 2, (len(grids),), generator=generator)
    actions: list[tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]] = [
        (
            (kind == 0) & (variant == 0),
            lambda some, much: noisy(some, much, pixels.spread, generator),
        ),
        (
            (kind == 0) & (variant == 1),
            lambda some, much: replaced(some, much, pixels.mean, pixels.deviation, generator),
        ),
    ]
    coarse, fine = (
        lambda some, much: shuffled(some, much, generator, _CELLS[0]),
        lambda some, much: shuffled(some, much, generator, _CELLS[1]),
    )
    if sound:
        actions += [
            ((kind == 1) & (variant == 0), band_limited),
            ((kind == 1) & (variant == 1), blurred),
            ((kind == 2) & (variant == 0), reversed_in_time),
            ((kind == 2) & (variant == 1), fine),
        ]
    else:
        actions += [
            (kind == 1, blurred),
            ((kind == 2) & (variant == 0), coarse),
            ((kind == 2) & (variant == 1), fine),
        ]
    for chosen, action in actions:
        if bool(chosen.any()):
            result[chosen] = action(grids[chosen], severity[chosen])
    return result


def _gaussian(side: int, severity: Tensor) -> Tensor:
    """Return the matrices that blur a side, float32 N×side×side; rows sum to 1."""
    place = torch.arange(side, dtype=torch.float32)
    squares = (place[:, None] - place[None, :]).square()
    width = (severity * (_BLUR * side)).clamp_min(1e-3)
    weights = torch.exp(-squares / (2 * width.square())[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)


def _each(severity: Tensor) -> Tensor:
    return severity[:, None, None, None]
