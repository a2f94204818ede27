"""The `models` map of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveFloat, PositiveInt, Seed, Share

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class Optimiser(Frozen):
    """One optimiser and its schedule."""

    name: Literal["sgd", "adam", "adamw"] = "adam"
    lr: PositiveFloat
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Annotated[int, Field(ge=0)] = 0
    clip_norm: PositiveFloat | None = None


class Recovery(Frozen):
    """What a training does about a loss that is not finite, or a gradient that explodes."""

    attempts: Annotated[int, Field(ge=0)] = 3
    lr_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    explosion: Annotated[float, Field(gt=1)] = 1000.0


class SamplingConfig(Frozen):
    """How an RNN draws the next symbol."""

    temperature: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0


class _ModelBase(Frozen):
    dataset: Annotated[str, Field(min_length=1)]
    seed: Seed = 0
    seeds: PositiveInt = 1
    steps: PositiveInt
    batch_size: PositiveInt = 64
    accumulate: PositiveInt = 1
    validate_every: PositiveInt = 200
    patience: PositiveInt | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    recovery: Recovery = Recovery()
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto"] | bool = "auto"
    channels_last: bool = False


class VAEConfig(_ModelBase):
    """Variational auto-encoder (Kingma and Welling 2014)."""

    family: Literal["vae"]
    network: Literal["mlp", "conv", "residual"] = "mlp"
    hidden: Widths = (512, 256)
    latent: PositiveInt = 16
    beta: Annotated[float, Field(ge=0.0)] = 1.0
    likelihood: Literal["bernoulli", "discretised-logistic"] = "bernoulli"
    activation: Literal["relu", "tanh", "silu"] = "relu"
    optimiser: Optimiser = Optimiser(lr=2e-4)


class Penalty(Frozen):
    """What the discriminator pays for the slope of its scores."""

    name: Literal["none", "wgan-gp", "r1"] = "none"
    weight: PositiveFloat = 10.0
    every: PositiveInt = 1


class GANConfig(_ModelBase):
    """Generative adversarial network (Goodfellow et al. 2014)."""

    family: Literal["gan"]
    network: Literal["mlp", "dcgan", "residual"] = "mlp"
    hidden: Widths = (256, 256)
    latent: PositiveInt = 64
    loss: Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein"] = (
        "non-saturating"
    )
    penalty: Penalty = Penalty()
    spectral_norm: bool = False
    generator_norm: Literal["auto", "none", "batch", "group", "layer"] = "auto"
    discriminator_norm: Literal["auto", "none", "batch", "group", "layer"] = "auto"
    attention: bool = False
    pack: PositiveInt = 1
    minibatch_stddev: Annotated[int, Field(ge=0)] = 0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    diffaug: tuple[Literal["colour", "translation", "cutout"], ...] = ()
    discriminator_steps: PositiveInt = 1
    generator: Optimiser = Optimiser(lr=2e-4, betas=(0.5, 0.999))
    discriminator: Optimiser = Optimiser(lr=2e-4, betas=(0.5, 0.999))

    @model_validator(mode="after")
    def _the_slope_is_bounded_where_it_must_be(self) -> Self:
        if self.loss == "wasserstein" and self.penalty.name == "none" and not self.spectral_norm:
            raise ValueError(
                "loss: wasserstein grows without end unless the discriminator's slope is bounded: "
                "set penalty: {name: wgan-gp}, or spectral_norm: true"
            )
        if self.penalty.name != "none" and self.discriminator_norm == "batch":
            raise ValueError(
                f"penalty: {self.penalty.name} is on the slope at each item alone, which "
                "discriminator_norm: batch mixes with the others: use layer, none or auto"
            )
        if self.spectral_norm and self.discriminator_norm not in ("auto", "none"):
            raise ValueError(
                "spectral_norm bounds the discriminator's slope, which discriminator_norm: "
                f"{self.discriminator_norm} scales back: use none or auto"
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
            raise ValueError("attention is over places of a grid: use network: dcgan or residual")
        if len(set(self.diffaug)) < len(self.diffaug):
            raise ValueError("diffaug names a change twice: once is enough")
        return self


class RNNConfig(_ModelBase):
    """Recurrent network over sequences of symbols (Elman 1990; LSTM, GRU)."""

    family: Literal["rnn"]
    cell: Literal["tanh", "lstm", "gru"] = "lstm"
    hidden: PositiveInt = 256
    layers: PositiveInt = 1
    embedding: PositiveInt = 64
    # A long stream is scored in segments after 512 symbols of context: no more may be needed.
    context: Annotated[int, Field(ge=1, le=512)] = 1
    dropout: Share = 0.0
    bptt: PositiveInt = 64
    random_offsets: bool = False
    optimiser: Optimiser = Optimiser(lr=1e-3, clip_norm=1.0)
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _some_signal_is_left(self) -> Self:
        if self.dropout >= 1.0:
            raise ValueError("dropout must be below 1: nothing would pass")
        return self


ModelConfig = Annotated[VAEConfig | GANConfig | RNNConfig, Field(discriminator="family")]
