"""Settings of the variational auto-encoder."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, Kind, PositiveInt
from genmint.config.models.base import Optimiser, Widths
from genmint.config.models.codebook import CodebookConfig
from genmint.config.models.hierarchy import Hierarchy, LatentSampling
from genmint.config.models.sampler import Sampler

# Keys that only one network has, and keys of the other networks that it does not have.
_OWN: dict[str, tuple[str, ...]] = {
    "hierarchical": ("hierarchy", "sampling"),
    "vq": tuple(CodebookConfig.__annotations__),
}
_LACKED: dict[str, tuple[str, ...]] = {
    "hierarchical": ("hidden", "latent", "second_level", "prior", "norm", "attention"),
    "vq": (
        "latent",
        "second_level",
        "prior",
        "attention",
        "beta",
        "kl_warmup",
        "free_bits",
        "importance_samples",
        "sampler",
    ),
}
_INSTEAD = {"hierarchical": "hierarchy", "vq": "codes"}


class KLWarmup(Frozen):
    """Schedule that raises the weight of a VAE's KL term from 0 to `beta`.

    One cycle with `ramp` 1 is the linear warm-up; several cycles are the cyclical one.
    """

    steps: PositiveInt = Field(
        description="Number of steps of the schedule; at most the steps of the training run. "
        "Leave some steps at the full weight."
    )
    cycles: PositiveInt = Field(
        1,
        description="Number of times that the weight rises; at most steps. "
        "1 is the linear warm-up (Bowman et al. 2016), more the cyclical one (Fu et al. 2019).",
    )
    ramp: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="Share of each cycle in which the weight rises; it is beta in the rest."
    )

    @model_validator(mode="after")
    def _a_cycle_has_steps(self) -> Self:
        if self.cycles > self.steps:
            raise ValueError(f"cycles must be at most steps, {self.steps}: each takes one or more")
        return self


class SecondLevel(Frozen):
    """Latents above a VAE's latents, and the fully connected networks between them."""

    latent: PositiveInt = Field(description="Number of dimensions of the upper latent space.")
    hidden: Widths = Field(
        (100, 100),
        description="Widths of the layers between the two levels, in units. "
        "At least one layer; each 1 or more.",
    )


class VAEConfig(CodebookConfig):
    """Variational auto-encoder (Kingma and Welling 2014)."""

    compilable = True
    same_step = frozenset({"beta", "kl_warmup", "free_bits", "sampling", "sampler"})

    family: Literal["vae"] = Field(
        description="Family of the model. "
        "vae: learns a latent map of the data, has a bound on the likelihood, and its samples are "
        "soft. Takes images, and audio as spectrograms."
    )
    network: Literal["mlp", "conv", "residual", "hierarchical", "vq"] = Field(
        "mlp",
        description="Type of the networks. "
        "mlp: fully connected, for small grids. conv: convolutions, for larger ones. "
        "residual: with a residual block of two convolutions at each size; finer detail at two to "
        "four times the cost. "
        "hierarchical: groups of latents at every resolution, each given those before (hierarchy); "
        "the best likelihood of photographs, at tens of times the cost of conv. "
        "vq: a grid of codes from a learnt codebook (codes), at about the cost of residual; "
        "its reconstructions are much better than its samples.",
    )
    hierarchy: Hierarchy = Field(
        Hierarchy(),
        description="Latents and networks of network: hierarchical. "
        "Example: {groups: [2, 3, 4, 2], width: 48}, 11 groups over 4×4 to 32×32 for images of "
        "32×32. "
        "It takes the place of hidden and latent.",
    )
    hidden: Widths = Field(
        (512, 256),
        description="Widths of the encoder's layers from the data inwards, in units (mlp) or "
        "channels (conv, residual, vq). "
        "The decoder has them in reverse. "
        "Each convolutional layer halves height and width. "
        "Wider layers learn more, are slower and need more data. "
        "At least one layer; each 1 or more. "
        "Not with network: hierarchical.",
    )
    latent: PositiveInt = Field(
        16,
        description="Number of dimensions of the latent space. "
        "Few dimensions give smoother samples and a map that can be plotted; many give finer "
        "reconstructions. "
        "Dimensions that are not needed become inactive (active_units). "
        "Not with network: hierarchical or vq.",
    )
    second_level: SecondLevel | None = Field(
        None,
        description="Second level of latents, from which the prior of the first is learnt. "
        "Example: {latent: 50, hidden: [100, 100]}. "
        "It improves likelihoods of large sets, in a sixth more time. "
        "The upper level collapses easily, so add kl_warmup or free_bits. null means none.",
    )
    prior: Literal["standard", "vamp"] = Field(
        "standard",
        description="Prior of the latents. standard: N(0, I). "
        "vamp: the mean of the posteriors of learnt images (pseudo_inputs). "
        "Use vamp if the latents form groups, or if N(0, I) gives meaningless samples between "
        "good ones. "
        "Each step also encodes the pseudo-inputs: four times the time for 500 of them with "
        "batches of 64. "
        "They start as random pixels, so short training runs may get worse.",
    )
    pseudo_inputs: PositiveInt = Field(
        500,
        description="Number of pseudo-inputs of prior: vamp. "
        "Tens for small sets, 500 for MNIST. No effect with prior: standard.",
    )
    norm: Literal["none", "batch", "group", "layer"] = Field(
        "none",
        description="Normalisation after every hidden layer. "
        "batch: over the items of a batch of 32 or more; deep networks then train, and faster. "
        "group, layer: over the values of one item, for small batches; latents become active more "
        "slowly. "
        "A step takes a tenth longer.",
    )
    attention: bool = Field(
        False,
        description="Whether self-attention relates all positions of the grid (conv, residual). "
        "Use it for images whose distant parts belong together. "
        "Time and memory grow with the square of the positions: a small network on 28×28 takes "
        "three times as long. "
        "Little use on smaller grids.",
    )
    beta: Annotated[float, Field(ge=0.0)] = Field(
        1.0,
        description="Weight of the KL term, without unit. 1 is the evidence lower bound itself. "
        "Above 1: fewer active units and softer samples. "
        "Below 1: sharper reconstructions, and samples that fit the prior less.",
    )
    kl_warmup: KLWarmup | None = Field(
        None,
        description="Schedule that raises the weight of the KL term from 0 to beta. "
        "The decoder then learns to use the latents before they are penalised. "
        "Use it if the posterior collapses early (active_units low, kl near 0 from the first "
        "validations on). "
        "{steps: 1000} rises once; {steps: 2000, cycles: 4, ramp: 0.5} rises four times, each in "
        "the first half of its cycle. "
        "It costs only the steps. null means none.",
    )
    free_bits: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Free bits: KL per latent, in nats, that is not penalised "
        "(network: hierarchical: per group of latents). "
        "0.05 to 0.5 keep latents active that the KL term would switch off (strong decoder, high "
        "beta). "
        "Latents without information make the bound worse. 0 means off.",
    )
    importance_samples: PositiveInt = Field(
        1,
        description="Draws from the posterior per item in training (IWAE); 1 is the plain bound. "
        "5 to 50 give a tighter bound, more active latents and a better importance_weighted_bound, "
        "but perhaps a worse elbo. "
        "The decoder runs once per draw: a step takes twice the time with 5, eight times with 20.",
    )
    likelihood: Literal[
        "bernoulli", "discretised-logistic", "discretised-logistic-mixture", "gaussian"
    ] = Field(
        "bernoulli",
        description="Distribution of a pixel. "
        "bernoulli: on or off with the probability of its grey value; training pixels are drawn "
        "again in every step. For images that are nearly black and white. "
        "The others are over 256 values, for photographs and spectrograms, with a learnt width. "
        "discretised-logistic: heavy tails. gaussian: light tails, for clean images. "
        "discretised-logistic-mixture: pixels with several likely values, and colours, since the "
        "channels of a pixel depend on each other; each component costs as much as a whole "
        "discretised-logistic. "
        "ELBOs of bernoulli and of the others are of different random variables and are never "
        "compared.",
    )
    mixtures: PositiveInt = Field(
        10,
        description="Number of components of discretised-logistic-mixture. "
        "5 to 10 are usual. No effect on other likelihoods.",
    )
    activation: Literal["relu", "tanh", "silu"] = Field(
        "relu",
        description="Activation function of the hidden layers. "
        "silu is smooth and suits the smooth latent map of a VAE.",
    )
    optimiser: Optimiser = Field(
        Optimiser(lr=2e-4), description="Optimiser and learning rate schedule."
    )
    sampling: LatentSampling = Field(
        LatentSampling(),
        description="How latents are drawn during evaluation and sampling with "
        "network: hierarchical.",
    )
    sampler: Sampler = Field(
        Sampler(),
        description="Distribution that the latents of samples are drawn from. "
        "Example: {name: gmm, components: 10}. "
        "With network: hierarchical it is that of the coarsest group.",
    )

    @model_validator(mode="after")
    def _each_network_has_its_own_keys(self) -> Self:
        if self.network == "hierarchical":
            groups, temperature = self.hierarchy.groups, self.sampling.temperature
            if isinstance(temperature, tuple) and len(temperature) != len(groups):
                raise ValueError(
                    f"sampling.temperature must be one number, or {len(groups)}: one for each "
                    "resolution of hierarchy.groups"
                )
        lacked = _LACKED.get(self.network, ())
        remedy = f"leave it out (see {_INSTEAD.get(self.network)})"
        foreign = dict.fromkeys(lacked, remedy)
        for network, keys in _OWN.items():
            if network != self.network:
                foreign |= dict.fromkeys(keys, f"it needs network: {network}")
        for key, remedy in foreign.items():
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} has no effect with network: {self.network}: {remedy}")
        return self

    @model_validator(mode="after")
    def _the_kl_has_a_weight(self) -> Self:
        if self.kl_warmup is not None and self.kl_warmup.steps > self.steps:
            raise ValueError(
                f"kl_warmup.steps must be at most steps, {self.steps}: the weight of the KL term "
                "never reaches beta"
            )
        if self.free_bits > 0 and self.importance_samples > 1:
            raise ValueError(
                "free_bits limit the KL term, which importance_samples above 1 do not use: "
                "leave one of them out"
            )
        if self.free_bits > 0 and self.prior == "vamp" and self.second_level is None:
            raise ValueError(
                "free_bits need a KL for every latent, which prior: vamp does not have: "
                "leave one of them out"
            )
        remedy = "kl_warmup" if self.kl_warmup is not None else "free_bits"
        if self.beta == 0 and (self.kl_warmup is not None or self.free_bits > 0):
            raise ValueError(f"{remedy} needs beta above 0: leave it out, or raise beta")
        return self

    @model_validator(mode="after")
    def _the_network_bears_it(self) -> Self:
        if self.attention and self.network == "mlp":
            raise ValueError("attention relates grid positions: it needs network: conv or residual")
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

    @model_validator(mode="after")
    def _a_mixture_of_the_latents_can_be_fitted(self) -> Self:
        if self.network != "hierarchical" and (why := self.sampler.problem(self.latent)):
            raise ValueError(f"latent is {self.latent}, and {why}: lower it, or leave sampler out")
        return self

    @classmethod
    def likelihood_metrics(cls, kind: Kind) -> tuple[str, ...]:
        """Two bounds, a code length, and the number of active latents."""
        return ("elbo", "importance_weighted_bound", "bits_per_dim", "active_units")

    @property
    def convolves(self) -> bool:
        """True for all networks but `mlp`."""
        return self.network != "mlp"

    @property
    def halvings(self) -> int:
        """One per width, or one fewer than resolutions."""
        if self.network == "hierarchical":
            return len(self.hierarchy.groups) - 1
        return len(self.hidden) if self.convolves else 0

    @property
    def halvings_key(self) -> str:
        """`hidden`, or the groups of a hierarchy."""
        return "hierarchy.groups" if self.network == "hierarchical" else "hidden"

    def grid_problem(self, height: int, width: int) -> str | None:
        """The coarsest group of a hierarchy may be too wide for `sampler`."""
        scale = 2**self.halvings
        sides = math.ceil(height / scale), math.ceil(width / scale)
        why = self.sampler.problem(self.hierarchy.channels * math.prod(sides))
        if self.network != "hierarchical" or why is None:
            return None
        return (
            f"sampler: the coarsest group has {self.hierarchy.channels} latents at each of "
            f"{sides[0]}×{sides[1]} positions, and {why}: give hierarchy.groups more "
            "resolutions, lower hierarchy.channels, or leave sampler out"
        )

    @property
    def drawing(self) -> dict[str, Any]:
        """The temperature of the latents; None if it is 1, as for all other networks."""
        value = self.sampling.temperature
        levels = list(value) if isinstance(value, tuple) else [value]
        if all(each == 1.0 for each in levels):
            return {"temperature": None}
        return {"temperature": levels if isinstance(value, tuple) else value}

    @property
    def compiling_pays(self) -> bool:
        """True for `mlp`, which has many small layers and likelihoods."""
        return self.network == "mlp"
