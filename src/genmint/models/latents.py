"""Latent variables: their posteriors and priors, and how far one is from the other."""

from __future__ import annotations

from torch import Tensor

# Burda et al. 2016, appendix: a unit is active if the variance of its posterior mean exceeds this.
_ACTIVE_VARIANCE = 0.01


def kl_per_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of each latent to N(0, 1) in nats, N×L (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)) in nats; N×L each to N."""
    return kl_per_latent(mean, log_variance).sum(1)


def active(means: Tensor) -> int:
    """How many latents have a posterior mean (N×L) that varies over the items (Burda et al.)."""
    return int((means.double().var(dim=0, correction=0) > _ACTIVE_VARIANCE).sum())
