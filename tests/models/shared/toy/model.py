"""Every pixel by itself: a logistic distribution, cut at the 256 levels, whose tails are level 0
and level 255."""

import torch
from torch import nn

from genmint.models.shared.blocks import seeded
from genmint.models.shared.family import Family, Likelihoods, Loss, OptimizerPhase, evaluating

_DRAWS = 90
# Beyond all levels, yet finite: infinity has no gradient.
_FAR = 1e5


class Toy(Family):
    """A mean and a scale for each value of an item, float32 C×H×W each, in levels."""

    observation = "8bit"

    def __init__(self, config, spec):
        super().__init__()
        self.config, self.spec, self.classes = config, spec, None
        self.unit = nn.Parameter(torch.randn(spec.shape) / 100)
        self.log_scale = nn.Parameter(torch.full(spec.shape, 3.0))

    @property
    def mean(self):
        return 127.5 + 100 * self.unit

    def optimisers(self):
        return {"toy": (self.config.optimiser, list(self.parameters()))}

    def phases(self):
        return (OptimizerPhase("toy"),)

    def log_prob(self, data):
        """Nats of uint8 N×C×H×W, float N."""
        x, scale = data.float(), self.log_scale.exp()
        above = torch.where(x == 255, _FAR, x + 0.5 - self.mean) / scale
        below = torch.where(x == 0, -_FAR, x - 0.5 - self.mean) / scale
        shares = above.sigmoid() - below.sigmoid()
        return shares.clamp_min(1e-9).log().flatten(1).sum(1)

    def loss(self, group, batch, noise, *, fresh, labels=None):
        value = -self.log_prob(batch).mean()
        return Loss(value, {"loss": value.detach()})

    def health(self, data, *, seed, labels=None):
        return {"scale": float(self.log_scale.detach().exp().mean())}

    def validation(self, data, *, seed, batch_size, labels=None):
        with evaluating(self):
            return {"loss": -float(self.log_prob(data.to(self.device)).mean())}

    def likelihoods(self, data, *, seed, draws, batch_size, labels=None):
        with evaluating(self):
            return Likelihoods(
                {"log_likelihood": self.log_prob(data.to(self.device)).double().cpu()}
            )

    def sample(self, n, *, seed, batch_size=256, length=None, labels=None):
        level = torch.rand(n, *self.spec.shape, generator=seeded(seed, _DRAWS)).clamp(
            1e-6, 1 - 1e-6
        )
        with evaluating(self):
            drawn = self.mean + self.log_scale.exp() * level.to(self.device).logit()
            return drawn.round().clamp(0, 255).to(torch.uint8).cpu()
