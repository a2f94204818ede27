"""Training and evaluation of a VAE by bounds on the log-likelihood, for any of its networks."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from genmint.config import Optimiser, VAEConfig
from genmint.data.views.binarise import binarise
from genmint.data.views.spec import DataSpec, Observation
from genmint.models.shared.abilities import Encoder
from genmint.models.shared.blocks import in_labelled_blocks, seeded, to_bytes
from genmint.models.shared.conditioning import classes_of
from genmint.models.shared.family import Likelihoods, Loss, OptimizerPhase, evaluating
from genmint.models.shared.noise import Noise
from genmint.models.vae.latents import kl_weight, with_free_bits
from genmint.models.vae.likelihoods import likelihood_of

# Purpose of a seed: noise of the posterior, independent of the draws of the prior.
_NOISE = 2

# Maximum number of held-out items for the health signals.
MAX_ITEMS = 2048

# By device: maximum number of posterior draws per decoder pass, and maximum number of values in
# its widest layer for them. A CPU gains nothing beyond 16 draws and 32 MB. A GPU idles between
# passes, so it gets up to 8 GB.
TOGETHER = {"cpu": (16, 8_000_000), "cuda": (512, 2_000_000_000)}


class VariationalModel(Encoder):
    """A model p(x, z) with an approximate posterior q(z|x), trained by a bound on log p(x).

    A subclass has the networks: it gives log p(x|z) and log p(z)/q(z|x) for draws from q.

    Attributes:
        likelihood: p(x|z).
        noise_width: values of N(0, 1) that one draw of all latents takes.
    """

    # Posterior means lie close together, so linear interpolation is suitable.
    on_a_sphere = False
    config: VAEConfig
    noise_width: int

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.likelihood = likelihood_of(config, spec.shape[0])
        self.classes = classes_of(config, spec)
        self.begin(0)

    @abc.abstractmethod
    def _inferred(self, x: Tensor, labels: Tensor | None) -> Any:
        """What the encoder computes of observed x, B×C×H×W; draws from q need nothing else of x."""

    @abc.abstractmethod
    def _scored(
        self, x: Tensor, labels: Tensor | None, q: Any, noise: Tensor, prior: Any
    ) -> tuple[Tensor, Tensor]:
        """One draw of q for `noise`, B×`noise_width`: log p(x|z), B, and the KL, B×terms; nats.

        `q` is the result of `_inferred` for x, `prior` that of `_prior`.
        """

    @abc.abstractmethod
    def _log_weights(
        self, x: Tensor, labels: Tensor | None, q: Any, noise: Tensor, prior: Any
    ) -> tuple[Tensor, Tensor]:
        """Both parts of the log-weights, log p(x|z) and log p(z)/q(z|x), D×B each.

        x is observed, B×C×H×W; `noise` holds D×B×`noise_width` draws.
        """

    @abc.abstractmethod
    def _decoded(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Parameters of p(x|z), float32 B×outputs×H×W, for latents B×`latent` on the device."""

    @abc.abstractmethod
    def _widest(self) -> int:
        """Number of values of an item in the widest layer of a draw."""

    def _prior(self) -> Any:
        """What the prior needs for all items, computed once."""
        return None

    @property
    def observation(self) -> Observation:
        """Kind of pixel value: binary or 8-bit. Only ELBOs of the same kind are comparable.

        A binary pixel and an 8-bit pixel are different random variables.
        """
        return self.likelihood.observation

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Means of p(x|z), uint8 N×C×H×W, for latents, float32 N×`latent`.

        With a second level they are the latents of the first. Those of a hierarchy are
        standardised.
        """
        parts = []
        with evaluating(self):
            for rows, block, of in in_labelled_blocks(z, labels, self.device, self.pass_rows):
                parts.append(self._shown(block, of)[: rows.stop - rows.start].cpu())
        return torch.cat(parts)

    def _shown(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Means of p(x|z), uint8 B×C×H×W, for latents on the device."""
        return to_bytes(self.likelihood.mean(self._decoded(z, labels)))

    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """One group, `vae`."""
        return {"vae": (self.config.optimiser, list(self.parameters()))}

    def begin(self, step: int) -> None:
        """Set the KL weight of this step: β times the warm-up weight."""
        self._weight = self.config.beta * kl_weight(self.config.kl_warmup, step)

    def phases(self) -> tuple[OptimizerPhase, ...]:
        """One optimizer phase per step."""
        return (OptimizerPhase("vae"),)

    def loss(
        self, group: str, batch: Tensor, noise: Noise, *, fresh: bool, labels: Tensor | None = None
    ) -> Loss:
        """Negative bound with KL weight β, mean over the batch, in nats.

        With `importance_samples` k above 1 it is −log (1/k) Σ w (Burda et al. 2016, equation 8),
        w = p(x|z)·(p(z)/q(z|x))^β.
        """
        x = self.likelihood.observe(batch, noise)
        k, width = self.config.importance_samples, self.noise_width
        if k == 1:
            reconstruction, kl, paid = self._terms(x, noise.normal(len(batch), width), labels)
            loss = self._weight * paid - reconstruction
        else:
            epsilon = noise.normal(len(batch), k, width).transpose(0, 1)
            log_prob, log_ratio = self._weights(x, epsilon, labels)
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
        """Compile the terms of the bound: networks and likelihood together."""
        self._terms = torch.compile(self._terms, dynamic=False)  # type: ignore[method-assign]
        self._weights = torch.compile(self._weights, dynamic=False)  # type: ignore[method-assign]

    def validation(
        self, data: Tensor, *, seed: int, batch_size: int, labels: Tensor | None = None
    ) -> dict[str, float]:
        """Means over `data` in nats; `loss` is the negative bound with β = 1.

        The bound is the ELBO, or the importance-weighted bound with as many draws as in training.
        """
        bound = self.elbo(data, seed=seed, batch_size=batch_size, labels=labels)
        best, k = bound["elbo"], self.config.importance_samples
        if k > 1:
            best = self.importance_weighted(
                data, k=k, seed=seed, batch_size=batch_size, labels=labels
            )
        return {
            "loss": -float(best.mean()),
            "reconstruction": float(bound["reconstruction"].mean()),
            "kl": float(bound["kl"].mean()),
        }

    @abc.abstractmethod
    def active_units(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> int:
        """Number of units of the latents that vary over `data` (Burda et al. 2016)."""

    def likelihoods(
        self,
        data: Tensor,
        *,
        seed: int,
        draws: int,
        batch_size: int,
        labels: Tensor | None = None,
    ) -> Likelihoods:
        """The ELBO, the importance-weighted bound of k = `draws`, and `active_units`."""
        how: dict[str, Any] = {"batch_size": batch_size, "labels": labels}
        elbo = self.elbo(data, seed=seed, **how)["elbo"]
        bound = self.importance_weighted(data, k=draws, seed=seed, **how)
        items = {"elbo": elbo, "importance_weighted_bound": bound}
        return Likelihoods(
            items, tuple(items), {"active_units": float(self.active_units(data, **how))}
        )

    def elbo(
        self, data: Tensor, *, seed: int, batch_size: int = 256, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Evidence lower bound of each item, with one draw of q per item.

        Args:
            data: uint8 N×C×H×W.
            seed: of the binarisation (once for all of `data`) and of the draws.
            batch_size: does not affect the result, see `genmint.models.shared.blocks.ROWS`.
            labels: int64 N, for a conditional model; the bound is then on log p(x|y).

        Returns:
            float64 N in nats: `elbo` = `reconstruction` − `kl`.
        """
        parts: dict[str, list[Tensor]] = {"reconstruction": [], "kl": []}
        with evaluating(self):
            prior = self._prior()
            for count, x, of, q, noise in self._posteriors(data, seed, labels):
                log_prob, kl = self._scored(x, of, q, noise, prior)
                parts["reconstruction"].append(log_prob[:count].double().cpu())
                parts["kl"].append(kl.sum(1)[:count].double().cpu())
        result = {name: torch.cat(values) for name, values in parts.items()}
        return {"elbo": result["reconstruction"] - result["kl"], **result}

    def importance_weighted(
        self,
        data: Tensor,
        *,
        k: int,
        seed: int,
        batch_size: int = 256,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Importance-weighted bound of each item (Burda et al. 2016): log (1/k) Σ p(x, z)/q(z|x).

        Args:
            data: uint8 N×C×H×W, binarised as by `elbo` for the same seed.
            k: draws per item; the bound tightens with k. Memory grows with k only by 8 bytes per
                item and draw, for 64 items at a time.
            seed: of binarisation and draws.
            batch_size: does not affect the result.
            labels: int64 N, for a conditional model.

        Returns:
            float64 N, nats.
        """
        bounds = []
        noise_of = seeded(seed, _NOISE)
        with evaluating(self):
            prior = self._prior()
            for rows, x, of in self._observed(data, seed, labels):
                q = self._inferred(x, of)
                log_weights = []
                for noise in self._draws(k, len(x), noise_of):
                    log_prob, log_ratio = self._log_weights(x, of, q, noise.to(x.device), prior)
                    log_weights.append((log_prob + log_ratio).double())
                bound = torch.logsumexp(torch.cat(log_weights), dim=0) - math.log(k)
                bounds.append(bound[: rows.stop - rows.start].cpu())
        return torch.cat(bounds)

    def _terms(
        self, x: Tensor, epsilon: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, KL, and penalised KL; `epsilon` is N×`noise_width` from N(0, I).

        All are means over observed x, in nats.
        """
        q = self._inferred(x, labels)
        log_prob, of_latents = self._scored(x, labels, q, epsilon, self._prior())
        kl = of_latents.sum(1).mean()
        free = self.config.free_bits
        return log_prob.mean(), kl, with_free_bits(of_latents, free) if free > 0 else kl

    def _weights(self, x: Tensor, epsilon: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both parts of the log-weights of observed x, k×N each, for k draws of noise."""
        q = self._inferred(x, labels)
        return self._log_weights(x, labels, q, epsilon, self._prior())

    def _draws(self, k: int, items: int, noise_of: torch.Generator) -> Iterator[Tensor]:
        """Noise for k draws of B items, in parts D×B×`noise_width` that fit the memory limit.

        Each draw is generated separately, so that the noise does not depend on the size of the
        parts.
        """
        shape = (items, self.noise_width)
        most, values = TOGETHER.get(self.device.type, TOGETHER["cpu"])
        together = max(1, min(most, values // (items * self._widest())))
        for start in range(0, k, together):
            count = min(together, k - start)
            yield torch.stack([torch.randn(shape, generator=noise_of) for _ in range(count)])

    def _posteriors(
        self, data: Tensor, seed: int, labels: Tensor | None
    ) -> Iterator[tuple[int, Tensor, Tensor | None, Any, Tensor]]:
        """Iterate over `data`: number of valid rows, observed x, labels, `_inferred`, noise."""
        noise_of = seeded(seed, _NOISE)
        for rows, x, of in self._observed(data, seed, labels):
            noise = torch.randn((len(x), self.noise_width), generator=noise_of).to(x.device)
            yield rows.stop - rows.start, x, of, self._inferred(x, of), noise

    def _observed(
        self, data: Tensor, seed: int, labels: Tensor | None
    ) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
        """Iterate over `data` as the likelihood sees it, binarised once by seed; with labels."""
        binary = self.observation == "binary"
        data = binarise(data, seed) if binary else data
        for rows, block, of in in_labelled_blocks(data, labels, self.device, self.pass_rows):
            yield rows, block.to(torch.float32) / (1 if binary else 255), of
