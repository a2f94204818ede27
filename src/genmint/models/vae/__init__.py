"""Variational auto-encoder (Kingma and Welling 2014, Rezende et al. 2014).

Maximises E_q[log p(x|z)] − β·KL(q(z|x) ‖ p(z)) with q a diagonal Gaussian and p(z) = N(0, I).
`latents` has what may take their place, `likelihoods` what p(x|z) may be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from genmint.config import Optimiser, VAEConfig
from genmint.data.binarise import binarise
from genmint.data.spec import DataSpec
from genmint.models.blocks import in_blocks, seeded, to_bytes
from genmint.models.family import Family, Loss, Turn, evaluating
from genmint.models.networks import decoder, encoder
from genmint.models.noise import Noise
from genmint.models.vae.latents import (
    Gaussian,
    Latents,
    Prior,
    active,
    drawn,
    kl_weight,
    with_free_bits,
)
from genmint.models.vae.likelihoods import likelihood_of

# Purpose of a seed: noise of the posterior, unrelated to the draws of the prior.
_NOISE = 2

# Held-out items that the health signals look at, at most.
_MAX_ITEMS = 2048

# Draws of the posterior that go through the decoder together (beyond 16 a CPU wins nothing), and
# numbers that its widest layer may take for them (32 MB).
_DRAWS = 16
_VALUES = 8_000_000


class VAE(Family):
    """Encoder, decoder and likelihood; a sample is the decoder's mean for a draw of the prior."""

    view = "grid"

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        channels, height, width = spec.shape
        self.likelihood = likelihood_of(config, channels)
        outputs = (self.likelihood.outputs(channels), height, width)
        act, norm, attention = config.activation, config.norm, config.attention
        network, hidden, latent = config.network, config.hidden, config.latent
        self.encoder = encoder(
            network, spec.shape, hidden, 2 * latent, act=act, norm=norm, attention=attention
        )
        self.decoder = decoder(
            network, latent, hidden, outputs, act=act, norm=norm, attention=attention
        )
        self.latents = Latents(config, spec.shape)
        self.begin(0)

    @property
    def observation(self) -> Literal["binary", "8bit"]:
        """What the likelihood is of: pixels on or off, or 8-bit values. ELBOs compare within one.

        A binary pixel and an 8-bit one are different random variables.
        """
        return self.likelihood.observation

    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """One group, `vae`."""
        return {"vae": (self.config.optimiser, list(self.parameters()))}

    def posterior(self, x: Tensor) -> Gaussian:
        """Mean and log-variance of q(z|x), float32 N×L each, for observed x in 0…1."""
        mean, log_variance = self.encoder(self.likelihood.encoded(x)).float().chunk(2, dim=1)
        return mean, log_variance

    def begin(self, step: int) -> None:
        """Set the weight of the KL for this step: β, times what the warm-up says."""
        self._weight = self.config.beta * kl_weight(self.config.kl_warmup, step)

    def turns(self) -> tuple[Turn, ...]:
        """One descent a step."""
        return (Turn("vae"),)

    def loss(self, group: str, batch: Tensor, noise: Noise, *, fresh: bool) -> Loss:
        """The negative of the bound with β, mean over the batch, in nats.

        With `importance_samples` k above 1 it is −log (1/k) Σ w (Burda et al. 2016, equation 8),
        w = p(x|z)·(p(z)/q(z|x))^β.
        """
        x = self.likelihood.observe(batch, noise)
        k, width = self.config.importance_samples, self.latents.width
        if k == 1:
            reconstruction, kl, paid = self._terms(x, noise.normal(len(batch), width))
            loss = self._weight * paid - reconstruction
        else:
            epsilon = noise.normal(len(batch), k, width).transpose(0, 1)
            log_prob, log_ratio = self._weights(x, epsilon)
            weights = log_prob + self._weight * log_ratio
            loss = math.log(k) - weights.logsumexp(0).mean()
            reconstruction, kl = log_prob.mean(), -log_ratio.mean()
        return Loss(
            loss,
            {
                "loss": loss.detach(),
                "reconstruction": reconstruction.detach(),
                "kl": kl.detach(),
            },
        )

    def compile(self) -> None:
        """Translate the terms of the bound: networks and likelihood in one."""
        self._terms = torch.compile(self._terms, dynamic=False)  # type: ignore[method-assign]
        self._weights = torch.compile(self._weights, dynamic=False)  # type: ignore[method-assign]

    def health(self, data: Tensor, *, seed: int) -> dict[str, float]:
        """KL of each latent in nats, mean over at most 2,048 items, and how many are active.

        A latent whose KL is 0 says nothing about its item: the posterior has collapsed onto the
        prior there (Bowman et al. 2016). Latents of a second level follow those of the first.
        Pixels are binarised as for `elbo`, so that the KLs add up to its `kl` (but with a mixture
        for a prior, whose latents are not apart: each has the KL to its own marginal);
        `active_units` of an evaluation sees grey values, and may differ by one.
        """
        totals = torch.zeros(self.latents.width, dtype=torch.float64)
        means = []
        with evaluating(self):
            prior = self._prior()
            for count, _, q, noise in self._posteriors(data[:_MAX_ITEMS], seed):
                kl = self.latents.marginal_kl(q, self._first(q, noise), noise, prior)
                means.append(self.latents.means(q)[:count].cpu())
                totals += kl[:count].double().sum(0).cpu()
        found = torch.cat(means)
        signals = {"active_units": float(active(found))}
        for i, total in enumerate((totals / len(found)).tolist()):
            signals[f"kl.{i:03d}"] = total
        return signals

    def validation(self, data: Tensor, *, seed: int, batch_size: int) -> dict[str, float]:
        """Means over `data` in nats; `loss` is the negative of the bound, whatever β.

        The ELBO, or the importance-weighted bound with as many draws as in training.
        """
        bound = self.elbo(data, seed=seed, batch_size=batch_size)
        best, k = bound["elbo"], self.config.importance_samples
        if k > 1:
            best = self.importance_weighted(data, k=k, seed=seed, batch_size=batch_size)
        return {
            "loss": -float(best.mean()),
            "reconstruction": float(bound["reconstruction"].mean()),
            "kl": float(bound["kl"].mean()),
        }

    def elbo(self, data: Tensor, *, seed: int, batch_size: int = 256) -> dict[str, Tensor]:
        """Evidence lower bound of each item, with one draw of q an item.

        Args:
            data: uint8 N×C×H×W.
            seed: of the binarisation (once for all of `data`) and of the draws.
            batch_size: no influence on the result, see `genmint.models.blocks.ROWS`.

        Returns:
            float64 N in nats: `elbo` = `reconstruction` − `kl`.
        """
        parts: dict[str, list[Tensor]] = {"reconstruction": [], "kl": []}
        with evaluating(self):
            prior = self._prior()
            for count, x, q, noise in self._posteriors(data, seed):
                z = self._first(q, noise)
                log_prob = self.likelihood.log_prob(self.decoder(z).float(), x)
                kl = self.latents.kl(q, z, noise, prior).sum(1)
                parts["reconstruction"].append(log_prob[:count].double().cpu())
                parts["kl"].append(kl[:count].double().cpu())
        result = {name: torch.cat(values) for name, values in parts.items()}
        return {"elbo": result["reconstruction"] - result["kl"], **result}

    def importance_weighted(
        self, data: Tensor, *, k: int, seed: int, batch_size: int = 256
    ) -> Tensor:
        """Importance-weighted bound of each item (Burda et al. 2016): log (1/k) Σ p(x, z)/q(z|x).

        Args:
            data: uint8 N×C×H×W, binarised as `elbo` does for the same seed.
            k: draws an item; the bound tightens as it grows. Memory does not grow with it but for
                8 bytes an item and draw, of 64 items at a time.
            seed: of binarisation and draws.
            batch_size: no influence on the result.

        Returns:
            float64 N, nats.
        """
        bounds = []
        noise_of = seeded(seed, _NOISE)
        with evaluating(self):
            prior = self._prior()
            for rows, x in self._observed(data, seed):
                q = self.posterior(x)
                log_weights = []
                for noise in self._draws(k, len(x), noise_of):
                    log_prob, log_ratio = self._log_weights(x, q, noise.to(x.device), prior)
                    log_weights.append((log_prob + log_ratio).double())
                bound = torch.logsumexp(torch.cat(log_weights), dim=0) - math.log(k)
                bounds.append(bound[: rows.stop - rows.start].cpu())
        return torch.cat(bounds)

    def encode(self, data: Tensor, *, batch_size: int = 256) -> Tensor:
        """Posterior means, float32 N×L, of uint8 N×C×H×W; of a second level behind the first's.

        A binary model sees the grey values themselves, its expected pixels: nothing is drawn.
        """
        means = []
        with evaluating(self):
            for rows, block in in_blocks(data, self.device):
                mean = self.latents.means(self.posterior(block.to(torch.float32) / 255))
                means.append(mean[: rows.stop - rows.start].cpu())
        return torch.cat(means)

    def decode(self, z: Tensor) -> Tensor:
        """Decoder means, uint8 N×C×H×W, at latents float32 N×`latent` (of the first level)."""
        parts = []
        with evaluating(self):
            for rows, block in in_blocks(z, self.device):
                mean = self.likelihood.mean(self.decoder(block).float())
                parts.append(to_bytes(mean[: rows.stop - rows.start]).cpu())
        return torch.cat(parts)

    def reconstruct(self, data: Tensor) -> Tensor:
        """Decoder means at the posterior means of uint8 N×C×H×W, in the same form."""
        return self.decode(self.encode(data)[:, : self.config.latent])

    def active_units(self, data: Tensor, *, batch_size: int = 256) -> int:
        """Latent units whose posterior mean varies over `data` by more than 0.01 (Burda et al.)."""
        return active(self.encode(data, batch_size=batch_size))

    def sample(
        self, n: int, *, seed: int, batch_size: int = 256, length: int | None = None
    ) -> Tensor:
        """Decoder means for n draws of the prior; uint8 n×C×H×W. `length` has no meaning here."""
        parts = []
        with evaluating(self):
            prior = self._prior()
            for rows, draws in in_blocks(self.latents.draws(n, seed), self.device):
                z = self.latents.sample(draws, prior)
                mean = self.likelihood.mean(self.decoder(z).float())
                parts.append(to_bytes(mean[: rows.stop - rows.start]).cpu())
        return torch.cat(parts)

    def _prior(self) -> Prior:
        return self.latents.prior(self.posterior)

    def _first(self, q: Gaussian, noise: Tensor) -> Tensor:
        """A draw of the first level for `noise` of all levels."""
        return drawn(q, noise[..., : self.config.latent])

    def _terms(self, x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, KL, and what is paid for the KL; `epsilon` is N×`width` from N(0, I).

        All are means over observed x, in nats.
        """
        q = self.posterior(x)
        z = self._first(q, epsilon)
        reconstruction = self.likelihood.log_prob(self.decoder(z).float(), x).mean()
        of_latents = self.latents.kl(q, z, epsilon, self._prior())
        kl = of_latents.sum(1).mean()
        free = self.config.free_bits
        return reconstruction, kl, with_free_bits(of_latents, free) if free > 0 else kl

    def _weights(self, x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """Both parts of the log-weights of observed x, k×N each, for k draws of noise."""
        return self._log_weights(x, self.posterior(x), epsilon, self._prior())

    def _draws(self, k: int, items: int, noise_of: torch.Generator) -> Iterator[Tensor]:
        """Noise for k draws of B items, some (D×B×`width`) at a time, as memory is spared for.

        Each draw is taken by itself, so the noise does not depend on how many go together.
        """
        shape = (items, self.latents.width)
        channels, height, width = self.spec.shape
        outputs = self.likelihood.outputs(channels) * height * width
        pixels = 1 if self.config.network == "mlp" else height * width
        mixture = self.latents.components * self.latents.width
        widest = max(outputs, pixels * max(self.config.hidden), mixture)
        together = max(1, min(_DRAWS, _VALUES // (items * widest)))
        for start in range(0, k, together):
            count = min(together, k - start)
            yield torch.stack([torch.randn(shape, generator=noise_of) for _ in range(count)])

    def _log_weights(
        self, x: Tensor, q: Gaussian, noise: Tensor, prior: Prior
    ) -> tuple[Tensor, Tensor]:
        """Both parts of the log-weights, log p(x|z) and log p(z)/q(z|x), D×B each.

        Of observed x, B×C×H×W, for D×B×`width` draws of noise.
        """
        draws, items = noise.shape[:2]
        z = self._first(q, noise)
        repeated = x.expand(draws, *x.shape).flatten(0, 1)
        log_prob = self.likelihood.log_prob(self.decoder(z.flatten(0, 1)).float(), repeated)
        return log_prob.view(draws, items), self.latents.log_ratio(q, z, noise, prior)

    def _posteriors(
        self, data: Tensor, seed: int
    ) -> Iterator[tuple[int, Tensor, Gaussian, Tensor]]:
        """Blocks of `data`: how many rows count, observed x, q(z1|x), noise of a draw by seed."""
        noise_of = seeded(seed, _NOISE)
        for rows, x in self._observed(data, seed):
            noise = torch.randn((len(x), self.latents.width), generator=noise_of).to(x.device)
            yield rows.stop - rows.start, x, self.posterior(x), noise

    def _observed(self, data: Tensor, seed: int) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of `data` as the likelihood sees them, binarised once by seed."""
        binary = self.observation == "binary"
        for rows, block in in_blocks(binarise(data, seed) if binary else data, self.device):
            yield rows, block.to(torch.float32) / (1 if binary else 255)
