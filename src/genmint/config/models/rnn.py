"""Settings of the recurrent network."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, Kind, PositiveInt, Share
from genmint.config.models.base import Batching, ModelConfig, Optimiser


class SamplingConfig(Frozen):
    """How an RNN draws the next symbol."""

    # Logits become infinite at lower values.
    temperature: Annotated[float, Field(ge=1e-6, le=10.0)] = Field(
        1.0,
        description="Divisor of the logits. 1: as learnt. "
        "Lower: likelier and more uniform samples. Higher: more varied ones.",
    )
    top_k: PositiveInt | None = Field(
        None,
        description="Number of most probable symbols from which the next one is drawn. "
        "null means all.",
    )
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0,
        description="Probability of the nucleus, the most probable symbols from which the next one "
        "is drawn. "
        "0.9 to 0.95 avoid errors in texts that occur at temperature 1, with less variety. "
        "1 means all symbols.",
    )


class RNNConfig(ModelConfig):
    """Recurrent network over sequences of symbols (Elman 1990; LSTM, GRU)."""

    view = "sequence"
    same_step = frozenset({"sampling", "init", "forget_bias", "random_offsets"})

    family: Literal["rnn"] = Field(
        description="Family of the model. "
        "rnn: draws symbol by symbol and has an exact likelihood. "
        "Takes text, audio, and images in raster order; the only family for text."
    )
    cell: Literal["tanh", "lstm", "gru"] = Field(
        "lstm",
        description="Type of the recurrent cell. tanh: plain, forgets within tens of symbols. "
        "lstm, gru: remember hundreds of symbols, at three to four times the cost.",
    )
    hidden: PositiveInt = Field(
        256, description="Width of the state, in units. Cost grows with its square."
    )
    layers: PositiveInt = Field(1, description="Number of stacked recurrent layers.")
    embedding: PositiveInt = Field(
        64, description="Number of values that represent a symbol at the input."
    )
    # A long stream is scored in segments with 512 symbols of context, which limits this value.
    context: Annotated[int, Field(ge=1, le=512)] = Field(
        1,
        description="Symbols that a causal convolution in front of the cell sees; 1 means no "
        "convolution. "
        "For waveforms, use more than a period of the lowest note (24 samples in the built-in "
        "notes), so that the state need not remember the pitch.",
    )
    attention: Annotated[int, Field(ge=0, le=512)] = Field(
        0,
        description="Number of past symbols to which the top layer attends; 0 means none, 1 is "
        "refused. "
        "Use it if names and brackets are forgotten. "
        "Time and memory grow with it: 128 takes half as much time again for two layers.",
    )
    residual: bool = Field(
        False,
        description="Residual connections between recurrent layers. "
        "Use them for stacks of 3 layers or more, whose lower layers hardly learn. "
        "They need 2 layers or more and cost nothing.",
    )
    layer_norm: bool = Field(
        False,
        description="Layer normalisation of the inputs of the layers and the output. "
        "Use it for stacks, and if the loss jumps at the learning rate that the model needs. "
        "It costs a few percent of the time.",
    )
    tie_weights: bool = Field(
        False,
        description="Whether input and output share one embedding table. "
        "It has fewer weights, so it reduces over-fitting with little data or many symbols. "
        "embedding and hidden should be equal; otherwise a projection is added.",
    )
    init: Literal["orthogonal", "uniform"] = Field(
        "orthogonal",
        description="Initial recurrent weights. "
        "orthogonal: the state neither vanishes nor grows. "
        "uniform: PyTorch's default, within 1/√hidden, which forgets within tens of symbols.",
    )
    forget_bias: Annotated[float, Field(ge=-10, le=10)] = Field(
        0.0,
        description="Value added to the initial bias of an LSTM's forget gates. "
        "1: remembers from the first step on. "
        "Up to 5 for dependencies over hundreds of symbols, together with clip_norm, since "
        "gradients may grow. It costs nothing.",
    )
    dropout: Share = Field(
        0.0,
        description="Share of the values dropped between layers in training; must be below 1. "
        "0.2 to 0.5 reduce over-fitting. "
        "No effect with layers: 1, unless variational_dropout is true.",
    )
    variational_dropout: bool = Field(
        False,
        description="Whether dropout uses one mask for all symbols of a piece of bptt symbols. "
        "It then applies to input and output as well, so it also helps a single layer. "
        "It needs dropout above 0 and costs nothing.",
    )
    recurrent_dropout: Share = Field(
        0.0,
        description="Share of the recurrent weights dropped in each step; must be below 1. "
        "0.2 to 0.5 reduce over-fitting where dropout alone does not help. "
        "It costs a few percent of the time.",
    )
    weight_noise: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0,
        description="Initial standard deviation of the noise on all weights; it is then learnt. "
        "0.02 to 0.1; 0 means none. "
        "The loss includes a penalty on the information in the weights. "
        "It is the strongest remedy for over-fitting. "
        "A network with many more weights than the text has symbols learns nothing with it. "
        "It costs an eighth of the time and doubles the weight file. Not with weight_decay.",
    )
    bptt: PositiveInt = Field(
        64,
        description="Number of symbols through which gradients flow back; the state is carried "
        "further. "
        "A larger number learns longer dependencies, with fewer steps in the same time. "
        "For audio, use two to five periods of the lowest note.",
    )
    random_offsets: bool = Field(
        False,
        description="Whether each epoch of a text starts at another symbol, so that it is cut at "
        "other places. "
        "It reduces over-fitting in training runs of several epochs and costs nothing. "
        "No effect on data sets of items.",
    )
    optimiser: Optimiser = Field(
        Optimiser(lr=1e-3, clip_norm=1.0), description="Optimiser and learning rate schedule."
    )
    sampling: SamplingConfig = Field(
        SamplingConfig(), description="How the next symbol is drawn during evaluation and sampling."
    )

    @model_validator(mode="after")
    def _some_signal_is_left(self) -> Self:
        for key in ("dropout", "recurrent_dropout"):
            if getattr(self, key) >= 1.0:
                raise ValueError(f"{key} must be below 1: all values would be dropped")
        return self

    @model_validator(mode="after")
    def _switches_have_something_to_act_on(self) -> Self:
        if self.residual and self.layers == 1:
            raise ValueError("residual connects layers: set layers to 2 or more, or leave it out")
        if self.forget_bias and self.cell != "lstm":
            raise ValueError(
                f"forget_bias: {self.cell} has no forget gate; set cell: lstm, or leave it out"
            )
        if self.variational_dropout and self.dropout == 0:
            raise ValueError(
                "variational_dropout has no effect while dropout is 0: set dropout above 0"
            )
        if self.attention == 1:
            raise ValueError("attention: 1 sees no past; set 2 to 512 symbols, or 0 for none")
        if self.weight_noise and self.optimiser.weight_decay:
            raise ValueError(
                "weight_noise already penalises large weights: set optimiser.weight_decay to 0"
            )
        return self

    @classmethod
    def likelihood_metrics(cls, kind: Kind) -> tuple[str, ...]:
        """Code lengths, per character, audio sample or pixel value."""
        if kind == "text":
            return ("bits_per_character", "perplexity")
        return ("bits_per_sample",) if kind == "audio" else ("bits_per_dim",)

    @property
    def batching(self) -> Batching:
        """Sequences of `bptt` symbols."""
        return Batching(symbols=self.bptt, random_offsets=self.random_offsets)

    @property
    def bf16_pays(self) -> bool:
        """Always true: its steps are large matrix products."""
        return True

    @property
    def has_lstm(self) -> bool:
        """Whether its cells are LSTM cells."""
        return self.cell == "lstm"

    @property
    def drawing(self) -> dict[str, Any]:
        """The temperature, and `top_k` and `top_p` if they exclude any symbol."""
        limits = self.sampling.model_dump(exclude_defaults=True, include={"top_k", "top_p"})
        return {"temperature": self.sampling.temperature, **limits}
