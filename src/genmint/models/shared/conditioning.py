"""Labels y of a conditional model p(x|y): class names, class shares, one-hot encoding.

Each family feeds labels into its networks in its own way.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genmint.common.errors import ConfigError
from genmint.config import ModelConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.blocks import ROWS, seeded

# Purpose of a seed: labels of samples that are requested without labels.
_LABELS = 6


class Classes(nn.Module):
    """The classes of a data set.

    Attributes:
        names: of the classes, in the order of the label numbers 0…K−1.
        seen: int64 K, stored with the weights: number of training items of each class; 1 each
            before a training run starts.
    """

    seen: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("seen", torch.ones(len(names), dtype=torch.int64))

    def note(self, labels: Tensor) -> None:
        """Store the number of items of each class among int64 N labels."""
        self.seen.copy_(torch.bincount(labels.cpu(), minlength=len(self.names)))

    def drawn(self, n: int, seed: int) -> Tensor:
        """Draw n labels with the class shares of the training split, int64 n on the CPU.

        Drawn by inverse CDF; the first labels do not depend on n.
        """
        generator, upto = seeded(seed, _LABELS), self.seen.cpu().cumsum(0)
        blocks = range(math.ceil(n / ROWS))
        level = [torch.rand(ROWS, generator=generator, dtype=torch.float64) for _ in blocks]
        return torch.searchsorted(upto.double(), torch.cat(level)[:n] * upto[-1], right=True)


def classes_of(config: ModelConfig, spec: DataSpec) -> Classes | None:
    """The classes that a model is conditional on; None if it is unconditional.

    Raises:
        ConfigError: the model is conditional, but the data have no labels of items.
    """
    if not config.conditional:
        return None
    if spec.shape == ():
        raise ConfigError(
            f"conditional: {spec.dataset} is text, one stream whose symbols have no labels; "
            "leave it out"
        )
    if spec.labels is None:
        raise ConfigError(
            f"conditional: {spec.dataset} has no labels; say where they come from in "
            f"datasets.{spec.dataset}.labels, or leave conditional out"
        )
    return Classes(spec.labels)


def labels_of_class(classes: Classes | None, name: str | None, n: int) -> Tensor | None:
    """Labels of n samples of one class, int64 n; None if `name` is None.

    Raises:
        ConfigError: the model is not conditional, or there is no class of that name; the message
            lists the known ones.
    """
    if name is None:
        return None
    if classes is None:
        raise ConfigError(
            f"label {name!r}: only a model with conditional: true takes a label: leave it out"
        )
    if name not in classes.names:
        raise ConfigError(f"label {name!r}: there is none; known: {', '.join(classes.names)}")
    return torch.full((n,), classes.names.index(name))


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """One-hot encoding of int64 N labels, float32 N×classes."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()


def with_label(z: Tensor, labels: Tensor | None, classes: Classes | None) -> Tensor:
    """Input of a decoder or generator: z, N×L, with the one-hot label appended, N×(L+K), if any."""
    if classes is None:
        return z
    assert labels is not None, "a conditional model needs labels"
    return torch.cat([z, one_hot(labels, len(classes.names))], dim=1)
