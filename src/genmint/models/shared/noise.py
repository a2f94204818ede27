"""Random numbers of a training step that do not depend on the number of processes."""

from __future__ import annotations

import torch
from torch import Tensor


class Noise:
    """Random draws for the rows of a batch; each process gets the rows of its share.

    Every process draws for all rows of the step and keeps its own rows. Two processes with half a
    batch each therefore get the same numbers as one process with the whole batch.
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
        """Uniform on [0, 1), float32 rows×shape."""
        device = self.generator.device
        whole = torch.rand((rows * self._world, *shape), generator=self.generator, device=device)
        return self._share(whole, rows)

    def bernoulli(self, probability: float, rows: int, *shape: int) -> Tensor:
        """1 with `probability`, else 0; float32 rows×shape."""
        whole = torch.empty((rows * self._world, *shape), device=self.generator.device)
        return self._share(whole.bernoulli_(probability, generator=self.generator), rows)

    def shared_normal(self, *shape: int) -> Tensor:
        """N(0, 1), float32, the same in every process; for weights, which all rows share."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def shared_bernoulli(self, probability: float, *shape: int) -> Tensor:
        """1 with `probability`, else 0; float32, the same in every process."""
        drawn = torch.empty(shape, device=self.generator.device)
        return drawn.bernoulli_(probability, generator=self.generator)

    def picks(self, count: int, rows: int) -> tuple[Tensor, Tensor]:
        """Pick `count` rows of the whole batch at random, each row as rarely as possible twice.

        Args:
            count: number of picks.
            rows: number of rows of this process; the same in every process.

        Returns:
            Row within this process's share, int64 `count`, and whether the pick is in this share,
            bool `count`. Each pick is in the share of one process.
        """
        total = rows * self._world
        order = torch.randperm(total, generator=self.generator, device=self.generator.device)
        picked = order[torch.arange(count, device=order.device) % total]
        return picked % rows, picked // rows == self._rank

    def _share(self, whole: Tensor, rows: int) -> Tensor:
        return whole if self._world == 1 else whole[self._rank * rows : (self._rank + 1) * rows]
