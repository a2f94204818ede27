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

    # Below it, logits become infinite.
    temperature: Annotated[float, Field(ge=1e-6, le=10.0)] = 1.0
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
    conditional: bool = False
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    recovery: Recovery = Recovery()
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto"] | bool = "auto"
    channels_last: bool = False


class Augmentation(Frozen):
    """How far training images are moved at most, anew in every step."""

    shift: Annotated[int, Field(ge=0)] = 0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    scale: Annotated[float, Field(ge=0, le=1)] = 0.0
    flip: bool = False


class _GridModel(_ModelBase):
    augment: Augmentation | None = None


class KLWarmup(Frozen):
    """How the weight of a VAE's KL rises from 0 to `beta` in the first `steps` of a training.

    One cycle with `ramp` 1 is the linear warm-up; several are the cyclical one.
    """

    steps: PositiveInt
    cycles: PositiveInt = 1
    ramp: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0

    @model_validator(mode="after")
    def _a_cycle_has_steps(self) -> Self:
        if self.cycles > self.steps:
            raise ValueError(f"cycles must be at most steps, {self.steps}: each takes one or more")
        return self


class SecondLevel(Frozen):
    """Latents above a VAE's latents, and the fully connected networks between them."""

    latent: PositiveInt
    hidden: Widths = (100, 100)


class VAEConfig(_GridModel):
    """Variational auto-encoder (Kingma and Welling 2014)."""

    family: Literal["vae"]
    network: Literal["mlp", "conv", "residual"] = "mlp"
    hidden: Widths = (512, 256)
    latent: PositiveInt = 16
    second_level: SecondLevel | None = None
    prior: Literal["standard", "vamp"] = "standard"
    pseudo_inputs: PositiveInt = 500
    norm: Literal["none", "batch", "group", "layer"] = "none"
    attention: bool = False
    beta: Annotated[float, Field(ge=0.0)] = 1.0
    kl_warmup: KLWarmup | None = None
    free_bits: Annotated[float, Field(ge=0.0)] = 0.0
    importance_samples: PositiveInt = 1
    likelihood: Literal[
        "bernoulli", "discretised-logistic", "discretised-logistic-mixture", "gaussian"
    ] = "bernoulli"
    mixtures: PositiveInt = 10
    activation: Literal["relu", "tanh", "silu"] = "relu"
    optimiser: Optimiser = Optimiser(lr=2e-4)

    @model_validator(mode="after")
    def _the_kl_has_a_weight(self) -> Self:
        if self.kl_warmup is not None and self.kl_warmup.steps > self.steps:
            raise ValueError(
                f"kl_warmup.steps must be at most steps, {self.steps}: the whole KL never counts"
            )
        if self.free_bits > 0 and self.importance_samples > 1:
            raise ValueError(
                "free_bits are of the KL, which importance_samples above 1 do without: "
                "leave one of them out"
            )
        if self.free_bits > 0 and self.prior == "vamp" and self.second_level is None:
            raise ValueError(
                "free_bits need a KL for every latent, which prior: vamp has not: "
                "leave one of them out"
            )
        remedy = "kl_warmup" if self.kl_warmup is not None else "free_bits"
        if self.beta == 0 and (self.kl_warmup is not None or self.free_bits > 0):
            raise ValueError(f"{remedy} needs beta above 0: leave it out, or raise beta")
        return self

    @model_validator(mode="after")
    def _the_network_bears_it(self) -> Self:
        if self.attention and self.network == "mlp":
            raise ValueError(
                "attention looks at places of a grid: it needs network: conv or residual"
            )
        if self.norm == "batch" and self.batch_size == 1:
            raise ValueError(
                "norm: batch needs a batch_size of 2 or more: take norm: group or layer"
            )
        if self.norm == "batch" and self.prior == "vamp":
            raise ValueError(
                "norm: batch would normalise by the pseudo-inputs of prior: vamp too: "
                "take norm: group or layer"
            )
        return self

    @model_validator(mode="after")
    def _labels_reach_all_that_is_encoded(self) -> Self:
        if self.conditional and self.prior == "vamp":
            raise ValueError(
                "conditional: the pseudo-inputs of prior: vamp have no labels: "
                "take prior: standard, or leave conditional out"
            )
        return self


class Penalty(Frozen):
    """What the discriminator pays for the slope of its scores."""

    name: Literal["none", "wgan-gp", "r1"] = "none"
    weight: PositiveFloat = 10.0
    every: PositiveInt = 1


class GANConfig(_GridModel):
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
        if self.conditional and self.pack > 1:
            raise ValueError(
                f"conditional: a pack of {self.pack} samples has no label of its own: set pack to "
                "1 (minibatch_stddev is for the same ill), or leave conditional out"
            )
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
