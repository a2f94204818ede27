"""Networks of a hierarchical VAE: groups of latents at several resolutions, each given those above.

The architecture is that of Child 2021 (VDVAE), with the standard deviations of Hazami et
al. 2022 (Efficient-VDVAE). A bottom-up network computes features of an item at every resolution. A
top-down network draws the groups from the coarsest to the finest: p(z_g|z_<g) from its own state,
q(z_g|z_<g, x) from its state and the features. Both share all else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config.models import Hierarchy
from genmint.models.shared.networks import activation, halvings

# Without a floor a standard deviation of p near 0 makes the KL of a single latent arbitrarily
# large. The scale of latents is free, so a floor this low costs nothing.
_MIN_DEVIATION = 1e-3

# log 2 as slope makes softplus(0) / slope = 1, so that p and q start near N(0, I).
_SLOPE = math.log(2)

# Largest side with a learnt start per position, as in the code of Child 2021; above it the
# parameters would outnumber those of the network.
_LARGEST_START = 64


class Deviates(NamedTuple):
    """Normal distributions with independent values, N×C×h×w, float32.

    Attributes:
        mean: means.
        deviation: standard deviations.
    """

    mean: Tensor
    deviation: Tensor


class GroupDraw(NamedTuple):
    """Latents of one group, with the distributions that they come from.

    Attributes:
        z: drawn latents, float32 N×C×h×w.
        prior: p(z_g|z_<g).
        posterior: q(z_g|z_<g, x); None for a draw from the prior.
    """

    z: Tensor
    prior: Deviates
    posterior: Deviates | None

    def kl(self) -> Tensor:
        """KL(q ‖ p) of each latent in nats, N×C×h×w."""
        assert self.posterior is not None
        (m_p, s_p), (m_q, s_q) = self.prior, self.posterior
        ratio = s_q / s_p
        return 0.5 * (ratio.square() + ((m_q - m_p) / s_p).square() - 1) - ratio.log()

    def log_ratio(self) -> Tensor:
        """Log-ratio log p(z) − log q(z) of each latent in nats, N×C×h×w."""
        assert self.posterior is not None
        (m_p, s_p), (m_q, s_q) = self.prior, self.posterior
        # The terms with log 2π cancel.
        of_q, of_p = ((self.z - m) / s for m, s in ((m_q, s_q), (m_p, s_p)))
        return 0.5 * (of_q.square() - of_p.square()) + (s_q / s_p).log()

    def standardised(self) -> Tensor:
        """Latents in standard deviations from the mean of the prior, N×C×h×w; N(0, I) under p."""
        return (self.z - self.prior.mean) / self.prior.deviation


def deviates(parameters: Tensor) -> Deviates:
    """Normal distributions from the output of a network, N×2C×h×w: means, then deviations.

    The standard deviation is a softplus, not an exponential. It grows linearly and its slope is at
    most 1. The exponential of an outlier makes huge KLs and gradients, from which VDVAE needed to
    be protected (Hazami et al. 2022).
    """
    mean, raw = parameters.float().chunk(2, dim=1)
    return Deviates(mean, _MIN_DEVIATION + functional.softplus(_SLOPE * raw) / _SLOPE)


class Bottleneck(nn.Sequential):
    """Activation and convolution, four times: 1×1, 3×3, 3×3 and 1×1 (Child 2021).

    The inner convolutions have fewer channels. On grids of at most 2×2 they are 1×1.
    """

    def __init__(
        self, before: int, after: int, *, inner: int, act: str, side: tuple[int, int], gain: float
    ) -> None:
        """Map `before` channels to `after`; initial weights of the last layer are times `gain`."""
        kernel = 3 if max(side) > 2 else 1
        layers: list[nn.Module] = []
        sizes = itertools.pairwise([before, inner, inner, inner, after])
        for (a, b), size in zip(sizes, (1, kernel, kernel, 1), strict=True):
            layers += [activation(act), nn.Conv2d(a, b, size, padding=size // 2)]
        super().__init__(*layers)
        scaled(self[-1], gain)

    def forward(self, x: Tensor) -> Tensor:
        """N×before×h×w to N×after×h×w, in the number format of convolutions."""
        change: Tensor = super().forward(lowered(x))  # type: ignore[no-untyped-call]
        return change


class ResidualBottleneck(Bottleneck):
    """Residual block x + f(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same, in the number format of x."""
        return x + super().forward(x)


def lowered(x: Tensor) -> Tensor:
    """Convert to the number format that autocast gives convolutions; unchanged without autocast.

    Autocast would convert after the activation, which takes twice the time on wide numbers.
    """
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def scaled(convolution: nn.Module, gain: float) -> None:
    """Multiply the initial weights of a convolution by `gain`, and set its bias to 0.

    Residual blocks take 1/√depth, so that the variance of their sum does not grow with the depth
    (Child 2021). 0 starts a block as no change.
    """
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    with torch.no_grad():
        convolution.weight.mul_(gain)
        convolution.bias.zero_()


class Layout:
    """Sizes of a hierarchy on a grid.

    Attributes:
        sides: (h, w) of each resolution, coarsest first.
        groups: number of groups of each resolution.
        shapes: (C, h, w) of the latents of each group, in the order in which they are drawn.
        ends: number of latents down to each resolution; the last is the number of all.
        depth: number of residual blocks of the top-down network.
    """

    def __init__(self, settings: Hierarchy, side: tuple[int, int]) -> None:
        """Compute the sizes for a grid of (H, W).

        Raises:
            ConfigError: the grid cannot be halved so many times.
        """
        self.settings = settings
        self.groups = settings.groups
        halved = halvings(side, len(settings.groups) - 1, "hierarchy.groups")
        self.sides = halved[::-1]
        self.shapes = [
            (settings.channels, *each)
            for each, count in zip(self.sides, self.groups, strict=True)
            for _ in range(count)
        ]
        sizes = [
            count * settings.channels * math.prod(each)
            for each, count in zip(self.sides, self.groups, strict=True)
        ]
        self.ends = tuple(itertools.accumulate(sizes))
        self.depth = sum(max(1, count) for count in self.groups)

    def split(self, z: Tensor) -> list[Tensor]:
        """Latents of each group, N×C×h×w, of N×L; the coarsest first."""
        parts = z.split([math.prod(shape) for shape in self.shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def block(
        self, before: int, after: int, side: tuple[int, int], act: str, gain: float
    ) -> Bottleneck:
        """A block of the hierarchy; a residual block has `before` equal to `after`."""
        inner = max(1, round(self.settings.width * self.settings.bottleneck))
        return Bottleneck(before, after, inner=inner, act=act, side=side, gain=gain)

    def residual(self, side: tuple[int, int], act: str) -> ResidualBottleneck:
        """A residual block of the hierarchy."""
        width = self.settings.width
        inner = max(1, round(width * self.settings.bottleneck))
        gain = self.depth**-0.5
        return ResidualBottleneck(width, width, inner=inner, act=act, side=side, gain=gain)


class BottomUp(nn.Module):
    """Features of an item at every resolution."""

    def __init__(self, layout: Layout, channels: int, act: str, classes: int = 0) -> None:
        """Create it for grids of `channels` channels; `classes` above 0 for labels."""
        super().__init__()
        width = layout.settings.width
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.label = label_embedding(classes, width)
        self.levels = nn.ModuleList(
            nn.Sequential(*[layout.residual(side, act) for _ in range(max(1, count))])
            for side, count in zip(reversed(layout.sides), reversed(layout.groups), strict=True)
        )

    def forward(self, x: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Float N×C×H×W to N×width×h×w of each resolution, coarsest first."""
        # The sum of many small residuals needs float32 also under autocast.
        state = self.first(x).float()
        if self.label is not None:
            state = state + self.label(labels)[:, :, None, None]
        features: list[Tensor] = []
        for level in self.levels:
            if features:
                state = functional.avg_pool2d(state, 2, ceil_mode=True)
            state = level(state)
            features.append(state)
        return features[::-1]


class Group(nn.Module):
    """One group of latents: its prior, its posterior, and its effect on the state."""

    def __init__(self, layout: Layout, side: tuple[int, int], act: str) -> None:
        super().__init__()
        width, self.channels = layout.settings.width, layout.settings.channels
        latents = 2 * self.channels
        self.posterior = layout.block(2 * width, latents, side, act, 1.0)
        # At 0, so that the prior starts as N(0, I).
        self.prior = layout.block(width, latents + width, side, act, 0.0)
        self.project = nn.Conv2d(self.channels, width, 1)
        scaled(self.project, layout.depth**-0.5)
        self.body = layout.residual(side, act)

    def forward(
        self, state: Tensor, noise: Tensor, features: Tensor | None
    ) -> tuple[Tensor, GroupDraw]:
        """State N×width×h×w before the group to the state after it, and the draw.

        Args:
            state: of the top-down network.
            noise: N(0, 1), N×C×h×w; 0 gives the means.
            features: of the items, N×width×h×w; None to draw from the prior.
        """
        low = lowered(state)
        parameters, change = self.prior(low).tensor_split([2 * self.channels], dim=1)
        prior, posterior = deviates(parameters), None
        if features is not None:
            posterior = deviates(self.posterior(torch.cat([low, lowered(features)], dim=1)))
        mean, deviation = prior if posterior is None else posterior
        z = mean + deviation * noise
        state = self.body(state + change + self.project(z))
        return state, GroupDraw(z, prior, posterior)


class TopDown(nn.Module):
    """Latents from coarse to fine, and the parameters of p(x|z) from all of them."""

    def __init__(self, layout: Layout, outputs: int, act: str, classes: int = 0) -> None:
        """Create it for `outputs` values per position; `classes` above 0 for labels."""
        super().__init__()
        self.layout = layout
        width = layout.settings.width
        self.starts = nn.ParameterList(
            nn.Parameter(torch.zeros(1, width, *(side if max(side) <= _LARGEST_START else (1, 1))))
            for side in layout.sides
        )
        self.labels = nn.ModuleList(
            each for _ in layout.sides if (each := label_embedding(classes, width)) is not None
        )
        self.levels = nn.ModuleList(
            nn.ModuleList(
                [Group(layout, side, act) for _ in range(count)] or [layout.residual(side, act)]
            )
            for side, count in zip(layout.sides, layout.groups, strict=True)
        )
        self.last = nn.Conv2d(width, outputs, 1)

    def forward(
        self,
        noise: Tensor,
        features: Sequence[Tensor] | None = None,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, list[GroupDraw]]:
        """Draw all groups.

        Args:
            noise: N(0, 1), float32 N×L, the coarsest group first.
            features: of the items, to draw from q; None to draw from p.
            labels: int64 N, for a conditional model.

        Returns:
            Parameters of p(x|z), float32 N×outputs×H×W, and the draw of each group.
        """
        draws: list[GroupDraw] = []
        parts = iter(self.layout.split(noise))
        state = noise.new_zeros(())
        for number, (side, start) in enumerate(zip(self.layout.sides, self.starts, strict=True)):
            if number:
                state = functional.interpolate(state, scale_factor=2.0, mode="nearest")
                state = state[..., : side[0], : side[1]]
            state = (state + start).expand(len(noise), -1, *side)
            if labels is not None:
                state = state + self.labels[number](labels)[:, :, None, None]
            seen = None if features is None else features[number]
            for layer in self.levels[number]:  # type: ignore[attr-defined]
                if isinstance(layer, Group):
                    state, draw = layer(state, next(parts), seen)
                    draws.append(draw)
                else:
                    state = layer(state)
        # The rounding of bfloat16 exceeds half a grey level.
        with torch.autocast(noise.device.type, enabled=False):
            return self.last(state.float()), draws


def label_embedding(classes: int, width: int) -> nn.Embedding | None:
    """Embedding of labels that starts at 0; None for 0 classes."""
    if not classes:
        return None
    embedding = nn.Embedding(classes, width)
    nn.init.zeros_(embedding.weight)
    return embedding
