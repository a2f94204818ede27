"""Network of the RNN family, from symbols to logits.

The tanh cell is h_t = tanh(W_hh h_{t−1} + W_xh x_t + b_h). The logits are y_t = W_hy h_t + b_y.
x_t is the embedding of the symbol before, to which a causal convolution may add earlier symbols.
A conditional network adds an embedding of the label to that of every symbol. The label is
therefore an input of every step (as in Graves 2013, section 5). Further options keep deep
networks and long sequences trainable: residual connections, normalisation, attention,
initialisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config import RNNConfig
from genmint.data.views import mulaw
from genmint.data.views.spec import DataSpec
from genmint.models.rnn import recurrent, states
from genmint.models.rnn.attention import PastAttention
from genmint.models.rnn.levels import smooth_levels
from genmint.models.rnn.states import BatchPart, RecurrentState
from genmint.models.shared.conditioning import classes_of
from genmint.models.shared.noise import Noise

# `<s>`, the beginning of a document.
_DOCUMENT = 1

# Number of smooth functions that initialise the output weights. The shortest wave is 2.3 levels
# for 256 levels.
_OUTPUT_FEATURES = 38

_CELLS: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {
    "tanh": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


class TiedOutput(nn.Module):
    """Linear output layer that shares its weights with the embedding: logit k uses row (E h)_k.

    Press and Wolf 2017; Inan et al. 2017. A state whose width differs from the embedding is first
    projected to it. The table is an argument of `forward`, so that the model and its file contain
    it only once.
    """

    def __init__(self, hidden: int, embedding: int, symbols: int) -> None:
        super().__init__()
        same = hidden == embedding
        self.projection = nn.Identity() if same else nn.Linear(hidden, embedding, bias=False)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """N×T×hidden to N×T×symbols; additional table rows (a start symbol) have no logit."""
        return functional.linear(self.projection(x), table[: len(self.bias)], self.bias)


class RecurrentNetwork(nn.Module):
    """Embedding, recurrent layers with dropout between them, and a linear output.

    Attributes:
        streams: whether the data are a text, which is one stream, or items of fixed length.
        start: the symbol that precedes the first one: `<s>` of a text. Items have an additional
            start symbol after all others, which is never generated.
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
        # One module per layer. The dropout of a multi-layer module uses the global generator.
        self.layers = nn.ModuleList(
            _CELLS[config.cell](width, config.hidden, batch_first=True) for width in widths
        )
        self.output: nn.Linear | TiedOutput = (
            TiedOutput(config.hidden, config.embedding, spec.symbols)
            if config.tie_weights
            else nn.Linear(config.hidden, spec.symbols)
        )
        # A causal convolution over the inputs, as in van den Oord et al. 2016. The cell gets the
        # recent waveform as input and need not store it in its state.
        self.window = (
            nn.Conv1d(config.embedding, config.embedding, config.context)
            if config.context > 1
            else None
        )
        # Normalisation of the input of every layer except the first, and of the output layer.
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

    def forward(
        self, inputs: Tensor, state: RecurrentState | None, labels: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Logits of the next symbol after each of `inputs`.

        Args:
            inputs: int64 N×T.
            state: of every layer after the previous symbols, then the embeddings in the window of
                the convolution, then the states in the window of the attention. None for the zero
                state.
            labels: int64 N, for a conditional model.

        Returns:
            float32 N×T×symbols and the state after the last symbol. Dropout is not applied.
        """
        whole = BatchPart(inputs, state, {}, labels)
        count = recurrent.parts_of(len(inputs), inputs.shape[1], inputs.device)
        if count == 1 or torch.is_grad_enabled():
            return self._logits(whole)
        depth = len(self.layers)
        parts = recurrent.at_once(self._logits, states.split_rows(whole, count, depth))
        return torch.cat([one for one, _ in parts]), states.joined([one for _, one in parts], depth)

    def _start_weights(self) -> None:
        """Initialise recurrent weights as orthogonal, and those of ordered levels as smooth.

        Orthogonal matrices preserve the norm of the state (Saxe et al. 2014). With a positive bias,
        the forget gate is open at the start, so that the cell keeps its state until it learns to
        forget (Jozefowicz et al. 2015, section 2.2).
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
            # Scale of the weights of an output layer; `_embedded` undoes it for the input.
            with torch.no_grad():
                self.embedding.weight.div_(self.config.embedding**0.5)

    def _start_levels(self) -> None:
        """Initialise embedding and output of ordered symbols as smooth functions of the level.

        With independent random rows, the network would have to learn that 100 lies between 99 and
        101. A short training run has too few examples of each audio level or pixel value for that.
        """
        with torch.no_grad():
            features = smooth_levels(self.symbols, self.config.embedding)
            if self.spec.kind == "audio" and self.config.embedding > 1:
                # Audio signals add linearly in amplitude, not in its logarithm.
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
        """Dropout masks by layer, see `states.BatchPart`; empty without dropout.

        Each value between layers is dropped independently (Zaremba et al. 2014). With
        `variational_dropout` a mask is shared by all symbols of the batch, and is also applied at
        the input and the output (Gal and Ghahramani 2016, section 4.2).
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
        """Input of the first layer, N×T×embedding, for symbols N×T and labels N."""
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
        self, x: Tensor, state: RecurrentState | None, masks: Mapping[int, Tensor]
    ) -> tuple[Tensor, RecurrentState]:
        """Input of `output`, N×T×hidden, for embedded symbols N×T×embedding; and the state after.

        With `residual` a layer adds its output to its input (Kim et al. 2017, section 2.1.2). With
        `layer_norm` the inputs of the layers after the first and of `output` are normalised (Ba et
        al. 2016).
        """
        depth = len(self.layers)
        before: Sequence[Any] = [None] * (depth + 2) if state is None else state
        after: RecurrentState = []
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
            outputs, layer_state = layer(read, before[i])
            x = x + outputs if i > 0 and self.config.residual else outputs
            after.append(layer_state)
        if self.window is not None:
            after.append(seen[:, 1 - self.config.context :])
        if self.config.layer_norm:
            x = self.norms[-1](x)
        if self.attention is not None:
            x, states_seen = self.attention(x, before[-1])
            after.append(states_seen)
        return x * masks[depth] if depth in masks else x, after

    def _logits(self, part: BatchPart) -> tuple[Tensor, RecurrentState]:
        x = self._embedded(part.symbols, part.labels)
        hidden, after = self._unroll(x, part.state, part.masks)
        return self._read_out(hidden.contiguous()).float(), after
