"""What a pixel is: the distribution of a grid, given what the decoder says of it."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from genmint.models.noise import Noise

# exp(−7) of the range −1…1 is an eighth of a grey level: narrower, a pixel that never varies would
# draw the scale towards zero for ever.
_MIN_LOG_SCALE = -7.0


class Bernoulli:
    """Pixels that are on or off, on with the probability that their grey value says.

    Dynamic binarisation (Salakhutdinov and Murray 2008): every call of `observe` draws anew.
    """

    observation: ClassVar[Literal["binary", "8bit"]] = "binary"
    parameters_per_value: ClassVar[int] = 1

    def observe(self, pixels: Tensor, noise: Noise) -> Tensor:
        """uint8 N×C×H×W to float32 zeros and ones."""
        level = noise.uniform(*pixels.shape).to(pixels.device)
        return (level * 255 < pixels).to(torch.float32)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-probability in nats of x (0 or 1, N×C×H×W) under logits of that shape; N."""
        per_pixel = functional.binary_cross_entropy_with_logits(parameters, x, reduction="none")
        return -per_pixel.flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Expected value, 0…1, N×C×H×W."""
        return parameters.sigmoid()

    def encoded(self, x: Tensor) -> Tensor:
        """What the encoder sees: the pixels as they are.

        Most are 0. Shifted to −1 they would all push at once, and many latent units never wake:
        on MNIST the bound was 22 nats worse after 1,200 steps.
        """
        return x


class DiscretisedLogistic:
    """A logistic distribution cut into 256 levels (Kingma et al. 2016, Salimans et al. 2017).

    The levels lie at −1…1, 2/255 apart; the outermost two take the tails, so that the 256
    probabilities sum to one.
    """

    observation: ClassVar[Literal["binary", "8bit"]] = "8bit"
    parameters_per_value: ClassVar[int] = 2

    def observe(self, pixels: Tensor, noise: Noise) -> Tensor:
        """uint8 N×C×H×W to float32 0…1; nothing is drawn."""
        return pixels.to(torch.float32) / 255

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-probability in nats of x (0…1 in steps of 1/255, N×C×H×W); N.

        `parameters` is N×2C×H×W: means (−1…1), then logarithms of the scale.
        """
        mean, log_scale = parameters.chunk(2, dim=1)
        inverse = torch.exp(-log_scale.clamp_min(_MIN_LOG_SCALE))
        centre = 2 * x - 1 - mean
        upper = inverse * (centre + 1 / 255)
        lower = inverse * (centre - 1 / 255)
        below_upper = functional.logsigmoid(upper)
        above_lower = functional.logsigmoid(-lower)
        # σ(a) − σ(b) = σ(a)·σ(−b)·(1 − exp(b − a)): exact where the plain difference cancels.
        inside = below_upper + above_lower + torch.log(-torch.expm1(-inverse * (2 / 255)))
        lowest, highest = x < 0.5 / 255, x > 254.5 / 255
        per_value = torch.where(lowest, below_upper, torch.where(highest, above_lower, inside))
        return per_value.flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Centre of the distribution, cut to 0…1, N×C×H×W."""
        return (parameters.chunk(2, dim=1)[0] * 0.5 + 0.5).clamp(0, 1)

    def encoded(self, x: Tensor) -> Tensor:
        """What the encoder sees: −1…1."""
        return 2 * x - 1


Likelihood = Bernoulli | DiscretisedLogistic
LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "discretised-logistic": DiscretisedLogistic,
}
