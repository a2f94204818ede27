"""Interface of all families of generative models: to train one, and to sample and evaluate it."""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genmint.common.errors import ConfigError
from genmint.config import ModelConfig, Optimiser
from genmint.data.views.spec import DataSpec, Observation
from genmint.models.shared.blocks import rows_of
from genmint.models.shared.conditioning import Classes
from genmint.models.shared.noise import Noise

if TYPE_CHECKING:
    from genmint.models.shared.abilities import Decoder, Encoder, Reader

# Sampling options of a user besides number, seed, length and label.
SAMPLING_OPTIONS = ("prompt", "temperature", "top_k", "top_p")


@dataclass(frozen=True)
class OptimizerPhase:
    """One optimizer phase: a gradient step of one parameter group within a training step.

    Attributes:
        group: key of `Family.optimisers()`; its optimizer steps at the end of the phase.
        data: whether the phase takes new data; otherwise it gets the batch of the phase before.
    """

    group: str
    data: bool = True


@dataclass(frozen=True)
class Loss:
    """Loss of one optimizer phase.

    Attributes:
        value: scalar tensor with a graph.
        scalars: named 0-d tensors to log, detached; kept on the device until they are needed.
    """

    value: Tensor
    scalars: dict[str, Tensor]


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihoods of held-out items under a model.

    Attributes:
        items: log-likelihoods or lower bounds of them by name, in nats, float64 N. There is one
            value per item, or per symbol of a stream except the first. Code lengths are computed
            from the first entry. An exact log-likelihood is called `log_likelihood`.
        means: names in `items` whose mean is a metric of its own.
        figures: further metrics, by name.
    """

    items: Mapping[str, Tensor]
    means: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


class Trainable(nn.Module, abc.ABC):
    """What the training loop uses of a model.

    A batch is uint8 N×C×H×W for grids and int64 N×(T+1) for sequences (input is `batch[:, :-1]`,
    target `batch[:, 1:]`). All randomness comes from the generator or seed that is passed in.

    A conditional model learns p(x|y). Each of its methods that takes items also takes `labels`,
    int64 N, the class number of each item. For an unconditional model `labels` is None.

    Attributes:
        config: the model entry.
        spec: description of the data.
        classes: classes of a conditional model; None for an unconditional model.
    """

    config: ModelConfig
    spec: DataSpec
    classes: Classes | None

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @abc.abstractmethod
    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """Parameter groups by name, with their optimizer settings; the order is stable."""

    def learns_from(self, train: Tensor, labels: Tensor | None = None) -> None:
        """Record statistics of the training split; called when a training run starts or resumes.

        Args:
            train: the whole split.
            labels: int64 N, for a conditional model.
        """
        if self.classes is not None:
            assert labels is not None, "a conditional model needs labels"
            self.classes.note(labels)

    def begin(self, step: int) -> None:
        """Update schedules for training step `step`, counted from 0.

        Called before every step, also after a training run resumes from a checkpoint.
        """

    def end(self, step: int, mean: Callable[[Tensor], Tensor]) -> None:
        """Update state that depends on the results of training step `step`, counted from 0.

        Called after the phases of every step. Such state is in buffers, which checkpoints contain.

        Args:
            step: the step that was done.
            mean: averages a tensor over the processes that share the batch. All of them must call
                it in the same steps.
        """

    def finish(self, train: Tensor, labels: Tensor | None = None) -> None:
        """Compute what depends on the final weights; called once, when the best are known.

        Args:
            train: the whole training split, in the form of `validation`.
            labels: int64 N, for a conditional model.
        """

    @abc.abstractmethod
    def phases(self) -> tuple[OptimizerPhase, ...]:
        """Optimizer phases of one training step, in order; every group has at least one."""

    @abc.abstractmethod
    def loss(
        self, group: str, batch: Tensor, noise: Noise, *, fresh: bool, labels: Tensor | None = None
    ) -> Loss:
        """Loss of the optimizer group `group` on `batch`, a mean over its rows.

        If `fresh` is true, the batch does not continue the batch before. A recurrent family then
        starts from its zero state.
        """

    def compile(self) -> None:
        """Compile suitable parts with torch.compile, in place; weights keep their names."""

    def carried(self) -> Any:
        """State carried from one batch to the next: tensors in lists and tuples, or None."""
        return None

    def carry(self, carried: Any) -> None:
        """Restore the result of `carried`, possibly in another process."""

    @abc.abstractmethod
    def validation(
        self, data: Tensor, *, seed: int, batch_size: int, labels: Tensor | None = None
    ) -> dict[str, float]:
        """Scalars on held-out data by name; the lowest `loss` selects the best weights.

        `data` is the whole split in the form of the training data: uint8 N×C×H×W, or uint8 N×T
        items, or the int64 T stream of a text.
        """

    @abc.abstractmethod
    def health(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> dict[str, float]:
        """Signals of the family's own failure modes, by name.

        `data` is held-out data in the form of `validation`.
        """


class Family(Trainable):
    """A generative model, trained by `loss` and sampled by `sample`.

    A family is constructed as `F.create(config, spec)`. Properties that do not depend on weights,
    such as view and batching, are in `genmint.config.ModelConfig`.
    """

    @classmethod
    def create(cls, config: Any, spec: DataSpec) -> Family:
        """A new model of the family; a family of several classes chooses by its settings.

        Args:
            config: the family's model entry.
            spec: description of the data.

        Raises:
            ConfigError: the configuration does not fit the shape of the data.
        """
        build: Any = cls
        model: Family = build(config, spec)
        return model

    @property
    def pass_rows(self) -> int:
        """Rows per forward pass in evaluation; fewer for large grids."""
        return rows_of(self.spec.shape)

    def drawn_labels(self, n: int, seed: int) -> Tensor | None:
        """Default labels of n samples, int64 n; None if the model is unconditional.

        Labels are drawn with the class shares of the training split, so that samples follow the
        distribution of the data.
        """
        return None if self.classes is None else self.classes.drawn(n, seed)

    def labels_of(self, n: int, seed: int, labels: Tensor | None) -> Tensor | None:
        """Labels of n samples: `labels` if given, otherwise drawn labels."""
        if labels is None:
            return self.drawn_labels(n, seed)
        assert self.classes is not None, "only a conditional model takes labels"
        assert len(labels) == n, f"{len(labels)} labels for {n} samples"
        return labels

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
        """Generate n samples, which depend on the seed but not on the batch size.

        Samples of a conditional model have the classes `labels`, int64 n, or those of
        `drawn_labels`.

        Returns:
            uint8 n×C×H×W for grids, int64 n×T symbols for sequences (`length` symbols if the data
            has no fixed length), on the CPU.
        """

    def sampling_arguments(self, n: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """Additional arguments of `sample`, from the sampling options of a user.

        Args:
            n: number of samples.
            options: a subset of SAMPLING_OPTIONS.

        Raises:
            ConfigError: an option is not supported by this model, or out of range.
        """
        if options:
            key = next(iter(options))
            raise ConfigError(f"{key}: only an RNN draws symbol by symbol; leave it out")
        return {}

    @property
    def noise_name(self) -> str:
        """Identifier of the noise of a sample: `u64` for 64 uniform numbers, `z8` for 8 dimensions.

        Samples of two versions for the same seed are shown side by side if the identifiers are
        equal.
        """
        return f"u{math.prod(self.spec.shape)}"

    @property
    def observation(self) -> Observation | None:
        """Kind of pixel value that the likelihood models; None if there is only one, or none."""
        return None

    def likelihoods(
        self,
        data: Tensor,
        *,
        seed: int,
        draws: int,
        batch_size: int,
        labels: Tensor | None = None,
    ) -> Likelihoods:
        """Log-likelihoods of held-out items; called if `config.likelihood_metrics` is not empty.

        Args:
            data: a whole split, in the form of `validation`.
            seed: of all random draws.
            draws: number of draws of a bound that becomes tighter with more of them.
            batch_size: does not affect the result.
            labels: int64 N, for a conditional model; the likelihoods are then of p(x|y).
        """
        raise NotImplementedError(f"a {self.config.family} has no likelihood")

    @property
    def as_decoder(self) -> Decoder | None:
        """The model, if its samples are decoded from latents that can be chosen."""
        return None

    @property
    def as_encoder(self) -> Encoder | None:
        """The model, if it can encode items as latents."""
        return None

    @property
    def as_reader(self) -> Reader | None:
        """The model, if it reads and generates text symbol by symbol."""
        return None


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch `model` to evaluation mode without gradients; restore its mode on exit."""
    with in_mode(model, training=False), torch.no_grad():
        yield


@contextlib.contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Switch `model` to training or evaluation mode; restore its mode on exit."""
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
