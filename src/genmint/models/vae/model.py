"""Variational auto-encoder (Kingma and Welling 2014, Rezende et al. 2014).

Maximises E_q[log p(x|z)] − β·KL(q(z|x) ‖ p(z)) with q a diagonal Gaussian and p(z) = N(0, I). A
conditional VAE maximises the same bound for p(x|y), with q(z|x, y) and p(x|z, y). Its prior does
not depend on the label (Sohn et al. 2015, CVAE; the generative model M2 of Kingma et al. 2014).
`bounds` has training and evaluation, `autoencoder` the networks, `latents` the alternative priors
and the second level, `likelihoods` the choices of p(x|z). `hierarchical` is the VAE with groups of
latents at every resolution, `quantised` the VAE with a grid of codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genmint.config import VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.family import Family, evaluating
from genmint.models.vae.autoencoder import Autoencoder
from genmint.models.vae.bounds import MAX_ITEMS
from genmint.models.vae.hierarchical import HierarchicalVAE
from genmint.models.vae.latents import Gaussian, Prior, active
from genmint.models.vae.quantised import QuantisedVAE


class VAE(Autoencoder):
    """VAE whose latents are a vector."""

    @classmethod
    def create(cls, config: VAEConfig, spec: DataSpec) -> Family:
        """The VAE of the entry's `network`."""
        if config.network == "hierarchical":
            return HierarchicalVAE(config, spec)
        if config.network == "vq":
            return QuantisedVAE(config, spec)
        return cls(config, spec)

    def health(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> dict[str, float]:
        """KL of each latent in nats, mean over at most 2,048 items, and number of active latents.

        A latent whose KL is 0 has no information on its item: its posterior has collapsed onto the
        prior (Bowman et al. 2016). Latents of a second level follow those of the first. Pixels are
        binarised as for `elbo`, so that the KLs add up to its `kl`. A mixture prior is an
        exception: its latents are not independent, and each has the KL to its own marginal.
        `active_units` of an evaluation uses grey values, and may differ by one.
        """
        totals = torch.zeros(self.noise_width, dtype=torch.float64)
        means = []
        with evaluating(self):
            prior = self._prior()
            shown = None if labels is None else labels[:MAX_ITEMS]
            for count, _, _, q, noise in self._posteriors(data[:MAX_ITEMS], seed, shown):
                kl = self.latents.marginal_kl(q, self._first(q, noise), noise, prior)
                means.append(self.latents.means(q)[:count].cpu())
                totals += kl[:count].double().sum(0).cpu()
        mean = torch.cat(means)
        signals = {"active_units": float(active(mean))}
        for i, total in enumerate((totals / len(mean)).tolist()):
            signals[f"kl.{i:03d}"] = total
        return signals

    def active_units(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> int:
        """Number of latents whose posterior mean varies over `data` (Burda et al.).

        A latent varies if the variance of its posterior mean is above 0.01.
        """
        return active(self.encode(data, batch_size=batch_size, labels=labels))

    def _inferred(self, x: Tensor, labels: Tensor | None) -> Gaussian:
        return self.posterior(x, labels)

    def _scored(
        self, x: Tensor, labels: Tensor | None, q: Gaussian, noise: Tensor, prior: Prior
    ) -> tuple[Tensor, Tensor]:
        z = self._first(q, noise)
        log_prob = self.likelihood.log_prob(self._decoded(z, labels), x)
        return log_prob, self.latents.kl(q, z, noise, prior)

    def _log_weights(
        self, x: Tensor, labels: Tensor | None, q: Gaussian, noise: Tensor, prior: Prior
    ) -> tuple[Tensor, Tensor]:
        draws, items = noise.shape[:2]
        z = self._first(q, noise)
        repeated = x.expand(draws, *x.shape).flatten(0, 1)
        of = None if labels is None else labels.repeat(draws)
        log_prob = self.likelihood.log_prob(self._decoded(z.flatten(0, 1), of), repeated)
        return log_prob.view(draws, items), self.latents.log_ratio(q, z, noise, prior)

    def _widest(self) -> int:
        channels, height, width = self.spec.shape
        outputs = self.likelihood.outputs(channels) * height * width
        pixels = 1 if self.config.network == "mlp" else height * width
        mixture = self.latents.components * self.latents.width
        return max(outputs, pixels * max(self.config.hidden), mixture)
