"""Encoder q(z|x, y) of a conditional VAE."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genmint.models.shared.conditioning import one_hot
from genmint.models.shared.networks import Norm, encoder


class LabelledEncoder(nn.Module):
    """Encoder with a grid and its label as input (Sohn et al. 2015; Kingma et al. 2014).

    A fully connected encoder gets a one-hot vector appended to the pixels. A convolutional one gets
    a learnt plane per label as an additional channel, so that the label is available at every
    position.
    """

    def __init__(
        self,
        network: str,
        shape: tuple[int, ...],
        hidden: Sequence[int],
        features: int,
        classes: int,
        *,
        act: str,
        norm: Norm,
        attention: bool,
    ) -> None:
        """Arguments as for `genmint.models.shared.networks.encoder`, and the number of classes."""
        super().__init__()
        channels, height, width = shape
        self.classes = classes
        self.plane = None if network == "mlp" else nn.Embedding(classes, height * width)
        seen = (
            (1, 1, math.prod(shape) + classes)
            if self.plane is None
            else (channels + 1, height, width)
        )
        self.network = encoder(
            network, seen, hidden, features, act=act, norm=norm, attention=attention
        )

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Float N×C×H×W and int64 N labels to N×features."""
        if self.plane is None:
            seen = torch.cat([x.flatten(1), one_hot(labels, self.classes)], dim=1)
        else:
            seen = torch.cat([x, self.plane(labels).view(-1, 1, *x.shape[2:])], dim=1)
        return self.network(seen)  # type: ignore[no-any-return]
