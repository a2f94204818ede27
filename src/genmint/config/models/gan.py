"""Settings of the generative adversarial network."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveFloat, PositiveInt
from genmint.config.models.base import GridConfig, Optimiser, Widths


class Penalty(Frozen):
    """Gradient penalty on the discriminator."""

    name: Literal["none", "wgan-gp", "r1"] = Field(
        "none",
        description="Type of the penalty. "
        "wgan-gp: drives the norm of the gradient to 1 between data and samples; use it with "
        "loss: wasserstein. "
        "r1: drives it to 0 at the data; use it with loss: non-saturating.",
    )
    weight: PositiveFloat = Field(
        10.0,
        description="Weight of the penalty in the loss, without unit. "
        "10 in the papers of both; 0.1 and 0.01 did well for points of two pixels.",
    )
    every: PositiveInt = Field(
        1,
        description="Number of steps from one penalty to the next; each is weighted by this "
        "number. "
        "16 is usual for r1, 1 for wgan-gp.",
    )


class GANConfig(GridConfig):
    """Generative adversarial network (Goodfellow et al. 2014)."""

    compilable = True

    family: Literal["gan"] = Field(
        description="Family of the model. "
        "gan: sharp samples, no likelihood, sensitive to its settings. "
        "Takes images, and audio as spectrograms."
    )
    network: Literal["mlp", "dcgan", "residual"] = Field(
        "mlp",
        description="Type of the networks. mlp: fully connected. "
        "dcgan: convolutions with batch normalisation. "
        "residual: a residual block at each size as well; finer detail at two to four times the "
        "cost. "
        "dcgan and residual need grids of 8 pixels or more a side.",
    )
    hidden: Widths = Field(
        (256, 256),
        description="Widths of the discriminator's layers from the data inwards, in units (mlp) or "
        "channels (dcgan, residual). "
        "The generator has them in reverse. "
        "Wider layers learn more, are slower and need more data. "
        "At least one layer; each 1 or more.",
    )
    latent: PositiveInt = Field(64, description="Number of dimensions of the noise vector.")
    loss: Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein"] = Field(
        "non-saturating",
        description="Loss of generator and discriminator. "
        "minimax: the original form, whose gradient vanishes while the discriminator wins. "
        "non-saturating: the generator learns from the start. "
        "least-squares: also attracts samples that pass for data but are far from them. "
        "hinge: ignores items that are already classified by a margin; use it with spectral_norm "
        "and deep networks. "
        "wasserstein: does not vanish, and its margin is a distance that falls as samples improve; "
        "needs penalty or spectral_norm. "
        "All cost the same.",
    )
    penalty: Penalty = Field(
        Penalty(),
        description="Gradient penalty on the discriminator; stabilises oscillating or collapsing "
        "training. "
        "A step with a penalty takes about half as long again.",
    )
    spectral_norm: bool = Field(
        False,
        description="Whether the discriminator's weights are divided by their largest singular "
        "value. "
        "The norm of its gradient then stays below about 1, with any loss. "
        "Try it first if the discriminator's accuracy approaches 1. "
        "A step of a tiny network takes half as long again, of large layers hardly longer.",
    )
    generator_norm: Literal["auto", "none", "batch", "group", "layer"] = Field(
        "auto",
        description="Normalisation in the generator. auto means batch. "
        "group and layer suit small batches.",
    )
    discriminator_norm: Literal["auto", "none", "batch", "group", "layer"] = Field(
        "auto",
        description="Normalisation in the discriminator. "
        "auto: batch in a dcgan, none in the other networks. "
        "In a dcgan, auto means layer with wgan-gp, and none with r1 and spectral_norm: whatever "
        "bounds the gradient at an item must not depend on the rest of its batch.",
    )
    attention: bool = Field(
        False,
        description="Whether both networks use self-attention where the grid is second smallest. "
        "Use it for shapes whose parts are far apart, from 32 pixels a side on. Not for mlp.",
    )
    pack: PositiveInt = Field(
        1,
        description="Number of samples that the discriminator judges together, as channels of one. "
        "Use 2 to 4 if modes are left out (coverage falls). It costs almost nothing. "
        "batch_size must be a multiple of it.",
    )
    minibatch_stddev: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Number of samples whose standard deviation the discriminator sees; 0 means "
        "none, 1 is refused. "
        "4 is usual. It is a remedy for missing modes like pack, at slightly more cost. "
        "batch_size must be a multiple of it times pack.",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0,
        description="Amount by which the target for data is below 1. "
        "0.1 is usual. It keeps the discriminator from certainty and costs nothing. "
        "Not for hinge and wasserstein, which have no targets.",
    )
    diffaug: tuple[Literal["colour", "translation", "cutout"], ...] = Field(
        (),
        description="Random changes of data and samples before the discriminator sees them. "
        "Use [translation] or all three if items are few, the discriminator memorises them and "
        "samples get worse (hundreds of digits, not thousands: docs/results.md). "
        "Training converges more slowly.",
    )
    discriminator_steps: PositiveInt = Field(
        1,
        description="Number of discriminator steps, each on new data, per generator step. "
        "Use 2 to 5 if the discriminator is too weak (its accuracy stays near 0.5 and samples do "
        "not improve).",
    )
    generator: Optimiser = Field(
        Optimiser(lr=2e-4, betas=(0.5, 0.999)), description="Optimiser of the generator."
    )
    discriminator: Optimiser = Field(
        Optimiser(lr=2e-4, betas=(0.5, 0.999)),
        description="Optimiser of the discriminator. "
        "A learning rate of two to four times the generator's replaces several discriminator steps "
        "(two time scales). "
        "Lower it if the discriminator's accuracy in the history approaches 1.",
    )

    @model_validator(mode="after")
    def _the_slope_is_bounded_where_it_must_be(self) -> Self:
        if self.loss == "wasserstein" and self.penalty.name == "none" and not self.spectral_norm:
            raise ValueError(
                "loss: wasserstein is unbounded unless the discriminator's gradient is bounded: "
                "set penalty: {name: wgan-gp}, or spectral_norm: true"
            )
        if self.penalty.name != "none" and self.discriminator_norm == "batch":
            raise ValueError(
                f"penalty: {self.penalty.name} needs the gradient at each item alone, and "
                "discriminator_norm: batch mixes the items of a batch: use layer, none or auto"
            )
        if self.spectral_norm and self.discriminator_norm not in ("auto", "none"):
            raise ValueError(
                "spectral_norm bounds the discriminator's gradient, which discriminator_norm: "
                f"{self.discriminator_norm} rescales: use none or auto"
            )
        return self

    @model_validator(mode="after")
    def _a_batch_can_be_judged(self) -> Self:
        if self.minibatch_stddev == 1:
            raise ValueError("minibatch_stddev: 1 compares nothing: use 0 (off), or 2 or more")
        together = self.pack * max(1, self.minibatch_stddev)
        if self.batch_size % together:
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of {together}, the samples that are "
                f"judged together (pack {self.pack}, minibatch_stddev {self.minibatch_stddev})"
            )
        return self

    @model_validator(mode="after")
    def _the_others_fit(self) -> Self:
        if self.label_smoothing > 0 and self.loss in ("hinge", "wasserstein"):
            raise ValueError(
                f"label_smoothing needs a loss with labels, and {self.loss} has none: set it to 0, "
                "or use loss: non-saturating or least-squares"
            )
        if self.attention and self.network == "mlp":
            raise ValueError("attention relates grid positions: use network: dcgan or residual")
        if self.conditional and self.pack > 1:
            raise ValueError(
                f"conditional: a pack of {self.pack} samples has no label of its own: set pack to "
                "1 (minibatch_stddev is a remedy for the same failure mode), or leave conditional "
                "out"
            )
        if len(set(self.diffaug)) < len(self.diffaug):
            raise ValueError("diffaug names a change twice: once is enough")
        return self

    @property
    def convolves(self) -> bool:
        """True for all networks but `mlp`."""
        return self.network != "mlp"

    @property
    def halvings(self) -> int:
        """One per width."""
        return len(self.hidden) if self.convolves else 0
