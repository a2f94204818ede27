"""Weights as random variables: adaptive noise on all of them, and dropped recurrent ones."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from genmint.models.noise import Noise


class Posterior(nn.Module):
    """A Gaussian over every weight: its mean is the weight, its variance is learnt.

    Graves 2011 ("Practical Variational Inference for Neural Networks", section 5.2, diagonal
    Gaussian posterior), used by Graves 2013 as adaptive weight noise: descends the expected loss
    under the noise plus what the weights cost to tell, KL(posterior ‖ prior) / size of the training
    set. Gradients of the variances come through the draw itself (Blundell et al. 2015), not from
    squared gradients as in the paper. `log_sigma`, float32, has one number a weight.
    """

    def __init__(self, means: Mapping[str, Tensor], sigma: float) -> None:
        """Begin with the standard deviation `sigma` everywhere."""
        super().__init__()
        count = sum(mean.numel() for mean in means.values())
        self.log_sigma = nn.Parameter(torch.full((count,), math.log(sigma)))

    def draw(self, means: Mapping[str, Tensor], noise: Noise) -> dict[str, Tensor]:
        """Draw all weights once, the same in every process; same names and shapes."""
        drawn = noise.shared_normal(len(self.log_sigma)) * self.log_sigma.exp()
        pieces = drawn.split([mean.numel() for mean in means.values()])
        return {
            name: mean + piece.view_as(mean)
            for (name, mean), piece in zip(means.items(), pieces, strict=True)
        }

    def complexity(self, means: Mapping[str, Tensor]) -> Tensor:
        """KL(posterior ‖ prior) in nats, scalar.

        The prior is one Gaussian for all weights, with the mean and variance that make the cost
        least: the mean of the means, and of the squared distances from it plus the variances.
        """
        mean = torch.cat([mean.flatten() for mean in means.values()])
        variance = (2 * self.log_sigma).exp()
        squared = (mean - mean.mean()).square() + variance
        # With that prior the quadratic terms of the divergence sum to nothing.
        return 0.5 * len(mean) * squared.mean().log() - self.log_sigma.sum()


def dropped(weights: Mapping[str, Tensor], share: float, noise: Noise) -> dict[str, Tensor]:
    """Drop a share of the single weights, and scale up the others; the same in every process.

    DropConnect on the hidden-to-hidden weights of a recurrent layer (Merity et al. 2018, section
    2): one draw for all steps and rows of a batch, so that a layer's fast kernels still serve.
    """
    keep = 1 - share
    return {
        name: weight * noise.shared_bernoulli(keep, *weight.shape).div_(keep)
        for name, weight in weights.items()
    }


@contextlib.contextmanager
def in_place_of(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Let `model` compute with `weights` in the place of the parameters of those names.

    In all threads at once, unlike torch.func.functional_call, which each thread would do and undo
    for itself while others compute.
    """
    places = [(model.get_submodule(n.rpartition(".")[0]), n.rpartition(".")[2]) for n in weights]
    kept = [module._parameters[name] for module, name in places]
    try:
        for (module, name), weight in zip(places, weights.values(), strict=True):
            module._parameters[name] = weight  # type: ignore[assignment]
        yield
    finally:
        for (module, name), parameter in zip(places, kept, strict=True):
            module._parameters[name] = parameter
