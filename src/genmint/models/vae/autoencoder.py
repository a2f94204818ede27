"""Networks of a VAE: posterior, latents and decoder, from items to latents and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genmint.config import VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.blocks import in_labelled_blocks
from genmint.models.shared.conditioning import with_label
from genmint.models.shared.family import evaluating
from genmint.models.shared.networks import decoder, encoder
from genmint.models.vae.continuous import ContinuousModel
from genmint.models.vae.labelled import LabelledEncoder
from genmint.models.vae.latent_mixture import mixture_of
from genmint.models.vae.latents import Gaussian, Latents, Prior, reparameterised


class Autoencoder(ContinuousModel):
    """Encoder, decoder and likelihood; a sample is the decoder's mean for a draw of the prior."""

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels, height, width = spec.shape
        outputs = (self.likelihood.outputs(channels), height, width)
        network, hidden, latent = config.network, config.hidden, config.latent
        settings: dict[str, Any] = {
            "act": config.activation, "norm": config.norm, "attention": config.attention
        }  # fmt: skip
        if self.classes is None:
            self.encoder = encoder(network, spec.shape, hidden, 2 * latent, **settings)
        else:
            self.encoder = LabelledEncoder(
                network, spec.shape, hidden, 2 * latent, len(self.classes.names), **settings
            )
            latent += len(self.classes.names)
        self.decoder = decoder(network, latent, hidden, outputs, **settings)
        self.latents = Latents(config, spec.shape)
        self.noise_width = self.latents.width
        self.mixture = mixture_of(config, config.latent, self.classes)

    @property
    def latent(self) -> int:
        """Number of latents of the first level."""
        return self.config.latent

    def posterior(self, x: Tensor, labels: Tensor | None = None) -> Gaussian:
        """Mean and log-variance of q(z|x), float32 N×L each, for observed x in 0…1.

        For a conditional model those of q(z|x, y), with int64 N labels.
        """
        x = self.likelihood.encoded(x)
        parameters = self.encoder(x) if labels is None else self.encoder(x, labels)
        mean, log_variance = parameters.float().chunk(2, dim=1)
        return mean, log_variance

    def encode(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> Tensor:
        """Posterior means, float32 N×L, of uint8 N×C×H×W; a second level follows the first.

        A model of binary pixels gets the grey values, which are its expected pixels; nothing is
        reparameterised.
        """
        means = []
        with evaluating(self):
            for rows, block, of in in_labelled_blocks(data, labels, self.device, self.pass_rows):
                mean = self.latents.means(self.posterior(block.to(torch.float32) / 255, of))
                means.append(mean[: rows.stop - rows.start].cpu())
        return torch.cat(means)

    def sample(
        self,
        n: int,
        *,
        seed: int,
        batch_size: int = 256,
        length: int | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Decoder means for n draws of the prior, or of `mixture`; uint8 n×C×H×W.

        `length` is not used.
        """
        labels, parts = self.labels_of(n, seed, labels), []
        with evaluating(self):
            prior = self._prior()
            noise = self.latents.draws(n, seed)
            if self.mixture is not None:
                noise = self.mixture.with_levels(noise[:, : self.latent], seed)
            for rows, draws, of in in_labelled_blocks(noise, labels, self.device, self.pass_rows):
                shown = self._shown(self._latents_of(draws, prior, of), of)
                parts.append(shown[: rows.stop - rows.start].cpu())
        return torch.cat(parts)

    def _latents_of(self, draws: Tensor, prior: Prior, labels: Tensor | None) -> Tensor:
        """Latents of samples, N×L, for the noise of `sample`."""
        if self.mixture is None:
            return self.latents.sample(draws, prior)
        return self.mixture.drawn(draws, labels)

    def _mixed(self, q: Gaussian, noise: Tensor, labels: Tensor | None) -> Tensor:
        return self._first(q, noise)

    def _prior(self) -> Prior:
        return self.latents.prior(self.posterior)

    def _decoded(self, z: Tensor, labels: Tensor | None) -> Tensor:
        parameters: Tensor = self.decoder(with_label(z, labels, self.classes)).float()
        return parameters

    def _first(self, q: Gaussian, noise: Tensor) -> Tensor:
        """A draw of the first level, from the `noise` of all levels."""
        return reparameterised(q, noise[..., : self.config.latent])
