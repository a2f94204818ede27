"""Gaussian mixture of a VAE's latents, fitted after training, that samples are drawn from.

Ghosh et al. 2020, "From variational to deterministic autoencoders", section 4: the posteriors of
all training items together, q(z) = E_x q(z|x), differ from the prior p(z). The decoder has only
seen draws of q(z), so samples are better if z is drawn from a density of q(z) ("ex-post density
estimation"). The bounds on the likelihood stay those of the model with its own prior.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genmint.config import VAEConfig
from genmint.models.shared.blocks import ROWS, seeded
from genmint.models.shared.conditioning import Classes

# Purpose of a seed: level that selects the component of each sample.
_COMPONENT = 7

# Draws that a mixture is fitted to. More items are thinned out; fewer are drawn several times.
FITTED_DRAWS = 10_000

# Starts of the EM algorithm, of which the most likely mixture is kept, and its steps at most.
_STARTS, _MOST_STEPS = 3, 200


class LatentMixture(nn.Module):
    """Gaussian mixtures with full covariances, one for each class of a conditional model.

    All tensors are buffers, stored with the weights. Before `fit` every component is N(0, I).

    Attributes:
        shares: float32 M×K, weights of the K components in each of M mixtures; a row adds up to 1.
        means: float32 M×K×L.
        factors: float32 M×K×L×L, lower Cholesky factors of the covariances.
    """

    shares: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, components: int, latents: int, mixtures: int = 1) -> None:
        super().__init__()
        shape = (mixtures, components)
        self.register_buffer("shares", torch.full(shape, 1 / components))
        self.register_buffer("means", torch.zeros(*shape, latents))
        self.register_buffer("factors", torch.eye(latents).repeat(*shape, 1, 1))

    @property
    def latents(self) -> int:
        """Number of latents L."""
        return self.means.shape[2]

    def fit(self, which: int, draws: Tensor, seed: int) -> None:
        """Fit one mixture by the EM algorithm (Dempster et al. 1977), as in scikit-learn.

        With fewer different draws than components, the remaining components get the weight 0.

        Args:
            which: index of the mixture, 0…M−1.
            draws: latents, float N×L, N ≥ 1.
            seed: of the initial means, which are chosen as by k-means++.
        """
        # Imported here, because a served model does not need it.
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        latents = draws.double().cpu().numpy()
        count = min(self.shares.shape[1], len(np.unique(latents, axis=0)))
        if count == 1:
            latents = np.vstack([latents, latents])
        mixture = GaussianMixture(
            count, n_init=_STARTS, max_iter=_MOST_STEPS, init_params="k-means++", random_state=seed
        )
        with warnings.catch_warnings():
            # The best of all steps is kept; more of them would change little.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(latents)
        self.shares[which] = 0
        self.shares[which, :count] = _like(self.shares, mixture.weights_)
        self.means[which, :count] = _like(self.means, mixture.means_)
        self.factors[which, :count] = _like(self.factors, np.linalg.cholesky(mixture.covariances_))

    def with_levels(self, noise: Tensor, seed: int) -> Tensor:
        """Noise of samples, float32 N×L, with a column of uniform numbers in 0…1, N×(L + 1).

        The numbers select the components. Those of the first rows do not depend on N.
        """
        generator, blocks = seeded(seed, _COMPONENT), range(math.ceil(len(noise) / ROWS))
        levels = torch.cat([torch.rand(ROWS, 1, generator=generator) for _ in blocks])
        return torch.cat([noise, levels[: len(noise)]], dim=1)

    def drawn(self, draws: Tensor, labels: Tensor | None) -> Tensor:
        """Latents of samples, float32 N×L.

        Args:
            draws: rows of `with_levels`, N×(L + 1). Scaled noise scales the distance to the mean of
                the component.
            labels: int64 N, for a conditional model.
        """
        noise, level = draws[:, :-1], draws[:, -1]
        mixture = torch.zeros_like(level, dtype=torch.int64) if labels is None else labels
        # In float64 on the CPU: a device may lack it, and the same component must be chosen.
        upto = self.shares.cpu().double().cumsum(1)[mixture.cpu()]
        upto = upto / upto[:, -1:]
        component = (level.cpu().double().unsqueeze(1) >= upto).sum(1).to(mixture.device)
        mean, factor = self.means[mixture, component], self.factors[mixture, component]
        return mean + torch.bmm(factor, noise.unsqueeze(2)).squeeze(2)


def mixture_of(config: VAEConfig, latents: int, classes: Classes | None) -> LatentMixture | None:
    """The mixture of `sampler`, of so many latents; None if samples are drawn from the prior."""
    if config.sampler.name == "prior":
        return None
    mixtures = 1 if classes is None else len(classes.names)
    return LatentMixture(config.sampler.components, latents, mixtures)


def _like(buffer: Tensor, values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).to(buffer)
