"""Likelihoods p(x|z): distributions of the pixels of a grid, given the decoder's output."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from genmint.config import VAEConfig
from genmint.data.views.spec import Observation
from genmint.models.shared.noise import Noise

# exp(−7) of the range −1…1 is an eighth of a grey level. Without this bound, the scale of a pixel
# that never varies would decrease towards zero without limit.
_MIN_LOG_SCALE = -7.0

# Beyond exp(88) the inverse of the scale is 0 in float32, and the gradient of its logistic NaN. An
# unused component of a mixture may get there.
_MAX_LOGISTIC_LOG_SCALE = 30.0

# Beyond exp(4) the differences between levels are below the resolution of float32.
_MAX_LOG_SCALE = 4.0


class Bernoulli:
    """Binary pixels that are on with a probability equal to their grey value.

    Dynamic binarisation (Salakhutdinov and Murray 2008): every call of `observe` draws new values.
    """

    observation: ClassVar[Observation] = "binary"

    def outputs(self, channels: int) -> int:
        """Decoder outputs per pixel: one logit per channel."""
        return channels

    def observe(self, pixels: Tensor, noise: Noise) -> Tensor:
        """Binarise uint8 N×C×H×W; float32 zeros and ones."""
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
        """Input of the encoder: the pixels unchanged.

        Most pixels are 0. If they were shifted to −1, all of them would contribute to every unit,
        and many latent units would stay inactive. On MNIST the bound was 22 nats worse after 1,200
        steps.
        """
        return x


class DiscretisedLogistic:
    """Logistic distribution discretised to 256 levels (Kingma et al. 2016, Salimans et al. 2017).

    The levels lie in −1…1 at a distance of 2/255. The outermost two include the tails, so that the
    256 probabilities sum to one.
    """

    observation: ClassVar[Observation] = "8bit"

    def outputs(self, channels: int) -> int:
        """Decoder outputs per pixel: centres, then logarithms of the scale."""
        return 2 * channels

    def observe(self, pixels: Tensor, noise: Noise) -> Tensor:
        """Convert uint8 N×C×H×W to float32 0…1; nothing is drawn."""
        return pixels.to(torch.float32) / 255

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-probability in nats of x (0…1 in steps of 1/255, N×C×H×W); N.

        `parameters` is N×2C×H×W: means (−1…1), then logarithms of the scale.
        """
        mean, log_scale = parameters.chunk(2, dim=1)
        return log_logistic(x, mean, log_scale).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Centre of the distribution, clipped to 0…1, N×C×H×W."""
        return (parameters.chunk(2, dim=1)[0] * 0.5 + 0.5).clamp(0, 1)

    def encoded(self, x: Tensor) -> Tensor:
        """Input of the encoder: pixels scaled to −1…1."""
        return 2 * x - 1


class DiscretisedGaussian(DiscretisedLogistic):
    """Normal distribution with learnt variance, discretised to the same 256 levels.

    Like the logistic one it is a probability, not a density, so that their bounds are comparable.
    """

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-probability in nats of x (0…1 in steps of 1/255, N×C×H×W); N.

        `parameters` is N×2C×H×W: means (−1…1), then logarithms of the standard deviation.
        """
        mean, log_scale = parameters.chunk(2, dim=1)
        return log_gaussian(x, mean, log_scale).flatten(1).sum(1)


class DiscretisedLogisticMixture(DiscretisedLogistic):
    """Mixture of discretised logistic distributions.

    Salimans et al. 2017, PixelCNN++, section 2.1. Its components are distributions of whole pixels.
    Within a component, the centre of a channel depends linearly on the channels before it (section
    2.2).
    """

    def __init__(self, channels: int, mixtures: int) -> None:
        self.channels = channels
        self.mixtures = mixtures

    def outputs(self, channels: int) -> int:
        """Decoder outputs per pixel: logits, then the parameters of each component."""
        return self.mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log-probability in nats of x (0…1 in steps of 1/255, N×C×H×W); N.

        `parameters` is N×`outputs`×H×W: K logits, then for each of K components C centres, C
        logarithms of the scale and C·(C − 1)/2 linear coefficients, before tanh.
        """
        logits, centre, log_scale, slopes = self._components(parameters)
        seen = (2 * x - 1).unsqueeze(1).expand_as(centre)
        centres = [centre[:, :, 0]]
        for channel in range(1, self.channels):
            centres.append(self._moved(channel, centre, slopes, seen))
        of_values = log_logistic(x.unsqueeze(1), torch.stack(centres, dim=2), log_scale)
        of_pixels = logits.log_softmax(1) + of_values.sum(2)
        return of_pixels.logsumexp(1).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Expected value, with component centres clipped to the range; 0…1, N×C×H×W."""
        logits, centre, _, slopes = self._components(parameters)
        channels = centre[:, :, :1].clamp(-1, 1)
        for channel in range(1, self.channels):
            moved = self._moved(channel, centre, slopes, channels).clamp(-1, 1)
            channels = torch.cat([channels, moved.unsqueeze(2)], dim=2)
        return (logits.softmax(1).unsqueeze(2) * channels).sum(1) * 0.5 + 0.5

    def _components(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits N×K×H×W; centres, log-scales and linear coefficients N×K×…×H×W."""
        logits, rest = parameters.tensor_split([self.mixtures], dim=1)
        of_components = rest.unflatten(1, (self.mixtures, -1))
        ends = [self.channels, 2 * self.channels]
        centre, log_scale, slopes = of_components.tensor_split(ends, dim=2)
        return logits, centre, log_scale, slopes.tanh()

    def _moved(self, channel: int, centre: Tensor, slopes: Tensor, seen: Tensor) -> Tensor:
        """Centres of a channel, N×K×H×W, given the values `seen` of the channels before it."""
        first = channel * (channel - 1) // 2
        of_channel = slopes[:, :, first : first + channel]
        return centre[:, :, channel] + (of_channel * seen[:, :, :channel]).sum(2)


def log_logistic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability in nats of every value x, 0…1 in steps of 1/255; mean in −1…1."""
    inverse = torch.exp(-log_scale.clamp(_MIN_LOG_SCALE, _MAX_LOGISTIC_LOG_SCALE))
    centre = 2 * x - 1 - mean
    upper = inverse * (centre + 1 / 255)
    lower = inverse * (centre - 1 / 255)
    below_upper = functional.logsigmoid(upper)
    above_lower = functional.logsigmoid(-lower)
    # σ(a) − σ(b) = σ(a)·σ(−b)·(1 − exp(b − a)) avoids the cancellation of the plain difference.
    inside = below_upper + above_lower + torch.log(-torch.expm1(-inverse * (2 / 255)))
    return _with_tails(x, below_upper, inside, above_lower)


def log_gaussian(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability in nats of every value x, 0…1 in steps of 1/255; mean in −1…1."""
    inverse = torch.exp(-log_scale.clamp(_MIN_LOG_SCALE, _MAX_LOG_SCALE))
    centre = 2 * x - 1 - mean
    below_upper = torch.special.log_ndtr(inverse * (centre + 1 / 255))
    above_lower = torch.special.log_ndtr(-inverse * (centre - 1 / 255))
    # By symmetry both ends are taken in the lower tail, where log Φ is accurate.
    far = centre.abs()
    outer = torch.special.log_ndtr(-inverse * (far + 1 / 255))
    inner = torch.special.log_ndtr(-inverse * (far - 1 / 255))
    inside = inner + torch.log(-torch.expm1(outer - inner))
    return _with_tails(x, below_upper, inside, above_lower)


def _with_tails(x: Tensor, lowest: Tensor, inside: Tensor, highest: Tensor) -> Tensor:
    """Add the tails to the outermost levels."""
    return torch.where(x < 0.5 / 255, lowest, torch.where(x > 254.5 / 255, highest, inside))


Likelihood = Bernoulli | DiscretisedLogistic


def likelihood_of(config: VAEConfig, channels: int) -> Likelihood:
    """Likelihood named by `config.likelihood`, for pixels with `channels` channels."""
    match config.likelihood:
        case "bernoulli":
            return Bernoulli()
        case "discretised-logistic":
            return DiscretisedLogistic()
        case "gaussian":
            return DiscretisedGaussian()
        case "discretised-logistic-mixture":
            return DiscretisedLogisticMixture(channels, config.mixtures)
