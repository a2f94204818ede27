"""Random changes of training items that keep their class, for the feature extractor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Largest shift along an axis, as a share of the side.
_SHIFT = 1 / 8
# Largest change of tempo and of the frequency scale of a spectrogram, as a factor.
_TEMPO, _FREQUENCY = 1.25, 1.15
# Largest change of loudness of a spectrogram, and of its lowest against its highest band, in grey
# levels. At a dynamic range of 80 dB, 40 are about 12 dB.
_LOUDNESS, _TILT = 40.0, 40.0
# Largest share of the bands and of the frames that is masked.
_MASK = 1 / 5
# Items of the test whether mirror images belong to a data set.
_KNOWN, _QUERIES = 4000, 1000


@dataclass(frozen=True)
class Variation:
    """Random changes of grids.

    Images are shifted and, if `mirror`, mirrored. Spectrograms are shifted and stretched in time
    and frequency, filtered, made louder or softer, and masked (SpecAugment, Park et al. 2019; the
    frequency stretch is the vocal tract length perturbation of Jaitly and Hinton 2013).

    Attributes:
        sound: whether the grids are spectrograms.
        mirror: whether half of the images are mirrored.
    """

    sound: bool
    mirror: bool

    def __call__(self, grids: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed grids, float32 N×C×H×W, of grids uint8 N×C×H×W."""
        n, _, height, width = grids.shape
        draws = 2 * torch.rand((n, 8), generator=generator) - 1
        stretch = float(self.sound)
        rows = _places(height, draws[:, 0], draws[:, 1] * math.log(_FREQUENCY) * stretch)
        columns = _places(width, draws[:, 2], draws[:, 3] * math.log(_TEMPO) * stretch)
        if self.mirror:
            columns = torch.where(draws[:, 4, None] < 0, width - 1 - columns, columns)
        items = torch.arange(n)[:, None, None]
        changed = grids.permute(0, 2, 3, 1)[items, rows[:, :, None], columns[:, None, :]]
        changed = changed.permute(0, 3, 1, 2).to(torch.float32)
        return self._louder_and_masked(changed, draws[:, 5:], generator) if self.sound else changed

    def _louder_and_masked(
        self, grids: Tensor, draws: Tensor, generator: torch.Generator
    ) -> Tensor:
        heard = grids > 0
        slope = torch.linspace(-0.5, 0.5, grids.shape[2])
        gain = _LOUDNESS * draws[:, 0, None] + _TILT * draws[:, 1, None] * slope
        changed = (grids + gain[:, None, :, None]).clamp(0, 255) * heard
        for axis in (2, 3):
            hidden = _mask(grids.shape[axis], len(grids), generator)
            shape = [len(grids), 1, 1, 1]
            shape[axis] = grids.shape[axis]
            changed = changed.masked_fill(hidden.reshape(shape), 0.0)
        return changed


def mirror_images_belong(grids: Tensor, labels: Tensor) -> bool:
    """Return whether the mirror image of an item belongs to the class of the item.

    It does for photos, but not for digits and letters. The test: the nearest neighbours of mirror
    images have the label of the item as often as those of the items themselves, except for two
    standard errors.

    Args:
        grids: uint8 N×C×H×W; up to 5,000 evenly spaced ones are used.
        labels: int64 N.
    """
    n = len(grids)
    if n < 8:
        return False
    chosen = torch.linspace(0, n - 1, min(n, _KNOWN + _QUERIES)).to(torch.int64)
    queries = torch.arange(len(chosen)) % 5 == 0
    side = max(1, min(grids.shape[2:]) // 8)
    small = torch.nn.functional.avg_pool2d(grids[chosen].to(torch.float32), side)
    known, truth = small[~queries].flatten(1), labels[chosen][~queries]
    shares = []
    for images in (small[queries], small[queries].flip(3)):
        neighbour = torch.cdist(images.flatten(1), known).argmin(dim=1)
        shares.append(float((truth[neighbour] == labels[chosen][queries]).double().mean()))
    plain, mirrored = shares
    error = math.sqrt(max(plain * (1 - plain), mirrored * (1 - mirrored)) / int(queries.sum()))
    return mirrored >= plain - 2 * error


def _places(side: int, shift: Tensor, stretch: Tensor) -> Tensor:
    """Return from which row or column each one is taken, int64 N×side; edges repeat.

    Args:
        side: number of rows or columns.
        shift: float32 N from −1 to 1.
        stretch: logarithm of the factor, float32 N.
    """
    most = max(1.0, _SHIFT * side) + 0.499
    middle = (side - 1) / 2
    place = torch.arange(side) - middle
    place = place * torch.exp(stretch)[:, None] + middle + torch.round(most * shift)[:, None]
    return place.round().clamp(0, side - 1).to(torch.int64)


def _mask(side: int, n: int, generator: torch.Generator) -> Tensor:
    """Return which bands or frames are masked: a range of up to a fifth of them; bool N×side."""
    first, length = torch.rand((2, n), generator=generator)
    begin = (first * side).to(torch.int64)[:, None]
    count = (length * (_MASK * side)).to(torch.int64)[:, None]
    place = torch.arange(side)
    masked: Tensor = (place >= begin) & (place < begin + count)
    return masked
