"""The settings that models of every family share: training, optimisers, recovery, augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, Kind, PositiveFloat, PositiveInt, Seed

View = Literal["grid", "sequence"]
Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class CosineSchedule(Frozen):
    """Change of a setting during training, along half a cosine (Huang et al. 2024, R3GAN).

    The setting's own value is the start. Subclasses add `end`, in the setting's range.
    """

    steps: PositiveInt | None = Field(
        None,
        description="Number of steps of the change; the value then stays at end. "
        "null means all steps of the training run.",
    )

    def between(self, start: float, end: float, step: int, of: int) -> float:
        """Return the value in step `step` (from 0) of a training run of `of` steps.

        It is `start` in step 0 and `end` from step `steps` on. It depends on nothing else, so that
        a resumed training run continues with the same values.
        """
        share = min(1.0, step / (of if self.steps is None else self.steps))
        return start + (end - start) * (1 - math.cos(math.pi * share)) / 2


class DecaySchedule(CosineSchedule):
    """Change of a decay rate during training."""

    end: Decay = Field(description="Decay rate at the end.")


class Optimiser(Frozen):
    """An optimiser and its learning rate schedule."""

    name: Literal["sgd", "adam", "adamw"] = Field("adam", description="Optimisation algorithm.")
    lr: PositiveFloat = Field(
        description="Learning rate, per step. "
        "2e-4 is the usual choice for VAE and GAN, 1e-3 for RNN; small networks tolerate more. "
        "Halve it if the loss jumps."
    )
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999),
        description="Decay rates of the running averages of the gradient and of its square (adam, "
        "adamw). "
        "A first value of 0.5, as in DCGAN, keeps generator and discriminator from oscillating.",
    )
    beta2_schedule: DecaySchedule | None = Field(
        None,
        description="Change of the second value of betas during training (adam, adamw). "
        "R3GAN goes from 0.9 to 0.99 (betas: [0.0, 0.9], beta2_schedule: {end: 0.99}): short "
        "averages suit the first steps, when gradients change quickly. "
        "It costs nothing. null means none.",
    )
    momentum: Decay = Field(
        0.0, description="Decay rate of the running average of the gradient (sgd)."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="Coefficient of weight decay, without unit. "
        "0.01 to 0.1 with adamw reduce over-fitting. 0 means none.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="Learning rate over the steps: constant, or cosine (falls to 0 at the last "
        "step). "
        "cosine is better where steps are few.",
    )
    warmup: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Number of steps in which the learning rate rises from 0. "
        "100 to 1,000 suit large networks and batches.",
    )
    clip_norm: PositiveFloat | None = Field(
        None,
        description="Norm above which the gradient is scaled down. "
        "1.0 is usual for RNNs. null means no limit.",
    )
    skip_norm: PositiveFloat | None = Field(
        None,
        description="Norm above which the step is left out (Child 2021). "
        "Weights and optimiser then stay as they are. "
        "It protects deep hierarchical VAEs from single batches with huge gradients. "
        "10 to 20 times the usual gradient_norm of the history is suitable. "
        "The history counts the steps left out (skipped). "
        "It is measured before clip_norm. null means no limit.",
    )

    @model_validator(mode="after")
    def _there_is_a_second_beta(self) -> Self:
        if self.beta2_schedule is not None and self.name == "sgd":
            raise ValueError("beta2_schedule: sgd has no betas: use adam or adamw, or leave it out")
        return self

    def betas_at(self, step: int, steps: int) -> tuple[float, float]:
        """Return `betas` in step `step` (from 0) of a training run of `steps` steps."""
        first, second = self.betas
        if self.beta2_schedule is None:
            return self.betas
        return first, self.beta2_schedule.between(second, self.beta2_schedule.end, step, steps)


class Recovery(Frozen):
    """Reaction to a loss that is not finite, or to a gradient that explodes."""

    attempts: Annotated[int, Field(ge=0)] = Field(
        3,
        description="Number of times that training may go back to the last validation. "
        "The next time it fails.",
    )
    lr_factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="Factor on the learning rates after going back."
    )
    explosion: Annotated[float, Field(gt=1)] = Field(
        1000.0,
        description="Ratio of the gradient's norm to its usual norm from which training goes back.",
    )


class Augmentation(Frozen):
    """Largest random change of a training image, drawn again in every step."""

    shift: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Largest shift in any direction, in pixels. "
        "Spectrograms are shifted in time only. For a GAN at most 1.",
    )
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(
        0.0, description="Largest rotation, in degrees. Not applied to spectrograms."
    )
    scale: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="Largest relative change of size: 0.1 is a tenth larger or smaller. "
        "Not applied to spectrograms.",
    )
    flip: bool = Field(
        False,
        description="Whether every second image is mirrored. "
        "Never use it for letters or digits. Not applied to spectrograms.",
    )


@dataclass(frozen=True)
class Batching:
    """How a training step takes its batch from the training split.

    Attributes:
        symbols: sequence length in one step; required for families of sequences. None for grids.
        random_offsets: whether every epoch of a text begins at a different symbol.
        augment: random augmentation of images; None for no augmentation.
    """

    symbols: int | None = None
    random_offsets: bool = False
    augment: Augmentation | None = None


class ModelConfig(Frozen):
    """An entry of `models`: the settings of all families, and what callers ask about a family.

    A family has a subclass of this class, or of `GridConfig`, with `family: Literal["NAME"]` and
    the family's own settings. Its properties answer what needs no weights; what needs weights is in
    `genmint.models.shared.family.Family`.

    Attributes:
        view: view of the data that the family takes and gives. Only a sequence can be text.
        compilable: whether `Family.compile` compiles something.
        same_step: keys of the family that do not change what a training step computes.
    """

    view: ClassVar[View]
    compilable: ClassVar[bool] = False
    same_step: ClassVar[frozenset[str]] = frozenset()

    if TYPE_CHECKING:
        # Each subclass declares its own field, which in files comes after the fields of this class.
        family: str

    dataset: Annotated[str, Field(min_length=1)] = Field(
        description="Name of the data set entry that the model is trained on."
    )
    seed: Seed = Field(
        0,
        description="Seed of the initial weights, the order of the items and the noise. "
        "The same seed on the same kind of machine gives the same weights, bit for bit on a CPU.",
    )
    seeds: PositiveInt = Field(
        1,
        description="Number of training runs, with consecutive seeds from seed on. "
        "The best by validation is evaluated, and the spread is recorded as the metric "
        "seed_spread. "
        "3 to 5 distinguish chance from progress, at that many times the cost.",
    )
    steps: PositiveInt = Field(
        description="Number of training steps; each uses one batch. "
        "The best weights by validation are kept. "
        "Twice the steps take twice the time."
    )
    batch_size: PositiveInt = Field(
        64,
        description="Number of items in a step. "
        "More items give less noisy gradients, more memory and slower steps. "
        "Several processes share a batch. "
        "For a text it is the number of parts of the text that are read in parallel.",
    )
    accumulate: PositiveInt = Field(
        1,
        description="Number of batches whose gradients are summed before a step. "
        "It gives the effect of a larger batch in the memory of a small one.",
    )
    validate_every: PositiveInt = Field(
        200,
        description="Number of steps between two validations. "
        "Each adds a row to history.csv and may give the best weights. "
        "For a GAN the best weights are those whose samples are closest to the validation split by "
        "a sliced Wasserstein distance of the pixels.",
    )
    patience: PositiveInt | None = Field(
        None,
        description="Number of validations without improvement after which training stops early. "
        "null means never.",
    )
    conditional: bool = Field(
        False,
        description="Whether the model learns the items of each class, p(x|y), so that "
        "`genmint sample NAME --label` can draw a class. "
        "Use it if classes are left out or mixed up (classes, class_imbalance), or for finer "
        "samples wherever labels are known. "
        "It needs labels in the data set. "
        "Not for text, prior: vamp, or pack above 1. "
        "It costs 5 % more time for a VAE and an eighth more for a GAN. "
        "A class of a few hundred items is memorised sooner (authenticity, copying_z). "
        "Metrics are then of p(x|y) and are never compared with those of unconditional models.",
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Decay of the running average of the weights, over about the last "
        "1 / (1 - ema) steps. "
        "The average is what is validated and kept. "
        "0.999 stabilises GANs and short training runs. 0 means none.",
    )
    ema_schedule: DecaySchedule | None = Field(
        None,
        description="Change of ema during training. "
        "The number of averaged steps goes along half a cosine. "
        "{end: 0.999} with ema: 0.0 starts without averaging, as R3GAN does. "
        "The average then forgets the first steps, and is never far behind the weights. "
        "It costs nothing beyond ema. null means none.",
    )
    recovery: Recovery = Field(
        Recovery(),
        description="Reaction to a loss that is not finite, or to a gradient that explodes. "
        "Training goes back to the last validation with lower learning rates, and fails after "
        "too many attempts.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Number format of the computation. "
        "auto: the faster of fp32 and bf16, measured by long training runs; bf16 only for an RNN "
        "and for convolutions, on devices that multiply it in hardware. "
        "fp16 overflows; use it only where bf16 is missing. "
        "The value is recorded with the model. `genmint bench NAME` compares all of them.",
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="Whether torch.compile translates the model before the first step. "
        "auto: as measured by runs of half an hour or more; otherwise for fully connected VAEs of "
        "20,000 steps or more, on a GPU or a CPU with AMX. "
        "Translation takes a minute or two.",
    )
    channels_last: Literal["auto"] | bool = Field(
        "auto",
        description="Whether images are stored with the channels innermost. "
        "With bf16, convolutions are twice as fast; otherwise rarely faster. "
        "auto: as measured by long training runs; otherwise with bf16.",
    )

    @model_validator(mode="after")
    def _schedules_end(self) -> Self:
        for key, schedule in self.schedules.items():
            if schedule.steps is not None and schedule.steps > self.steps:
                raise ValueError(
                    f"{key}.steps must be at most steps, {self.steps}: the value never reaches end"
                )
        return self

    @property
    def schedules(self) -> dict[str, CosineSchedule]:
        """The schedules that are set, by key; those of the learning rates have no key."""
        possible: dict[str, CosineSchedule | None] = {"ema_schedule": self.ema_schedule}
        for name in type(self).model_fields:
            if isinstance(value := getattr(self, name), Optimiser):
                possible[f"{name}.beta2_schedule"] = value.beta2_schedule
        return {key: schedule for key, schedule in possible.items() if schedule is not None}

    @property
    def averages(self) -> bool:
        """Whether the weights are averaged over steps."""
        return self.ema > 0 or self.ema_schedule is not None

    def ema_at(self, step: int) -> float:
        """Return the decay of the running average of the weights in step `step` (from 0)."""
        schedule = self.ema_schedule
        if schedule is None:
            return self.ema
        start, end = 1 / (1 - self.ema), 1 / (1 - schedule.end)
        return 1 - 1 / schedule.between(start, end, step, self.steps)

    @classmethod
    def likelihood_metrics(cls, kind: Kind) -> tuple[str, ...]:
        """Metrics that follow from `Family.likelihoods` on data of this kind, without `_stderr`.

        Empty for a family without a likelihood, whose `likelihoods` is then not called.
        """
        return ()

    @property
    def batching(self) -> Batching:
        """How a training step takes its batch."""
        return Batching()

    @property
    def halvings(self) -> int:
        """How many times the network halves the sides of a grid; 0 if it does not."""
        return 0

    @property
    def halvings_key(self) -> str:
        """The key that `halvings` follows from."""
        return "hidden"

    def grid_problem(self, height: int, width: int) -> str | None:
        """Return what does not fit a grid of this size besides `halvings`: key and remedy."""
        return None

    @property
    def convolves(self) -> bool:
        """Whether there are convolutions over a grid, which `channels_last` may speed up."""
        return False

    @property
    def bf16_pays(self) -> bool:
        """Whether training in bfloat16 gives models as good; `precision: auto` then may use it."""
        return False

    @property
    def compiling_pays(self) -> bool:
        """Whether compilation makes a run of many steps faster, if it was not measured."""
        return False

    @property
    def has_lstm(self) -> bool:
        """Whether it needs an LSTM, which some processors have in float32 only."""
        return False

    @property
    def drawing(self) -> dict[str, Any]:
        """Sampling settings in the protocol: `temperature`, None where nothing is scaled.

        `top_k` and `top_p` are included only if they are set, because older records lack them.
        """
        return {"temperature": None}


class GridConfig(ModelConfig):
    """The keys that the families of grids share."""

    view = "grid"

    augment: Augmentation | None = Field(
        None,
        description="Random changes of the training images, drawn again in every step. "
        "Use it with thousands of images or fewer. It costs a few percent of the time. "
        "Images of 8×8 tolerate none of it: results on 100 digits got worse. "
        "A GAN learns to draw the changes as well: use shift: 1 at most, or diffaug. "
        "null means none.",
    )

    @property
    def batching(self) -> Batching:
        """Whole items, augmented."""
        return Batching(augment=self.augment)

    @property
    def bf16_pays(self) -> bool:
        """True for convolutions (benchmarks/results/quality.md)."""
        return self.convolves
