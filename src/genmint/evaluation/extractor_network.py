"""Networks of the feature extractor, sized for the grids of its data set."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Grids of this side or larger are halved by the first layer.
_HALVED_FROM = 24
# Side at which the network stops halving, and the number of channels of the first stage.
_SMALLEST = 5
_WIDTH = 32
_WIDEST = 128


class _Residual(nn.Module):
    """Two convolutions with a residual connection (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(x + self.body(x))
        return result


def residual_network(channels: int, height: int, width: int, features: int) -> nn.Sequential:
    """Return the network from normalised grids, float32 N×C×H×W, to N×features.

    A stage is a residual block. Between two stages the grid is halved and the number of channels
    doubled, from 32 to at most 128. Grids of 24 pixels or more are halved by the first layer, and
    larger ones by several first layers of 16 channels until they are smaller than 48 pixels.
    """
    side = max(height, width)
    layers: list[nn.Module] = []
    filters, inputs = _WIDTH, channels
    while side >= 2 * _HALVED_FROM:
        layers += _convolution(inputs, _WIDTH // 2, kernel=4, stride=2)
        inputs, side = _WIDTH // 2, (side + 1) // 2
    if side >= _HALVED_FROM:
        layers += _convolution(inputs, filters, kernel=4, stride=2)
        side = (side + 1) // 2
    else:
        layers += _convolution(inputs, filters, kernel=3, stride=1)
    layers.append(_Residual(filters))
    while side > _SMALLEST:
        inputs, filters = filters, min(2 * filters, _WIDEST)
        layers += _convolution(inputs, filters, kernel=3, stride=2)
        layers.append(_Residual(filters))
        side = (side + 1) // 2
    pooled = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, pooled, nn.Flatten(), nn.Linear(filters, features))


def _convolution(inputs: int, filters: int, *, kernel: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, filters, kernel, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(filters), nn.ReLU()]


def plain_network(channels: int, features: int) -> nn.Sequential:
    """Return the network of extractors that an older version of genmint stored."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, features),
        nn.ReLU(),
    )


def multiplications(network: nn.Sequential, channels: int, height: int, width: int) -> int:
    """Return the multiplications of all convolutions for one grid."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += weight.numel() * output.shape[2] * output.shape[3]

    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    hooks = [part.register_forward_hook(count) for part in convolutions]
    training = network.training
    network.eval()(torch.zeros(1, channels, height, width))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return total
