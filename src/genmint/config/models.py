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
    top_k: PositiveInt | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0


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


class GANConfig(_ModelBase):
    """Generative adversarial network (Goodfellow et al. 2014)."""

    family: Literal["gan"]
    network: Literal["mlp", "dcgan"] = "mlp"
    hidden: Widths = (256, 256)
    latent: PositiveInt = 64
    loss: Literal["minimax", "non-saturating"] = "non-saturating"
    discriminator_steps: PositiveInt = 1
    generator: Optimiser = Optimiser(lr=2e-4, betas=(0.5, 0.999))
    discriminator: Optimiser = Optimiser(lr=2e-4, betas=(0.5, 0.999))


class RNNConfig(_ModelBase):
    """Recurrent network over sequences of symbols (Elman 1990; LSTM, GRU)."""

    family: Literal["rnn"]
    cell: Literal["tanh", "lstm", "gru"] = "lstm"
    hidden: PositiveInt = 256
    layers: PositiveInt = 1
    embedding: PositiveInt = 64
    # A long stream is scored in segments after 512 symbols of context: no more may be needed.
    context: Annotated[int, Field(ge=1, le=512)] = 1
    attention: Annotated[int, Field(ge=0, le=512)] = 0
    residual: bool = False
    layer_norm: bool = False
    tie_weights: bool = False
    init: Literal["orthogonal", "uniform"] = "orthogonal"
    forget_bias: Annotated[float, Field(ge=-10, le=10)] = 0.0
    dropout: Share = 0.0
    variational_dropout: bool = False
    recurrent_dropout: Share = 0.0
    weight_noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    bptt: PositiveInt = 64
    random_offsets: bool = False
    optimiser: Optimiser = Optimiser(lr=1e-3, clip_norm=1.0)
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _some_signal_is_left(self) -> Self:
        for key in ("dropout", "recurrent_dropout"):
            if getattr(self, key) >= 1.0:
                raise ValueError(f"{key} must be below 1: nothing would pass")
        return self

    @model_validator(mode="after")
    def _switches_have_something_to_act_on(self) -> Self:
        if self.residual and self.layers == 1:
            raise ValueError("residual joins layers: set layers to 2 or more, or leave it out")
        if self.forget_bias and self.cell != "lstm":
            raise ValueError(
                f"forget_bias: {self.cell} has no forget gate; set cell: lstm, or leave it out"
            )
        if self.variational_dropout and self.dropout == 0:
            raise ValueError(
                "variational_dropout says how values are dropped, and dropout is 0: set a share"
            )
        if self.attention == 1:
            raise ValueError("attention: 1 sees no past; set 2 to 512 symbols, or 0 for none")
        if self.weight_noise and self.optimiser.weight_decay:
            raise ValueError(
                "weight_noise has its own cost of large weights: set optimiser.weight_decay to 0"
            )
        return self


ModelConfig = Annotated[VAEConfig | GANConfig | RNNConfig, Field(discriminator="family")]
