"""Latent variables: their posteriors and priors, and how far one is from the other."""

from __future__ import annotations

from torch import Tensor

from genmint.config.models import KLWarmup

# Burda et al. 2016, appendix: a unit is active if the variance of its posterior mean exceeds this.
_ACTIVE_VARIANCE = 0.01


def kl_per_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of each latent to N(0, 1) in nats, N×L (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)) in nats; N×L each to N."""
    return kl_per_latent(mean, log_variance).sum(1)


def kl_weight(warmup: KLWarmup | None, step: int) -> float:
    """What the KL is multiplied by in training step `step`, counted from 0; 0…1.

    The decoder learns to use the latents before they cost anything. Linear: one rise from 0 to 1
    (Bowman et al. 2016, section 3.1). Cyclical: `cycles` times in a row, each a rise over its share
    `ramp` and then 1 (Fu et al. 2019, section 3.2). 1 after the last.
    """
    if warmup is None or step >= warmup.steps:
        return 1.0
    done = step * warmup.cycles % warmup.steps / warmup.steps
    return min(1.0, done / warmup.ramp)


def with_free_bits(kl: Tensor, free: float) -> Tensor:
    """Σ_j max(free, mean over the batch of KL_j), in nats; `kl` is N×L.

    A latent that says less than `free` nats pays no less for it, so that nothing pushes it down to
    0 (Kingma et al. 2016, appendix C.8). Each of several processes takes the mean of its own rows.
    """
    return kl.mean(0).clamp_min(free).sum()


def active(means: Tensor) -> int:
    """How many latents have a posterior mean (N×L) that varies over the items (Burda et al.)."""
    return int((means.double().var(dim=0, correction=0) > _ACTIVE_VARIANCE).sum())
