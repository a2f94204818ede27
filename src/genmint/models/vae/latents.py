"""Posteriors and priors of latent variables, and the KL divergence between them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from genmint.config import VAEConfig
from genmint.config.models import KLWarmup
from genmint.models.shared.blocks import ROWS, prior, seeded
from genmint.models.shared.networks import decoder, encoder

# Purpose of a seed: the mixture component of each draw of the prior.
_COMPONENT = 4

# Burda et al. 2016, appendix: a unit is active if the variance of its posterior mean exceeds this.
ACTIVE_VARIANCE = 0.01

# Mean and log-variance of independent normal distributions, …×L each.
Gaussian = tuple[Tensor, Tensor]


def kl_per_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of each latent from N(0, 1) in nats, N×L (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)) in nats; N×L each to N."""
    return kl_per_latent(mean, log_variance).sum(1)


def log_normal(z: Tensor, of: Gaussian) -> Tensor:
    """Elementwise log-density of z in nats, …×L to the same shape."""
    mean, log_variance = of
    deviation = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (math.log(2 * math.pi) + log_variance + deviation)


def reparameterised(of: Gaussian, noise: Tensor) -> Tensor:
    """Reparameterised draw for `noise` from N(0, I); gradients reach mean and log-variance."""
    mean, log_variance = of
    return mean + (0.5 * log_variance).exp() * noise


def kl_weight(warmup: KLWarmup | None, step: int) -> float:
    """Weight of the KL in training step `step`, counted from 0; 0…1.

    The warm-up lets the decoder learn to use the latents before the KL is penalised. Linear: one
    rise from 0 to 1 (Bowman et al. 2016, section 3.1). Cyclical: `cycles` repetitions; in each the
    weight rises during the fraction `ramp` and then stays at 1 (Fu et al. 2019, section 3.2). After
    the last cycle it is 1.
    """
    if warmup is None or step >= warmup.steps:
        return 1.0
    done = step * warmup.cycles % warmup.steps / warmup.steps
    return min(1.0, done / warmup.ramp)


def with_free_bits(kl: Tensor, free: float) -> Tensor:
    """KL with free bits: Σ_j max(free, mean over the batch of KL_j), in nats; `kl` is N×L.

    The penalty of a latent below `free` nats is constant, so that no gradient pushes its KL to 0
    (Kingma et al. 2016, appendix C.8). With several processes, each uses the mean of its own rows.
    """
    return kl.mean(0).clamp_min(free).sum()


def active(means: Tensor) -> int:
    """Number of latents whose posterior mean (N×L) varies over the items (Burda et al.)."""
    return int((means.double().var(dim=0, correction=0) > ACTIVE_VARIANCE).sum())


class StandardNormal:
    """Standard normal prior N(0, I)."""

    def drawn(self, draw: Tensor) -> Tensor:
        """Draws for N×(L + 1): noise from N(0, I), and a last column that only mixtures use."""
        return draw[:, :-1]

    def log_ratio(self, q: Gaussian, z: Tensor, noise: Tensor) -> Tensor:
        """Log-ratio log p(z) − log q(z) in nats for z = `drawn(q, noise)`, …×L to …."""
        # The terms with log 2π cancel.
        return 0.5 * (noise.square() + q[1] - z.square()).sum(-1)

    def kl(self, q: Gaussian, z: Tensor) -> Tensor:
        """KL(q ‖ p) of every latent in nats, N×L."""
        return kl_per_latent(*q)

    def marginal_kl(self, q: Gaussian, z: Tensor) -> Tensor:
        """As `kl`, since the latents of this prior are independent."""
        return kl_per_latent(*q)


class Mixture:
    """Mixture prior of normal distributions K×L with equal weights."""

    def __init__(self, components: Gaussian) -> None:
        self.components = components

    def drawn(self, draw: Tensor) -> Tensor:
        """Draws for N×(L + 1): noise from N(0, I), and the number of the component."""
        which = draw[:, -1].long()
        mean, log_variance = self.components
        return reparameterised((mean[which], log_variance[which]), draw[:, :-1])

    def log_ratio(self, q: Gaussian, z: Tensor, noise: Tensor) -> Tensor:
        """Log-ratio log p(z) − log q(z) in nats for z = `drawn(q, noise)`, …×L to …."""
        of_components = log_normal(z.unsqueeze(-2), self.components).sum(-1)
        log_prob = of_components.logsumexp(-1) - math.log(of_components.shape[-1])
        return log_prob - log_normal(z, q).sum(-1)

    def kl(self, q: Gaussian, z: Tensor) -> Tensor:
        """KL(q ‖ p) in nats, N×1, estimated from one draw z; it does not split into latents."""
        return -self.log_ratio(q, z, z).unsqueeze(1)

    def marginal_kl(self, q: Gaussian, z: Tensor) -> Tensor:
        """KL of every latent to its own marginal of the mixture, from one draw, N×L."""
        of_components = log_normal(z.unsqueeze(-2), self.components)
        log_prob = of_components.logsumexp(-2) - math.log(of_components.shape[-2])
        return log_normal(z, q) - log_prob


Prior = StandardNormal | Mixture


class SecondLevelNetworks(nn.Module):
    """q(z2|z1) and p(z1|z2) of two stochastic layers (Burda et al. 2016, section 5)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        assert config.second_level is not None
        level, below = config.second_level, (2 * config.latent, 1, 1)
        act, norm = config.activation, config.norm
        vector = (config.latent, 1, 1)
        self.encoder = encoder("mlp", vector, level.hidden, 2 * level.latent, act=act, norm=norm)
        self.decoder = decoder("mlp", level.latent, level.hidden, below, act=act, norm=norm)

    def posterior(self, z1: Tensor) -> Gaussian:
        """q(z2|z1), N×L2 each."""
        mean, log_variance = self.encoder(z1).float().chunk(2, dim=1)
        return mean, log_variance

    def below(self, z2: Tensor) -> Gaussian:
        """p(z1|z2), N×L each."""
        mean, log_variance = self.decoder(z2).float().flatten(1).chunk(2, dim=1)
        return mean, log_variance


class Latents(nn.Module):
    """Prior of a VAE's latents, and its second level if there is one; q(z1|x) is not included.

    Attributes:
        width: noise values per draw: those of the first level, then those of the second.
    """

    def __init__(self, config: VAEConfig, shape: tuple[int, ...]) -> None:
        """Create the modules; `shape` is (C, H, W) of the data."""
        super().__init__()
        self.first = config.latent
        self.second = SecondLevelNetworks(config) if config.second_level is not None else None
        top = config.second_level.latent if config.second_level is not None else 0
        self.width = config.latent + top
        self.pseudo_inputs: nn.Parameter | None = None
        if config.prior == "vamp":
            size = shape if self.second is None else (config.latent,)
            self.pseudo_inputs = nn.Parameter(torch.randn(config.pseudo_inputs, *size))

    @property
    def components(self) -> int:
        """Number of normal distributions of the prior."""
        return 1 if self.pseudo_inputs is None else len(self.pseudo_inputs)

    def prior(self, posterior: Callable[[Tensor], Gaussian]) -> Prior:
        """Prior of the top level; `posterior` returns q(z1|x) for x in 0…1, N×C×H×W.

        VampPrior (Tomczak and Welling 2018, equation 9): the mean of the posteriors of K
        pseudo-inputs, which are learnt with the other parameters. Pseudo-inputs have the form of
        the input of the top posterior: images, kept within 0…1 by a sigmoid, or latents of the
        first level.
        """
        if self.pseudo_inputs is None:
            return StandardNormal()
        if self.second is None:
            return Mixture(posterior(self.pseudo_inputs.sigmoid()))
        return Mixture(self.second.posterior(self.pseudo_inputs))

    def kl(self, q: Gaussian, z: Tensor, noise: Tensor, prior: Prior) -> Tensor:
        """KL of each item in nats, N×terms; one term per latent if the latents are independent.

        A term is exact if it has a closed form. Otherwise it is estimated from the draw
        z = `drawn(q, noise)`, N×L; `noise` is N×`width`.
        """
        if self.second is None:
            return prior.kl(q, z)
        q2 = self.second.posterior(z)
        z2 = reparameterised(q2, noise[:, self.first :])
        return torch.cat([self._kl_below(q, z, z2), prior.kl(q2, z2)], dim=1)

    def marginal_kl(self, q: Gaussian, z: Tensor, noise: Tensor, prior: Prior) -> Tensor:
        """As `kl`, for every single latent, N×`width`, with any prior."""
        if self.second is None:
            return prior.marginal_kl(q, z)
        q2 = self.second.posterior(z)
        z2 = reparameterised(q2, noise[:, self.first :])
        return torch.cat([self._kl_below(q, z, z2), prior.marginal_kl(q2, z2)], dim=1)

    def log_ratio(self, q: Gaussian, z: Tensor, noise: Tensor, prior: Prior) -> Tensor:
        """Log-ratio log p(z) − log q(z|x) over all levels in nats; D×B for D draws of B items.

        q has shape B×L, z = `drawn(q, noise)` D×B×L, and `noise` D×B×`width`. With two levels it is
        log p(z1|z2) + log p(z2) − log q(z1|x) − log q(z2|z1) (Burda et al. 2016).
        """
        if self.second is None:
            return prior.log_ratio(q, z, noise)
        flat = z.flatten(0, 1)
        q2, noise2 = self.second.posterior(flat), noise[..., self.first :].flatten(0, 1)
        z2 = reparameterised(q2, noise2)
        above = prior.log_ratio(q2, z2, noise2) + log_normal(flat, self.second.below(z2)).sum(1)
        return above.view(z.shape[:-1]) - log_normal(z, q).sum(-1)

    def means(self, q: Gaussian) -> Tensor:
        """Posterior means, N×`width`; those of the second level at the means of the first."""
        mean, _ = q
        if self.second is None:
            return mean
        return torch.cat([mean, self.second.posterior(mean)[0]], dim=1)

    def draws(self, n: int, seed: int) -> Tensor:
        """Random numbers for n prior draws, n×(`width` + 1); the first rows do not depend on n."""
        component = torch.zeros(n, 1)
        if self.components > 1:
            picks = seeded(seed, _COMPONENT)
            blocks = range(math.ceil(n / ROWS))
            chosen = [torch.randint(self.components, (ROWS, 1), generator=picks) for _ in blocks]
            component = torch.cat(chosen)[:n].float()
        return torch.cat([prior(n, self.width, seed), component], dim=1)

    def sample(self, draws: Tensor, prior: Prior) -> Tensor:
        """Latents z1, N×L, for rows of `draws`."""
        if self.second is None:
            return prior.drawn(draws)
        z2 = prior.drawn(draws[:, self.first :])
        return reparameterised(self.second.below(z2), draws[:, : self.first])

    def _kl_below(self, q: Gaussian, z: Tensor, z2: Tensor) -> Tensor:
        assert self.second is not None
        return log_normal(z, q) - log_normal(z, self.second.below(z2))
