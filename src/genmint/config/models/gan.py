"""Settings of the generative adversarial network."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveFloat, PositiveInt
from genmint.config.models.base import CosineSchedule, GridConfig, Optimiser, Widths

Changes = Annotated[tuple[Literal["blit", "geometry", "colour"], ...], Field(min_length=1)]


class WeightSchedule(CosineSchedule):
    """Change of the weight of a penalty during training."""

    end: PositiveFloat = Field(description="Weight at the end.")


class Penalty(Frozen):
    """Gradient penalty on the discriminator."""

    name: Literal["none", "wgan-gp", "r1", "r1r2"] = Field(
        "none",
        description="Type of the penalty. "
        "wgan-gp: drives the norm of the gradient to 1 between data and samples; use it with "
        "loss: wasserstein. "
        "r1: drives it to 0 at the data; use it with loss: non-saturating. "
        "r1r2: drives it to 0 at the data and at the samples; use it with loss: relativistic. "
        "It costs twice as much as r1.",
    )
    weight: PositiveFloat = Field(
        10.0,
        description="Weight of the penalty in the loss, without unit. "
        "10 in the papers of wgan-gp and r1; 0.1 and 0.01 did well for points of two pixels. "
        "R3GAN uses r1r2 with 0.05 for photographs of 32×32 and 2 for faces of 64×64, each "
        "falling to a tenth (weight_schedule).",
    )
    weight_schedule: WeightSchedule | None = Field(
        None,
        description="Change of the weight during training. "
        "A large weight keeps the first steps stable, a small one lets the last steps sharpen the "
        "samples. It costs nothing. null means none.",
    )
    every: PositiveInt = Field(
        1,
        description="Number of steps from one penalty to the next; each is weighted by this "
        "number. "
        "16 is usual for r1, 1 for wgan-gp and r1r2.",
    )

    def at(self, step: int, steps: int) -> Self:
        """Return the penalty of step `step` (from 0) in a training run of `steps` steps."""
        schedule = self.weight_schedule
        if schedule is None:
            return self
        weight = schedule.between(self.weight, schedule.end, step, steps)
        return self.model_copy(update={"weight": weight})


class Ada(Frozen):
    """Adaptive discriminator augmentation (Karras et al. 2020)."""

    target: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.6,
        description="Mean of the sign of the discriminator's scores of data that is aimed at. "
        "Above it the discriminator memorises the data, and the probability of the changes rises; "
        "below it the probability falls. "
        "0.6 in the paper. With losses that compare pairs (relativistic, wasserstein), the sign is "
        "that of the difference to the score of a sample.",
    )
    every: PositiveInt = Field(
        4, description="Number of steps from one adjustment of the probability to the next."
    )
    rise: PositiveInt = Field(
        4000,
        description="Number of steps in which the probability can go from 0 to 1. "
        "The paper uses 500,000 images, which are 8,000 steps of 64. Short runs need fewer.",
    )
    limit: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="Largest probability of each change. "
        "Above about 0.8, generators draw the changes as well.",
    )
    changes: Changes = Field(
        ("blit", "geometry", "colour"),
        description="Groups of changes. "
        "blit: mirroring, turns by 90 degrees, shifts by whole pixels. "
        "geometry: scaling, rotation, stretching, shifts by fractions of a pixel. "
        "colour: brightness, contrast, inversion and, in colour images, hue and saturation. "
        "All three are best in the paper. Use [colour] for spectrograms.",
    )


class GANConfig(GridConfig):
    """Generative adversarial network (Goodfellow et al. 2014)."""

    compilable = True
    same_step = frozenset({"label_smoothing"})

    family: Literal["gan"] = Field(
        description="Family of the model. "
        "gan: sharp samples, no likelihood, sensitive to its settings. "
        "Takes images, and audio as spectrograms."
    )
    network: Literal["mlp", "dcgan", "residual", "r3"] = Field(
        "mlp",
        description="Type of the networks. mlp: fully connected. "
        "dcgan: convolutions with batch normalisation. "
        "residual: a residual block at each size as well; finer detail at two to four times the "
        "cost. "
        "r3: residual blocks of grouped convolutions without normalisation (R3GAN, Huang et al. "
        "2024); use it with loss: relativistic and penalty: {name: r1r2}. "
        "It has convolutions at the full size. "
        "With widths of [16, 32, 48, 64] and one residual block each, a step took four times as "
        "long as that of a dcgan with [32, 64, 128], and with r1r2 eight times. "
        "All but mlp need grids of 8 pixels or more a side.",
    )
    hidden: Widths = Field(
        (256, 256),
        description="Widths of the discriminator's layers from the data inwards, in units (mlp) or "
        "channels (dcgan, residual, r3). "
        "The generator has them in reverse. "
        "dcgan and residual halve the grid once per width. r3 has its first width at the full "
        "size and halves the grid once less; the last width should be that of a 4×4 grid, so "
        "32×32 pixels need four widths. "
        "Wider layers learn more, are slower and need more data. "
        "At least one layer; each 1 or more.",
    )
    blocks: PositiveInt = Field(
        2,
        description="Number of residual blocks per resolution of network: r3. "
        "The time grows in proportion.",
    )
    group_width: PositiveInt = Field(
        16,
        description="Number of channels per group of the 3×3 convolutions of network: r3. "
        "Twice each width of hidden must be a multiple of it. "
        "Fewer channels have fewer weights, at hardly less time.",
    )
    latent: PositiveInt = Field(64, description="Number of dimensions of the noise vector.")
    loss: Literal[
        "minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"
    ] = Field(
        "non-saturating",
        description="Loss of generator and discriminator. "
        "minimax: the original form, whose gradient vanishes while the discriminator wins. "
        "non-saturating: the generator learns from the start. "
        "least-squares: also attracts samples that pass for data but are far from them. "
        "hinge: ignores items that are already classified by a margin; use it with spectral_norm "
        "and deep networks. "
        "wasserstein: does not vanish, and its margin is a distance that falls as samples improve; "
        "needs penalty or spectral_norm. "
        "relativistic: compares each sample with an item of the data (Jolicoeur-Martineau 2019); "
        "its authors report that it keeps modes which others drop; "
        "use it with penalty: {name: r1r2}. "
        "All cost the same, except that the generator's step of relativistic also scores the data: "
        "up to a tenth more time.",
    )
    penalty: Penalty = Field(
        Penalty(),
        description="Gradient penalty on the discriminator; stabilises oscillating or collapsing "
        "training. "
        "A step with r1 takes a quarter longer, with wgan-gp half as long again. "
        "With r1r2 it takes two thirds longer in a dcgan, and twice as long in r3.",
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
        description="Normalisation in the generator. auto means batch, and none in r3. "
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
        "Use it for shapes whose parts are far apart, from 32 pixels a side on. "
        "Not for mlp and r3.",
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
        "Not for hinge, wasserstein and relativistic, which have no targets.",
    )
    diffaug: tuple[Literal["colour", "translation", "cutout"], ...] = Field(
        (),
        description="Random changes of data and samples before the discriminator sees them. "
        "Use [translation] or all three if items are few, the discriminator memorises them and "
        "samples get worse (hundreds of digits, not thousands: docs/results.md). "
        "Training converges more slowly.",
    )
    ada: Ada | None = Field(
        None,
        description="Adaptive augmentation: random changes of data and samples before the "
        "discriminator sees them, as often as it memorises the data. "
        "Use it for some thousand items or fewer; unlike diffaug it needs no choice of an amount. "
        "The history has the probability of each change (augmentation). "
        "A step of a dcgan takes a quarter longer. null means none.",
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
        if self.label_smoothing > 0 and self.loss in ("hinge", "wasserstein", "relativistic"):
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
        if self.ada is not None and self.diffaug:
            raise ValueError("ada and diffaug both augment: leave one of them out")
        return self

    @model_validator(mode="after")
    def _r3_is_as_published(self) -> Self:
        if self.network != "r3":
            for key in ("blocks", "group_width"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key}: only network: r3 has it: leave it out")
            return self
        none = {"generator_norm": ("auto", "none"), "discriminator_norm": ("auto", "none"),
                "spectral_norm": (False,), "attention": (False,),
                "minibatch_stddev": (0,)}  # fmt: skip
        for key, accepted in none.items():
            if getattr(self, key) not in accepted:
                raise ValueError(
                    f"{key}: network: r3 has no normalisation, attention or minibatch statistics: "
                    "leave it out, or use network: residual"
                )
        for width in self.hidden:
            if 2 * width % self.group_width:
                raise ValueError(
                    f"hidden: twice the width {width} is no multiple of group_width, "
                    f"{self.group_width}: change one of them"
                )
        return self

    @property
    def convolves(self) -> bool:
        """True for all networks but `mlp`."""
        return self.network != "mlp"

    @property
    def schedules(self) -> dict[str, CosineSchedule]:
        """With the schedule of the penalty's weight."""
        of_weight = self.penalty.weight_schedule
        more = {} if of_weight is None else {"penalty.weight_schedule": of_weight}
        return super().schedules | more

    @property
    def halvings(self) -> int:
        """One per width, in r3 one less."""
        if self.network == "r3":
            return len(self.hidden) - 1
        return len(self.hidden) if self.convolves else 0
