"""Recurrent networks over sequences of symbols: tanh (Elman 1990), LSTM and GRU.

The tanh cell is h_t = tanh(W_hh h_{t−1} + W_xh x_t + b_h), the logits y_t = W_hy h_t + b_y, with
x_t the embedding of the symbol before, to which a causal convolution may add those before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config import Optimiser, RNNConfig
from genmint.data import mulaw
from genmint.data.spec import DataSpec
from genmint.errors import DataError
from genmint.models import recurrent
from genmint.models.blocks import ROWS, in_blocks, seeded
from genmint.models.family import Family, Loss, Turn, evaluating, in_mode
from genmint.models.noise import Noise

_DRAWS = 5

# `<unk>` stands for no character, so it is never drawn; `<s>` begins a document.
_UNKNOWN, _DOCUMENT = 0, 1

# Length of a generated text where nobody says.
DEFAULT_LENGTH = 512

# A long stream is scored as segments side by side, each after this many symbols of what precedes
# it: one symbol at a time would take minutes, and no cell here remembers further back.
SEGMENT, CONTEXT = 2048, 512

# Symbols of a pass in evaluation: bounds the memory for logits.
_PASS = 256

# Smooth functions that the output's weights start from: the finest of 256 levels has a wave of 2.3.
_OUTPUT_FEATURES = 38

_CELLS: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {
    "tanh": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}

State = list[Tensor | tuple[Tensor, Tensor]]
# Symbols N×T or N×(T+1), the state before them, and the dropout masks of the layers.
Part = tuple[Tensor, State | None, list[Tensor]]


class RNN(Family):
    """Embedding, recurrent layers with dropout between them, and a linear output.

    Items of fixed length begin with a start symbol of their own, `spec.symbols`, which is never
    generated. A text is one stream in which `<s>` begins each document.
    """

    view = "sequence"

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
        self.output = nn.Linear(config.hidden, spec.symbols)
        # A causal convolution, as in front of the samples of van den Oord et al. 2016: the cell
        # sees a wave as a wave instead of having to keep it in its state.
        self.window = (
            nn.Conv1d(config.embedding, config.embedding, config.context)
            if config.context > 1
            else None
        )
        self._start_weights()
        self._carried: State | None = None

    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """One group, `rnn`."""
        return {"rnn": (self.config.optimiser, list(self.parameters()))}

    def turns(self) -> tuple[Turn, ...]:
        """One descent a step."""
        return (Turn("rnn"),)

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Logits of the next symbol after each of `inputs`.

        Args:
            inputs: int64 N×T.
            state: of every layer after the symbols before, then the embeddings of the symbols that
                the convolution still sees; or None for the zero state.

        Returns:
            float32 N×T×symbols and the state after the last symbol. Nothing is dropped.
        """
        whole: Part = (inputs, state, [])
        count = recurrent.parts_of(len(inputs), inputs.shape[1], inputs.device)
        if count == 1 or torch.is_grad_enabled():
            return self._logits(whole)
        found = recurrent.at_once(self._logits, self._cut(whole, count))
        return torch.cat([logits for logits, _ in found]), self._joined([s for _, s in found])

    def loss(self, group: str, batch: Tensor, noise: Noise, *, fresh: bool) -> Loss:
        """The cross-entropy per symbol in nats; the state is carried to the next batch."""
        state = None if fresh else self._carried
        rows, length = len(batch), batch.shape[1] - 1
        symbols = rows * length

        def nats(part: Part) -> tuple[Tensor, State]:
            logits, after = self._logits((part[0][:, :-1], *part[1:]))
            targets = part[0][:, 1:].flatten()
            loss = functional.cross_entropy(logits.flatten(0, 1), targets, reduction="sum")
            return loss / symbols, _detached(after)

        whole = (batch, state, self._masks(noise, rows, length))
        parts = self._cut(whole, recurrent.parts_of(rows, length, batch.device))
        loss, after = recurrent.summed(nats, parts, list(self.parameters()))
        self._carried = self._joined(after)
        return Loss(loss, {"loss": loss.detach()})

    def carried(self) -> State | None:
        """The state after the last batch."""
        return self._carried

    def carry(self, carried: State | None) -> None:
        """Go on from a state."""
        self._carried = carried

    def health(self, data: Tensor, *, seed: int) -> dict[str, float]:
        """How far gradients reach back: `gradient_lag.D` for D = 1, 2, 4, … symbols.

        The norm of the gradient of the last symbol's loss by the embedding D symbols before, mean
        over at most 64 sequences of `bptt` symbols, or of as many as there are: it fades where
        gradients vanish and grows where they explode (Pascanu et al. 2013).
        """
        rows = self._excerpts(data)
        inputs, last = rows[:, :-1].to(self.device), rows[:, -1].to(self.device)
        x = self.embedding(inputs).detach().requires_grad_()
        # On a GPU, cuDNN has no way back through a network that evaluates.
        with in_mode(self, training=True), torch.enable_grad():
            hidden, _ = self._unroll(x, None)
            logits = self.output(hidden[:, -1])
            loss = functional.cross_entropy(logits, last, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
        # The embedding at the end is one symbol before what is predicted.
        norms = gradient.norm(dim=2).mean(dim=0).flip(0).tolist()
        lags = [2**i for i in range(len(norms)) if 2**i <= len(norms)]
        return {f"gradient_lag.{lag:03d}": norms[lag - 1] for lag in lags}

    def validation(self, data: Tensor, *, seed: int, batch_size: int) -> dict[str, float]:
        """`loss` is the cross-entropy per symbol in nats; nothing is drawn.

        Raises:
            DataError: a stream of a single symbol, which nothing precedes.
        """
        if self.streams and len(data) < 2:
            raise DataError(
                f"{self.spec.dataset}: the validation split holds a single symbol. "
                "Raise its share in params.yaml."
            )
        nats = self.nats(data, batch_size=batch_size)
        per_item = 1 if self.streams else data.shape[1]
        return {"loss": float(nats.mean()) / per_item}

    def nats(self, data: Tensor, *, batch_size: int = 256) -> Tensor:
        """Negative log-likelihood in nats.

        Args:
            data: N×T items, or the T symbols of a stream; any integer type.
            batch_size: no influence on the result, see `genmint.models.blocks.ROWS`.

        Returns:
            float64: N, one for each item; or T−1, one for each symbol of the stream but the first.
            A symbol of a stream is predicted from all before it in the first 2,048, and from the
            512 to 2,560 before it after that.
        """
        with evaluating(self):
            if not self.streams:
                start = torch.full((len(data), 1), self.start)
                items = torch.cat([start, data.cpu().long()], dim=1)
                return torch.cat([values.sum(1) for _, values in self._scored(items)])
            return self._stream_nats(data.cpu().long())

    def sample(
        self,
        n: int,
        *,
        seed: int,
        batch_size: int = 256,
        length: int | None = None,
        temperature: float | None = None,
        prompt: Tensor | None = None,
    ) -> Tensor:
        """Draw n sequences symbol by symbol from softmax(logits / temperature).

        Args:
            n: how many.
            seed: every sequence has its own row of noise, by inverse CDF.
            batch_size: no influence on the result.
            length: symbols; items have their own length unless it says otherwise, texts 512.
            temperature: default: that of the configuration.
            prompt: int64 n×P, P ≥ 1: symbols that each sequence goes on from; not returned.

        Returns:
            int64 n×T, 0…symbols−1.
        """
        length = length or (DEFAULT_LENGTH if self.streams else self.spec.shape[0])
        heat = temperature or self.config.sampling.temperature
        noise_of = seeded(seed, _DRAWS)
        rows = min(n, ROWS)
        parts = []
        with evaluating(self):
            for first in range(0, n, ROWS):
                noise = torch.rand(rows, length, generator=noise_of, dtype=torch.float64)
                begun = torch.full((rows, 1), self.start)
                if prompt is not None:
                    # The last block is filled up, so that every pass has the same shape.
                    which = torch.arange(first, first + rows).clamp_(max=n - 1)
                    begun = torch.cat([begun, prompt.cpu()[which]], dim=1)
                parts.append(self._draw(noise.to(self.device), heat, begun.to(self.device)).cpu())
        return torch.cat(parts)[:n]

    def _start_weights(self) -> None:
        """Start recurrent weights orthogonal, and those of levels that have an order smooth.

        Orthogonal matrices neither blow up nor fade what they carry (Saxe et al. 2014). Levels of
        sound and pixels drawn one by one would have to learn that 100 lies between 99 and 101, for
        which a short training sees each too seldom.
        """
        for name, weight in self.layers.named_parameters():
            if "weight_hh" in name:
                for gate in weight.chunk(weight.shape[0] // self.config.hidden):
                    nn.init.orthogonal_(gate)
        if self.streams:
            return
        with torch.no_grad():
            features = smooth_levels(self.symbols, self.config.embedding)
            if self.spec.kind == "audio" and self.config.embedding > 1:
                # Sound adds up in amplitude, not in its logarithm.
                amplitude = mulaw.decode(torch.arange(self.symbols)).float() / 32768
                features[:, -1] = 8 * amplitude
            self.embedding.weight[: self.symbols] = features
            self.embedding.weight[self.start] = 0
            mix = torch.randn(_OUTPUT_FEATURES, self.config.hidden)
            spread = 0.7 / self.config.hidden**0.5
            self.output.weight.copy_(smooth_levels(self.symbols, _OUTPUT_FEATURES) @ mix * spread)

    def _draw(self, noise: Tensor, temperature: float, begun: Tensor) -> Tensor:
        """Symbols N×T after those of `begun` (N×P) for uniform noise N×T by inverse CDF."""
        rows, length = noise.shape
        drawn = torch.empty(rows, length, dtype=torch.int64, device=noise.device)
        state: State | None = None
        given, symbol = begun[:, :-1], begun[:, -1:]
        for first in range(0, given.shape[1], _PASS):
            _, state = self(given[:, first : first + _PASS], state)
        for t in range(length):
            logits, state = self(symbol, state)
            scaled = logits[:, 0].double() / temperature
            if self.streams:
                scaled[:, _UNKNOWN] = -torch.inf
            cumulative = scaled.softmax(dim=1).cumsum(dim=1)
            level = noise[:, t : t + 1] * cumulative[:, -1:]
            symbol = torch.searchsorted(cumulative, level, right=True).clamp_(max=self.symbols - 1)
            drawn[:, t] = symbol[:, 0]
        return drawn

    def _stream_nats(self, stream: Tensor) -> Tensor:
        """Score segments of a stream side by side, each after its context; T−1 values."""
        head = next(self._scored(stream[None, : SEGMENT + 1]))[1][0]
        values = [head]
        first = SEGMENT
        whole = (len(stream) - 1 - first) // SEGMENT
        if whole > 0:
            width = CONTEXT + SEGMENT + 1
            windows = stream[first - CONTEXT :].unfold(0, width, SEGMENT)
            values += [part[:, CONTEXT:].flatten() for _, part in self._scored(windows)]
            first += whole * SEGMENT
        if len(stream) - 1 > first:
            tail = next(self._scored(stream[None, first - CONTEXT :]))[1][0]
            values.append(tail[CONTEXT:])
        return torch.cat(values)

    def _scored(self, sequences: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Nats of every symbol of N×(T+1) after the first: blocks of rows, float64 rows×T."""
        for rows, block in in_blocks(sequences, self.device):
            state: State | None = None
            parts = []
            for start in range(0, block.shape[1] - 1, _PASS):
                piece = block[:, start : start + _PASS + 1]
                logits, state = self(piece[:, :-1], state)
                nats = functional.cross_entropy(
                    logits.transpose(1, 2), piece[:, 1:], reduction="none"
                )
                parts.append(nats.double().cpu())
            yield rows, torch.cat(parts, dim=1)[: rows.stop - rows.start]

    def _masks(self, noise: Noise, rows: int, length: int) -> list[Tensor]:
        """Dropout masks of every layer but the first, rows×length×hidden; none without dropout."""
        if self.config.dropout == 0:
            return []
        keep = 1 - self.config.dropout
        shape = (rows, length, self.config.hidden)
        return [noise.bernoulli(keep, *shape).div_(keep) for _ in self.layers[1:]]

    def _cut(self, whole: Part, count: int) -> list[Part]:
        """Cut a batch into parts of about as many rows, in their order."""
        if count == 1:
            return [whole]
        symbols, state, masks = whole
        # Layers have their rows second, the embeddings that the convolution still sees first.
        states: list[State | None] = [None] * count
        if state is not None:
            cuts = [
                list(zip(*(_rows(t, count, 1) for t in part), strict=True))
                if isinstance(part, tuple)
                else _rows(part, count, int(i < len(self.layers)))
                for i, part in enumerate(state)
            ]
            states = [list(part) for part in zip(*cuts, strict=True)]
        of_masks = [list(m) for m in zip(*(m.tensor_split(count) for m in masks), strict=True)]
        of_masks = of_masks or [[] for _ in range(count)]
        return list(zip(symbols.tensor_split(count), states, of_masks, strict=True))

    def _joined(self, states: Sequence[State]) -> State:
        """The state of a batch from those of its parts."""
        if len(states) == 1:
            return states[0]
        joined: list[Any] = []
        for i, parts in enumerate(zip(*states, strict=True)):
            dim = int(i < len(self.layers))
            pairs = isinstance(parts[0], tuple)
            columns = zip(*parts, strict=True) if pairs else [parts]
            found = [torch.cat(list(column), dim) for column in columns]
            joined.append(tuple(found) if pairs else found[0])
        return joined

    def _logits(self, part: Part) -> tuple[Tensor, State]:
        symbols, state, masks = part
        hidden, after = self._unroll(self.embedding(symbols), state, masks)
        return self.output(hidden.contiguous()).float(), after

    def _unroll(
        self, x: Tensor, state: State | None, masks: Sequence[Tensor] = ()
    ) -> tuple[Tensor, State]:
        """What `output` sees, N×T×hidden, of embedded symbols N×T×embedding; the state after."""
        after: State = []
        if self.window is not None:
            past = x.new_zeros(len(x), self.config.context - 1, x.shape[2])
            seen = torch.cat([past if state is None else state[-1], x], dim=1)  # type: ignore[list-item]
            x = x + self.window(seen.transpose(1, 2)).transpose(1, 2)
        for i, layer in enumerate(self.layers):
            if i > 0 and masks:
                x = x * masks[i - 1]
            x, layer_state = layer(x, None if state is None else state[i])
            after.append(layer_state)
        if self.window is not None:
            after.append(seen[:, 1 - self.config.context :])
        return x, after

    def _excerpts(self, data: Tensor) -> Tensor:
        """At most ROWS sequences of at most bptt + 1 symbols from the start of a split; int64."""
        length = self.config.bptt + 1
        if not self.streams:
            start = torch.full((len(data[:ROWS]), 1), self.start)
            return torch.cat([start, data[:ROWS].cpu().long()], dim=1)[:, :length]
        length = min(length, len(data))
        rows = min(ROWS, len(data) // length)
        return data[: rows * length].cpu().long().view(rows, length)


def smooth_levels(levels: int, width: int) -> Tensor:
    """Describe levels 0…levels−1 by `width` smooth functions: the level itself, sines and cosines.

    Returns:
        float32 levels×width: −2…2 in the first column, waves of half a period and upwards in the
        others, each pair 1.35 times as fast as the one before.
    """
    level = (torch.arange(levels) - levels / 2) / (levels / 2)
    columns = [2 * level]
    pace = 0.5 * math.pi
    while len(columns) < width:
        columns += [torch.sin(pace * level), torch.cos(pace * level)]
        pace *= 1.35
    return torch.stack(columns[:width], dim=1)


def _rows(state: Tensor, count: int, dim: int) -> list[Tensor]:
    return [part.contiguous() for part in state.tensor_split(count, dim=dim)]


def _detached(state: State) -> State:
    return [
        (part[0].detach(), part[1].detach()) if isinstance(part, tuple) else part.detach()
        for part in state
    ]
