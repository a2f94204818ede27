"""The discriminator of a conditional GAN."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class Projection(nn.Module):
    """D(x, y) = ψ(φ(x)) + e_y·φ(x) (Miyato and Koyama 2018, equation 3; figure 1d).

    φ is a discriminator without its last layer, ψ that layer, e_y a learnt vector a class. The form
    is that of log p(y|x) − log q(y|x) + log p(x) − log q(x) where the classes' log-odds are linear
    in φ, so that samples are held against the data of their own class.
    """

    def __init__(self, network: nn.Sequential, classes: int) -> None:
        """Take over the layers of `network`, N×C×H×W to N×1, the last of which is linear."""
        super().__init__()
        self.features, self.score = network[:-1], cast(nn.Linear, network[-1])
        width = self.score.in_features
        self.label = nn.Embedding(classes, width)
        # As large as ψ at first: with N(0, 1) the label would drown what is the same for all.
        nn.init.normal_(self.label.weight, std=width**-0.5)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Scores N×1 of float N×C×H×W and int64 N."""
        features: Tensor = self.features(x)
        of_label = (self.label(labels) * features).sum(1, keepdim=True)
        return self.score(features) + of_label  # type: ignore[no-any-return]
