"""Codebook of a VQ-VAE: vector quantisation with codes that are running averages.

van den Oord et al. 2017, section 3 and appendix A.1; Razavi et al. 2019, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config import VAEConfig
from genmint.models.shared.noise import Noise

# Use below which the sum of a code's vectors has no digits left in float32.
_UNUSED = 1e-12


class Quantised(NamedTuple):
    """Vectors of a grid, replaced by their nearest codes.

    Attributes:
        vectors: the codes, float32 N×D×h×w, with the gradient of the vectors that they replace.
        numbers: numbers of the codes, int64 N×P, in raster order.
        distance: squared distance of the vectors from their codes, summed over an item, float32 N.
            It has a gradient with respect to the vectors only.
    """

    vectors: Tensor
    numbers: Tensor
    distance: Tensor


class Codebook(nn.Module):
    """K codes, each the running average of the vectors assigned to it.

    The first batch fills the codebook with random vectors of it. With `restart_codes`, a code that
    is hardly used is replaced in the same way later on (Dhariwal et al. 2020, Jukebox, section
    3.1).

    Attributes:
        codes: float32 K×D.
        share: running average of each code's share of all vectors, float32 K.
        total: running average of the sum of its vectors, divided by the number of all vectors;
            float32 K×D. `codes` is `total` / `share`.
    """

    codes: Tensor
    share: Tensor
    total: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        shape = (config.codes, config.code_width)
        self.register_buffer("codes", torch.randn(shape) * config.code_width**-0.5)
        self.register_buffer("share", torch.zeros(config.codes))
        self.register_buffer("total", torch.zeros(shape))
        self._decay = config.codebook_decay
        self._restart = config.restart_codes / config.codes
        self._noted: list[Tensor] = []

    def forward(self, grid: Tensor) -> Quantised:
        """Quantise float N×D×h×w; computed in float32, also under autocast."""
        with torch.autocast(grid.device.type, enabled=False):
            grid = grid.float()
            vectors = grid.detach().flatten(2).transpose(1, 2).flatten(0, 1)
            # ‖v − e‖² without ‖v‖², which is the same for all codes.
            distances = self.codes.square().sum(1) - 2 * vectors @ self.codes.T
            numbers = distances.argmin(dim=1).view(len(grid), -1)
            codes = self.vectors(numbers, (grid.shape[2], grid.shape[3]))
            distance = (grid - codes).square().flatten(1).sum(1)
            # Straight-through: the gradient of the codes is passed on to the vectors.
            return Quantised(grid + (codes - grid).detach(), numbers, distance)

    def vectors(self, numbers: Tensor, size: tuple[int, int]) -> Tensor:
        """Codes of int64 N×P numbers, float32 N×D×h×w with h, w = `size`."""
        codes: Tensor = functional.embedding(numbers, self.codes).transpose(1, 2)
        return codes.reshape(len(codes), -1, *size)

    def note(self, grid: Tensor, numbers: Tensor, noise: Noise) -> None:
        """Remember what `update` needs of one batch.

        Args:
            grid: vectors of the batch, float N×D×h×w.
            numbers: their codes, int64 N×P.
            noise: draws the candidates that codes are replaced by.
        """
        vectors = grid.detach().float().flatten(2).transpose(1, 2).flatten(0, 1)
        flat = numbers.flatten()
        # A process adds 0 for a candidate of another process; the count tells how many have it.
        counts = torch.zeros(len(self.codes), 2, device=grid.device)
        sums = torch.zeros_like(self.codes)
        counts[:, 0].index_add_(0, flat, torch.ones_like(flat, dtype=torch.float32))
        sums.index_add_(0, flat, vectors)
        rows, mine = noise.picks(len(self.codes), len(vectors))
        counts[:, 1] = mine.float()
        candidates = vectors[rows] * mine[:, None]
        counts[:, 0] /= len(flat)
        self._noted.append(torch.cat([counts, sums / len(flat), candidates], dim=1))

    @torch.no_grad()
    def update(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Move the codes by the batches that were noted since the last update.

        Args:
            mean: averages a tensor over the processes that share the batches.
        """
        width = self.codes.shape[1]
        noted = mean(torch.stack(self._noted).mean(0))
        self._noted = []
        share, own, total, candidates = noted.split([1, 1, width, width], dim=1)
        first = self.share.sum() == 0
        self.share.lerp_(share[:, 0], 1 - self._decay)
        self.total.lerp_(total, 1 - self._decay)
        used = self.share[:, None] > _UNUSED
        moved = self.total / self.share[:, None].clamp_min(_UNUSED)
        self.codes.copy_(torch.where(used, moved, self.codes))
        # Computed on the device in every step: asking whether a code is dead would wait for it.
        dead = first | (self.share[:, None] < self._restart)
        uniform = 1 / len(self.codes)
        fresh = candidates / own.clamp_min(_UNUSED)
        self.codes.copy_(torch.where(dead, fresh, self.codes))
        self.total.copy_(torch.where(dead, fresh * uniform, self.total))
        self.share.masked_fill_(dead[:, 0], uniform)
