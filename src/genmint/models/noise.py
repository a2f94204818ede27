"""The randomness of a training step, the same however many processes share the step."""

from __future__ import annotations

import torch
from torch import Tensor


class Noise:
    """Draws for the rows of a batch; with several processes, each gets the rows of its share.

    Every process draws for all rows of the step and keeps its own, so that two processes with half
    a batch each see what one process with the whole batch would have seen.
    """

    def __init__(self, generator: torch.Generator, rank: int = 0, world: int = 1) -> None:
        """Draw from `generator`, on its device, for process `rank` of `world`."""
        self.generator = generator
        self._rank = rank
        self._world = world

    def normal(self, rows: int, *shape: int) -> Tensor:
        """N(0, 1), float32 rows×shape."""
        device = self.generator.device
        whole = torch.randn((rows * self._world, *shape), generator=self.generator, device=device)
        return self._share(whole, rows)

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """Uniform over 0…1, 1 excluded, float32 rows×shape."""
        device = self.generator.device
        whole = torch.rand((rows * self._world, *shape), generator=self.generator, device=device)
        return self._share(whole, rows)

    def bernoulli(self, probability: float, rows: int, *shape: int) -> Tensor:
        """1 with `probability`, else 0; float32 rows×shape."""
        whole = torch.empty((rows * self._world, *shape), device=self.generator.device)
        return self._share(whole.bernoulli_(probability, generator=self.generator), rows)

    def shared_normal(self, *shape: int) -> Tensor:
        """N(0, 1), float32; the same in every process, as for weights, which all rows share."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def shared_bernoulli(self, probability: float, *shape: int) -> Tensor:
        """1 with `probability`, else 0; float32, the same in every process."""
        drawn = torch.empty(shape, device=self.generator.device)
        return drawn.bernoulli_(probability, generator=self.generator)

    def _share(self, whole: Tensor, rows: int) -> Tensor:
        return whole if self._world == 1 else whole[self._rank * rows : (self._rank + 1) * rows]
