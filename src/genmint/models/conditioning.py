"""What a conditional model, one of p(x|y), knows of the labels y: their names and their shares.

How a label reaches a network is each family's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genmint.config import ModelConfig
from genmint.data.spec import DataSpec
from genmint.errors import ConfigError
from genmint.models.blocks import ROWS, seeded

# Purpose of a seed: labels of samples that were asked for without any.
_LABELS = 6


class Classes(nn.Module):
    """The classes of a data set.

    Attributes:
        names: of the classes, in the order of the label numbers 0…K−1.
        seen: int64 K, stored with the weights: how often each occurs in the training split; once
            each until a training begins.
    """

    seen: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("seen", torch.ones(len(names), dtype=torch.int64))

    def note(self, labels: Tensor) -> None:
        """Remember how often each class occurs among int64 N labels."""
        self.seen.copy_(torch.bincount(labels.cpu(), minlength=len(self.names)))

    def drawn(self, n: int, seed: int) -> Tensor:
        """Draw n labels with the shares of the training split, int64 n on the CPU.

        By inverse CDF; the first of them are the same whatever n is.
        """
        generator, upto = seeded(seed, _LABELS), self.seen.cpu().cumsum(0)
        blocks = range(math.ceil(n / ROWS))
        level = [torch.rand(ROWS, generator=generator, dtype=torch.float64) for _ in blocks]
        return torch.searchsorted(upto.double(), torch.cat(level)[:n] * upto[-1], right=True)


def classes_of(config: ModelConfig, spec: DataSpec) -> Classes | None:
    """The classes that a model is conditional on; None if it is not.

    Raises:
        ConfigError: the data have no labels that an item could be asked for by.
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


def asked_for(classes: Classes | None, name: str | None, n: int) -> Tensor | None:
    """The labels of n samples that are all to be of one class, int64 n; None where none is named.

    Raises:
        ConfigError: the model is not conditional, or there is no class of that name; the message
            lists the known ones.
    """
    if name is None:
        return None
    if classes is None:
        raise ConfigError(
            f"label {name!r}: only a model with conditional: true can be asked for one: leave it "
            "out"
        )
    if name not in classes.names:
        raise ConfigError(f"label {name!r}: there is none; known: {', '.join(classes.names)}")
    return torch.full((n,), classes.names.index(name))


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels, int64 N, as float32 N×classes."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()


def with_label(z: Tensor, labels: Tensor | None, classes: Classes | None) -> Tensor:
    """What a decoder or generator begins with: z, N×L, and the label behind it, N×(L+K), if any."""
    if classes is None:
        return z
    assert labels is not None, "a conditional model needs labels"
    return torch.cat([z, one_hot(labels, len(classes.names))], dim=1)
