"""Random weights: adaptive weight noise, and dropout on recurrent weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from genmint.models.shared.noise import Noise


class Posterior(nn.Module):
    """Diagonal Gaussian posterior over the weights: the mean is the weight, the variance is learnt.

    Graves 2011 ("Practical Variational Inference for Neural Networks", section 5.2, diagonal
    Gaussian posterior), used by Graves 2013 as adaptive weight noise. The loss is the expected loss
    under the noise plus the description length of the weights, KL(posterior ‖ prior) / size of the
    training set. Gradients of the variances are computed by reparameterisation (Blundell et al.
    2015), not from squared gradients as in the paper. `log_sigma` is float32, one number per
    weight.
    """

    def __init__(self, means: Mapping[str, Tensor], sigma: float) -> None:
        """Initialise all standard deviations to `sigma`."""
        super().__init__()
        count = sum(mean.numel() for mean in means.values())
        self.log_sigma = nn.Parameter(torch.full((count,), math.log(sigma)))

    def draw(self, means: Mapping[str, Tensor], noise: Noise) -> dict[str, Tensor]:
        """Draw all weights once, equal in every process; same names and shapes as `means`."""
        drawn = noise.shared_normal(len(self.log_sigma)) * self.log_sigma.exp()
        pieces = drawn.split([mean.numel() for mean in means.values()])
        return {
            name: mean + piece.view_as(mean)
            for (name, mean), piece in zip(means.items(), pieces, strict=True)
        }

    def complexity(self, means: Mapping[str, Tensor]) -> Tensor:
        """KL(posterior ‖ prior) in nats, scalar.

        The prior is one Gaussian for all weights, with the mean and variance that minimise the KL.
        The optimal mean is the mean of the posterior means. The optimal variance is the average of
        the squared distances from it plus the variances.
        """
        mean = torch.cat([mean.flatten() for mean in means.values()])
        variance = (2 * self.log_sigma).exp()
        squared = (mean - mean.mean()).square() + variance
        # With that prior the quadratic and constant terms of the divergence cancel.
        return 0.5 * len(mean) * squared.mean().log() - self.log_sigma.sum()


def dropped(weights: Mapping[str, Tensor], share: float, noise: Noise) -> dict[str, Tensor]:
    """Dropout on single weights, with the others scaled up; equal in every process.

    DropConnect on the hidden-to-hidden weights of a recurrent layer (Merity et al. 2018, section
    2). One draw holds for all steps and rows of a batch, so that the fused kernels of a layer can
    be used.
    """
    keep = 1 - share
    return {
        name: weight * noise.shared_bernoulli(keep, *weight.shape).div_(keep)
        for name, weight in weights.items()
    }


@contextlib.contextmanager
def in_place_of(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Temporarily replace the parameters of `model` by `weights` of the same names.

    The replacement is visible to all threads. torch.func.functional_call would replace and restore
    the parameters in each thread while other threads compute.
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
