"""A VAE with continuous latents, which may be drawn from a mixture that is fitted to them."""

from __future__ import annotations

import abc
import math
from typing import Any

import torch
from torch import Tensor

from genmint.config import VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.blocks import seeded
from genmint.models.shared.family import evaluating
from genmint.models.vae.bounds import VariationalModel
from genmint.models.vae.latent_mixture import FITTED_DRAWS, LatentMixture

# Purpose of a seed: items that the mixture of the latents is fitted to.
_SUBSET = 8


class ContinuousModel(VariationalModel):
    """A variational model with continuous latents.

    Attributes:
        mixture: what samples are drawn from in place of the prior (`sampler`), if there is one.
    """

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.mixture: LatentMixture | None = None

    @abc.abstractmethod
    def _mixed(self, q: Any, noise: Tensor, labels: Tensor | None) -> Tensor:
        """The latents that `mixture` is of, float32 B×L, of one draw of q for `noise`."""

    @property
    def noise_name(self) -> str:
        """Identifier of the noise; draws of a mixture do not correspond to those of N(0, I)."""
        return super().noise_name if self.mixture is None else f"g{self.latent}"

    def finish(self, train: Tensor, labels: Tensor | None = None) -> None:
        """Fit `mixture` to draws of q(z|x) for training items x; per class if conditional.

        A class without items gets the mixture of all items.
        """
        if self.mixture is None:
            return
        for which in range(len(self.mixture.shares)):
            rows = torch.arange(len(train))
            if labels is not None and bool((labels == which).any()):
                rows = (labels.cpu() == which).nonzero().flatten()
            rows = _as_many(rows, self.config.seed)
            of = None if labels is None else labels[rows]
            draws = self._posterior_draws(train[rows], of)
            self.mixture.fit(which, draws, self.config.seed)

    def _posterior_draws(self, items: Tensor, labels: Tensor | None) -> Tensor:
        draws = []
        with evaluating(self):
            for count, _, of, q, noise in self._posteriors(items, self.config.seed, labels):
                draws.append(self._mixed(q, noise, of)[:count].cpu())
        return torch.cat(draws)


def _as_many(rows: Tensor, seed: int) -> Tensor:
    """Row numbers of about `FITTED_DRAWS` items, int64: each once or more, or a random subset."""
    if len(rows) > FITTED_DRAWS:
        order = torch.randperm(len(rows), generator=seeded(seed, _SUBSET))
        return rows[order[:FITTED_DRAWS].sort().values]
    return rows.repeat(math.ceil(FITTED_DRAWS / len(rows)))
