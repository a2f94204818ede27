"""The contract between a family of generative models and all that uses one."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from genmint.config import GANConfig, Optimiser, RNNConfig, VAEConfig
from genmint.data.spec import DataSpec
from genmint.models.blocks import rows_of
from genmint.models.conditioning import Classes
from genmint.models.noise import Noise

Config = VAEConfig | GANConfig | RNNConfig


@dataclass(frozen=True)
class Turn:
    """One descent within a training step.

    Attributes:
        group: key of `Family.optimisers()`, whose optimiser steps at the end of the turn.
        data: it learns from new data; otherwise it is handed the batch of the turn before.
    """

    group: str
    data: bool = True


@dataclass(frozen=True)
class Loss:
    """What a turn descends.

    Attributes:
        value: scalar tensor with a graph.
        scalars: named 0-d tensors to log, detached; kept on the device until they are needed.
    """

    value: Tensor
    scalars: dict[str, Tensor]


class Family(nn.Module, abc.ABC):
    """A generative model: trains by `loss`, generates by `sample`.

    A family is built as `F(config, spec)`. A batch is uint8 N×C×H×W for grids and int64 N×(T+1)
    for sequences (input is `batch[:, :-1]`, target `batch[:, 1:]`). All randomness comes from the
    generator or seed that is passed in.

    A conditional model learns p(x|y): wherever it takes items it takes `labels`, int64 N, the
    number of each item's class. Of all others `labels` is None.

    Attributes:
        config: the model's block.
        spec: what the model knows of its data.
        classes: what a conditional model knows of labels; None of all others.
        view: which view of the data the family takes and gives.
    """

    config: Config
    spec: DataSpec
    classes: Classes | None
    view: ClassVar[Literal["grid", "sequence"]]

    @property
    def pass_rows(self) -> int:
        """Rows of a pass in evaluation, fewer for large grids."""
        return rows_of(self.spec.shape)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    @abc.abstractmethod
    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """Parameter groups by name, each with its optimiser's settings; stable order."""

    def learns_from(self, train: Tensor, labels: Tensor | None = None) -> None:
        """A training on the whole split `train` is about to begin, or to go on."""
        if self.classes is not None:
            assert labels is not None, "a conditional model needs labels"
            self.classes.note(labels)

    def drawn_labels(self, n: int, seed: int) -> Tensor | None:
        """What `sample` takes for labels where none are given: int64 n; None if unconditional.

        Drawn with the shares of the training split, so that samples follow the data as a whole.
        """
        return None if self.classes is None else self.classes.drawn(n, seed)

    def labels_of(self, n: int, seed: int, labels: Tensor | None) -> Tensor | None:
        """The labels of n samples: `labels` if given, else drawn."""
        if labels is None:
            return self.drawn_labels(n, seed)
        assert self.classes is not None, "only a conditional model takes labels"
        assert len(labels) == n, f"{len(labels)} labels for {n} samples"
        return labels

    def begin(self, step: int) -> None:
        """Training step `step`, counted from 0, is about to be done: for what has a schedule.

        Called before every step, also of a training that goes on from a checkpoint.
        """

    @abc.abstractmethod
    def turns(self) -> tuple[Turn, ...]:
        """The descents of one training step, in their order; every group has at least one."""

    @abc.abstractmethod
    def loss(
        self, group: str, batch: Tensor, noise: Noise, *, fresh: bool, labels: Tensor | None = None
    ) -> Loss:
        """What the optimiser of `group` descends on `batch`, a mean over its rows.

        `fresh` says that the batch does not continue the one before (a recurrent family then starts
        from its zero state).
        """

    @abc.abstractmethod
    def health(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> dict[str, float]:
        """Named signals of the family's own diseases, on held-out data as `validation` takes it."""

    def compile(self) -> None:
        """Let torch.compile translate what is worth it, in place; weights keep their names."""

    def carried(self) -> Any:
        """What goes from one batch to the next: tensors in lists and tuples, or None."""
        return None

    def carry(self, carried: Any) -> None:
        """Take back what `carried` gave, perhaps in another process."""

    @abc.abstractmethod
    def validation(
        self, data: Tensor, *, seed: int, batch_size: int, labels: Tensor | None = None
    ) -> dict[str, float]:
        """Named scalars on held-out data; `loss` (lower is better) chooses the best weights.

        `data` is the whole split as the training batches draw from it: uint8 N×C×H×W, or uint8
        N×T items, or the int64 T stream of a text.
        """

    @abc.abstractmethod
    def sample(
        self,
        n: int,
        *,
        seed: int,
        batch_size: int = 256,
        length: int | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Generate n examples, the same for the same seed whatever the batch size.

        Those of a conditional model are of the classes `labels`, int64 n, or of `drawn_labels`.

        Returns uint8 n×C×H×W for grids, int64 n×T symbols for sequences (`length` symbols where
        the data has no fixed length), on the CPU.
        """


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch `model` to evaluation without gradients, and back to the mode it was in."""
    with in_mode(model, training=False), torch.no_grad():
        yield


@contextlib.contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Switch `model` to training or evaluation, and back to the mode it was in."""
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
