"""Projection discriminator of a conditional GAN."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class Projection(nn.Module):
    """Projection discriminator D(x, y) = ψ(φ(x)) + e_y·φ(x).

    Miyato and Koyama 2018, equation 3 and figure 1d. φ is a discriminator without its last layer, ψ
    is that layer, and e_y is a learnt vector per class. This is the form of
    log p(y|x) − log q(y|x) + log p(x) − log q(x) if the log-odds of the classes are linear in φ.
    Samples are therefore compared with the data of their own class.
    """

    def __init__(self, network: nn.Sequential, classes: int) -> None:
        """Take over the layers of `network`, N×C×H×W to N×1, whose last layer is linear."""
        super().__init__()
        self.features, self.score = network[:-1], cast(nn.Linear, network[-1])
        width = self.score.in_features
        self.label = nn.Embedding(classes, width)
        # Same scale as the weights of ψ. With N(0, 1) the label term would dominate the score.
        nn.init.normal_(self.label.weight, std=width**-0.5)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Scores N×1 for float N×C×H×W and int64 N labels."""
        features: Tensor = self.features(x)
        of_label = (self.label(labels) * features).sum(1, keepdim=True)
        return self.score(features) + of_label  # type: ignore[no-any-return]
