"""The network of an RNN: from symbols to logits, with what keeps deep and long ones trainable.

The tanh cell is h_t = tanh(W_hh h_{t−1} + W_xh x_t + b_h), the logits y_t = W_hy h_t + b_y, with
x_t the embedding of the symbol before, to which a causal convolution may add those before it. A
conditional network adds an embedding of the label to that of every symbol: what it is conditional
on is there at every step (as in Graves 2013, section 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config import RNNConfig
from genmint.data import mulaw
from genmint.data.spec import DataSpec
from genmint.models.conditioning import classes_of
from genmint.models.noise import Noise
from genmint.models.rnn.attention import PastAttention
from genmint.models.rnn.levels import smooth_levels
from genmint.models.rnn.states import State

# `<s>` begins a document.
_DOCUMENT = 1

# Smooth functions that the output's weights start from: the finest of 256 levels has a wave of 2.3.
_OUTPUT_FEATURES = 38

_CELLS: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {
    "tanh": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


class TiedOutput(nn.Module):
    """A linear output whose weights are the embedding's: logits of symbol k from its row (E h)_k.

    Press and Wolf 2017; Inan et al. 2017. A state of another width than the embedding is brought to
    it first. The table is handed in, so that it is one tensor of the model and of its file.
    """

    def __init__(self, hidden: int, embedding: int, symbols: int) -> None:
        super().__init__()
        same = hidden == embedding
        self.projection = nn.Identity() if same else nn.Linear(hidden, embedding, bias=False)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """N×T×hidden to N×T×symbols; rows of the table after those (a start symbol) have none."""
        return functional.linear(self.projection(x), table[: len(self.bias)], self.bias)


class RecurrentNetwork(nn.Module):
    """Embedding, recurrent layers with dropout between them, and a linear output.

    Attributes:
        streams: a text, which is one stream; otherwise items of fixed length.
        start: the symbol that precedes the first: `<s>`, or for items one of their own, after all
            others, which is never generated.
    """

    def __init__(self, config: RNNConfig, spec: DataSpec) -> None:
        super().__init__()
        assert spec.symbols is not None
        self.config = config
        self.spec = spec
        self.symbols = spec.symbols
        self.streams = spec.shape == ()
        self.start = _DOCUMENT if self.streams else spec.symbols
        rows = spec.symbols if self.streams else spec.symbols + 1
        self.embedding = nn.Embedding(rows, config.embedding)
        widths = [config.embedding] + [config.hidden] * (config.layers - 1)
        # One module a layer, not one for all: its dropout would draw from the global generator.
        self.layers = nn.ModuleList(
            _CELLS[config.cell](width, config.hidden, batch_first=True) for width in widths
        )
        self.output: nn.Linear | TiedOutput = (
            TiedOutput(config.hidden, config.embedding, spec.symbols)
            if config.tie_weights
            else nn.Linear(config.hidden, spec.symbols)
        )
        # A causal convolution, as in front of the samples of van den Oord et al. 2016: the cell
        # sees a wave as a wave instead of having to keep it in its state.
        self.window = (
            nn.Conv1d(config.embedding, config.embedding, config.context)
            if config.context > 1
            else None
        )
        # Each before it is read: by every layer but the first, and last by the output.
        self.norms = nn.ModuleList(
            nn.LayerNorm(config.hidden) for _ in range(config.layers if config.layer_norm else 0)
        )
        self.attention = (
            PastAttention(config.hidden, config.attention) if config.attention else None
        )
        self.classes = classes_of(config, spec)
        self.label = (
            None
            if self.classes is None
            else nn.Embedding(len(self.classes.names), config.embedding)
        )
        self._start_weights()

    def _start_weights(self) -> None:
        """Start recurrent weights orthogonal, and those of levels that have an order smooth.

        Orthogonal matrices neither blow up nor fade what they carry (Saxe et al. 2014); a gate that
        is open at first forgets nothing until it learns to (Jozefowicz et al. 2015, section 2.2).
        """
        for name, weight in self.layers.named_parameters():
            if "weight_hh" in name and self.config.init == "orthogonal":
                for gate in weight.chunk(weight.shape[0] // self.config.hidden):
                    nn.init.orthogonal_(gate)
            if "bias_ih" in name and self.config.forget_bias:
                with torch.no_grad():
                    weight.chunk(4)[1].add_(self.config.forget_bias)
        if not self.streams:
            self._start_levels()
        if self.config.tie_weights:
            # As large as weights of an output are; at the input they are scaled back.
            with torch.no_grad():
                self.embedding.weight.div_(self.config.embedding**0.5)

    def _start_levels(self) -> None:
        """Start symbols that have an order as smooth functions of it.

        Levels of sound and pixels drawn one by one would have to learn that 100 lies between 99 and
        101, for which a short training sees each too seldom.
        """
        with torch.no_grad():
            features = smooth_levels(self.symbols, self.config.embedding)
            if self.spec.kind == "audio" and self.config.embedding > 1:
                # Sound adds up in amplitude, not in its logarithm.
                amplitude = mulaw.decode(torch.arange(self.symbols)).float() / 32768
                features[:, -1] = 8 * amplitude
            self.embedding.weight[: self.symbols] = features
            self.embedding.weight[self.start] = 0
            if isinstance(self.output, TiedOutput):
                return
            mix = torch.randn(_OUTPUT_FEATURES, self.config.hidden)
            spread = 0.7 / self.config.hidden**0.5
            self.output.weight.copy_(smooth_levels(self.symbols, _OUTPUT_FEATURES) @ mix * spread)

    def _masks(self, noise: Noise, rows: int, length: int) -> dict[int, Tensor]:
        """Dropout masks by their place, see `states.Part`; none without dropout.

        Every value between layers is dropped for itself (Zaremba et al. 2014), or with
        `variational_dropout` for all symbols of the batch at once, at the input and the output as
        well (Gal and Ghahramani 2016, section 4.2).
        """
        if self.config.dropout == 0:
            return {}
        depth, keep = len(self.layers), 1 - self.config.dropout
        same = self.config.variational_dropout
        return {
            place: noise.bernoulli(
                keep,
                rows,
                1 if same else length,
                self.config.hidden if place > 0 else self.config.embedding,
            ).div_(keep)
            for place in (range(depth + 1) if same else range(1, depth))
        }

    def _embedded(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """What the first layer reads, N×T×embedding, of symbols N×T and labels N."""
        x: Tensor = self.embedding(symbols)
        if self.config.tie_weights:
            x = x * self.config.embedding**0.5
        if self.label is None:
            return x
        assert labels is not None, "a conditional model needs labels"
        return x + self.label(labels)[:, None]  # type: ignore[no-any-return]

    def _read_out(self, hidden: Tensor) -> Tensor:
        if isinstance(self.output, TiedOutput):
            return self.output(hidden, self.embedding.weight)  # type: ignore[no-any-return]
        return self.output(hidden)  # type: ignore[no-any-return]

    def _unroll(
        self, x: Tensor, state: State | None, masks: Mapping[int, Tensor]
    ) -> tuple[Tensor, State]:
        """What `output` sees, N×T×hidden, of embedded symbols N×T×embedding; the state after.

        With `residual` a layer adds to what it reads (Kim et al. 2017, section 2.1.2); with
        `layer_norm` it reads its input normalised (Ba et al. 2016), as the output does.
        """
        depth = len(self.layers)
        before: Sequence[Any] = [None] * (depth + 2) if state is None else state
        after: State = []
        if self.window is not None:
            past = before[depth]
            if past is None:
                past = x.new_zeros(len(x), self.config.context - 1, x.shape[2])
            seen = torch.cat([past, x], dim=1)
            x = x + self.window(seen.transpose(1, 2)).transpose(1, 2)
        for i, layer in enumerate(self.layers):
            read = self.norms[i - 1](x) if i > 0 and self.config.layer_norm else x
            if i in masks:
                read = read * masks[i]
            found, layer_state = layer(read, before[i])
            x = x + found if i > 0 and self.config.residual else found
            after.append(layer_state)
        if self.window is not None:
            after.append(seen[:, 1 - self.config.context :])
        if self.config.layer_norm:
            x = self.norms[-1](x)
        if self.attention is not None:
            x, states_seen = self.attention(x, before[-1])
            after.append(states_seen)
        return x * masks[depth] if depth in masks else x, after
