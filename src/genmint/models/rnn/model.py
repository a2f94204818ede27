"""Recurrent models of symbol sequences: tanh (Elman 1990), LSTM and GRU.

The network itself is in `genmint.models.rnn.network`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.common.errors import DataError
from genmint.config import Optimiser, RNNConfig, SamplingConfig
from genmint.data.views.spec import DataSpec, Observation
from genmint.models.rnn import drawing, recurrent, states, weight_noise
from genmint.models.rnn.network import RecurrentNetwork
from genmint.models.rnn.states import BatchPart, RecurrentState
from genmint.models.rnn.weight_noise import Posterior
from genmint.models.shared.abilities import Reader
from genmint.models.shared.blocks import ROWS, in_labelled_blocks, seeded
from genmint.models.shared.family import Likelihoods, Loss, OptimizerPhase, evaluating, in_mode
from genmint.models.shared.noise import Noise

_DRAWS = 5

# `<unk>` does not correspond to a character, so it is never drawn.
_UNKNOWN = 0

# Default length of a generated text.
DEFAULT_LENGTH = 512

# A long stream is scored in segments in parallel, each with CONTEXT preceding symbols. A sequential
# pass would take minutes, and the memory of the cells is shorter than the context.
SEGMENT, CONTEXT = 2048, 512

# Symbols per pass in evaluation, to limit the memory for logits.
_PASS = 256


class RNN(RecurrentNetwork, Reader):
    """Recurrent network that predicts each symbol from the symbols before it.

    Items of fixed length begin with an additional start symbol, `spec.symbols`, which is never
    generated. A text is one stream in which `<s>` begins each document.
    """

    config: RNNConfig

    def __init__(self, config: RNNConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.posterior = (
            Posterior(dict(self.named_parameters()), config.weight_noise)
            if config.weight_noise
            else None
        )
        self._carried: RecurrentState | None = None
        self._seen = 1

    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """One group, `rnn`."""
        return {"rnn": (self.config.optimiser, list(self.parameters()))}

    def phases(self) -> tuple[OptimizerPhase, ...]:
        """One optimizer phase per step."""
        return (OptimizerPhase("rnn"),)

    def learns_from(self, train: Tensor, labels: Tensor | None = None) -> None:
        """Store the number of training symbols, the divisor of `complexity`, and the labels."""
        super().learns_from(train, labels)
        self._seen = train.numel()

    def loss(
        self, group: str, batch: Tensor, noise: Noise, *, fresh: bool, labels: Tensor | None = None
    ) -> Loss:
        """Cross-entropy per symbol in nats; the state is carried to the next batch.

        With `weight_noise` the description length of the weights per training symbol is added
        (`complexity`).
        """
        state = None if fresh else self._carried
        rows, length = len(batch), batch.shape[1] - 1
        symbols = rows * length

        def nats(part: BatchPart) -> tuple[Tensor, RecurrentState]:
            logits, after = self._logits(part._replace(symbols=part.symbols[:, :-1]))
            targets = part.symbols[:, 1:].flatten()
            loss = functional.cross_entropy(logits.flatten(0, 1), targets, reduction="sum")
            return loss / symbols, states.detached(after)

        whole = BatchPart(batch, state, self._masks(noise, rows, length), labels)
        parts = states.split_rows(
            whole, recurrent.parts_of(rows, length, batch.device), len(self.layers)
        )
        with weight_noise.in_place_of(self, self._drawn_weights(noise)):
            loss, after = recurrent.summed(nats, parts, list(self._means().values()))
        self._carried = states.joined(after, len(self.layers))
        scalars = {"loss": loss.detach()}
        if self.posterior is not None:
            complexity = self.posterior.complexity(self._means()) / self._seen
            loss, scalars["complexity"] = loss + complexity, complexity.detach()
        return Loss(loss, scalars)

    def carried(self) -> RecurrentState | None:
        """State after the last batch."""
        return self._carried

    def carry(self, carried: RecurrentState | None) -> None:
        """Set the state that the next batch continues from."""
        self._carried = carried

    def health(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> dict[str, float]:
        """Gradient norm by time lag: `gradient_lag.D` for D = 1, 2, 4, … symbols.

        This is the norm of the gradient of the last symbol's loss with respect to the embedding D
        symbols before. It is averaged over at most 64 sequences of `bptt` symbols, or fewer symbols
        if the data are shorter. It falls with D if gradients vanish, and rises if they explode
        (Pascanu et al. 2013).
        """
        rows = self._excerpts(data)
        inputs, last = rows[:, :-1].to(self.device), rows[:, -1].to(self.device)
        of = None if labels is None else labels[: len(rows)].to(self.device)
        x = self._embedded(inputs, of).detach().requires_grad_()
        # On a GPU, the backward pass of cuDNN RNNs is only available in training mode.
        with in_mode(self, training=True), torch.enable_grad():
            hidden, _ = self._unroll(x, None, {})
            logits = self._read_out(hidden[:, -1:])[:, 0]
            loss = functional.cross_entropy(logits, last, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
        # The last embedding is one symbol before the predicted symbol.
        norms = gradient.norm(dim=2).mean(dim=0).flip(0).tolist()
        lags = [2**i for i in range(len(norms)) if 2**i <= len(norms)]
        return {f"gradient_lag.{lag:03d}": norms[lag - 1] for lag in lags}

    def validation(
        self, data: Tensor, *, seed: int, batch_size: int, labels: Tensor | None = None
    ) -> dict[str, float]:
        """`loss` is the cross-entropy per symbol in nats; nothing is drawn.

        Raises:
            DataError: the stream has a single symbol, so that there is nothing to predict.
        """
        if self.streams and len(data) < 2:
            raise DataError(
                f"{self.spec.dataset}: the validation split holds a single symbol. "
                "Raise its share in params.yaml."
            )
        nats = self.nats(data, batch_size=batch_size, labels=labels)
        per_item = 1 if self.streams else data.shape[1]
        return {"loss": float(nats.mean()) / per_item}

    def nats(self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None) -> Tensor:
        """Negative log-likelihood in nats.

        Args:
            data: N×T items, or the T symbols of a stream; any integer type.
            batch_size: does not affect the result, see `genmint.models.shared.blocks.ROWS`.
            labels: int64 N, for a conditional model; the result is then −log p(x|y).

        Returns:
            float64: N values, one per item; or T−1 values, one per symbol of the stream except the
            first. The first 2,048 symbols of a stream are predicted from all symbols before them.
            Later symbols are predicted from the 512 to 2,560 symbols before them.
        """
        with evaluating(self):
            if not self.streams:
                start = torch.full((len(data), 1), self.start)
                items = torch.cat([start, data.cpu().long()], dim=1)
                return torch.cat([values.sum(1) for _, values in self._scored(items, labels)])
            return self._stream_nats(data.cpu().long())

    @property
    def observation(self) -> Observation | None:
        """8-bit values for images, otherwise None."""
        return "8bit" if self.spec.kind == "image" else None

    def likelihoods(
        self,
        data: Tensor,
        *,
        seed: int,
        draws: int,
        batch_size: int,
        labels: Tensor | None = None,
    ) -> Likelihoods:
        """Exact log-likelihoods, from `nats`; nothing is drawn."""
        nats = self.nats(data, batch_size=batch_size, labels=labels)
        return Likelihoods({"log_likelihood": -nats})

    def read(self, symbols: Tensor) -> None:
        """One pass over int64 T symbols from the zero state."""
        with evaluating(self):
            self(symbols[None].to(self.device), None)

    def go_on(self, prompt: Tensor, *, seed: int, length: int) -> Tensor:
        """Generate `length` symbols after each prompt, int64 N×P; int64 N×`length`."""
        return self.sample(len(prompt), seed=seed, length=length, prompt=prompt)

    def sampling_arguments(self, n: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """A prompt, and overrides of the model entry's `sampling`, see `drawing`."""
        return drawing.sampling_arguments(self.spec, n, options)

    def sample(
        self,
        n: int,
        *,
        seed: int,
        batch_size: int = 256,
        length: int | None = None,
        labels: Tensor | None = None,
        prompt: Tensor | None = None,
        **limits: Unpack[drawing.SamplingOverrides],
    ) -> Tensor:
        """Draw n sequences symbol by symbol, see `genmint.models.rnn.drawing.draw`.

        Args:
            n: number of sequences.
            seed: of the noise; every sequence has its own row, used by inverse CDF.
            batch_size: does not affect the result.
            length: symbols per sequence; default: the item length of the data, 512 for texts.
            labels: int64 n, for a conditional model.
            prompt: int64 n×P, P ≥ 1: symbols that each sequence continues; not returned.
            limits: overrides of the model entry's `sampling`; None: no override.

        Returns:
            int64 n×T, 0…symbols−1.
        """
        length = length or (DEFAULT_LENGTH if self.streams else self.spec.shape[0])
        labels = self.labels_of(n, seed, labels)
        settings = drawing.overridden(self.config.sampling, **limits)
        noise_of = seeded(seed, _DRAWS)
        rows = min(n, ROWS)
        parts = []
        with evaluating(self):
            for first in range(0, n, ROWS):
                noise = torch.rand(rows, length, generator=noise_of, dtype=torch.float64)
                prefix = torch.full((rows, 1), self.start)
                # The last block is padded, so that every pass has the same shape.
                which = torch.arange(first, first + rows).clamp_(max=n - 1)
                if prompt is not None:
                    prefix = torch.cat([prefix, prompt.cpu()[which]], dim=1)
                of = None if labels is None else labels.cpu()[which].to(self.device)
                prefix, noise = prefix.to(self.device), noise.to(self.device)
                parts.append(self._draw(noise, settings, prefix, of).cpu())
        return torch.cat(parts)[:n]

    def _draw(
        self, noise: Tensor, settings: SamplingConfig, prefix: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Symbols N×T that follow `prefix` (N×P), for uniform noise N×T."""
        rows, length = noise.shape
        drawn = torch.empty(rows, length, dtype=torch.int64, device=noise.device)
        state: RecurrentState | None = None
        given, symbol = prefix[:, :-1], prefix[:, -1:]
        for first in range(0, given.shape[1], _PASS):
            _, state = self(given[:, first : first + _PASS], state, labels)
        for t in range(length):
            logits, state = self(symbol, state, labels)
            if self.streams:
                logits[:, :, _UNKNOWN] = -torch.inf
            symbol = drawing.draw(logits[:, 0], noise[:, t : t + 1], settings)
            drawn[:, t] = symbol[:, 0]
        return drawn

    def _stream_nats(self, stream: Tensor) -> Tensor:
        """Score segments of a stream in parallel, each after its context; T−1 values."""
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

    def _scored(
        self, sequences: Tensor, labels: Tensor | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Nats of every symbol of N×(T+1) except the first, in blocks of rows; float64 rows×T."""
        for rows, block, of in in_labelled_blocks(sequences, labels, self.device):
            state: RecurrentState | None = None
            parts = []
            for start in range(0, block.shape[1] - 1, _PASS):
                piece = block[:, start : start + _PASS + 1]
                logits, state = self(piece[:, :-1], state, of)
                nats = functional.cross_entropy(
                    logits.transpose(1, 2), piece[:, 1:], reduction="none"
                )
                parts.append(nats.double().cpu())
            yield rows, torch.cat(parts, dim=1)[: rows.stop - rows.start]

    def _means(self) -> dict[str, Tensor]:
        """Weights of the network, which are the posterior means if there is a posterior."""
        return {
            name: weight
            for name, weight in self.named_parameters()
            if not name.startswith("posterior.")
        }

    def _drawn_weights(self, noise: Noise) -> dict[str, Tensor]:
        """Weights that replace parameters in this batch, by name."""
        drawn: dict[str, Tensor] = {}
        if self.posterior is not None:
            drawn = self.posterior.draw(self._means(), noise)
        if self.config.recurrent_dropout:
            weights = {**self._means(), **drawn}
            recurrent_ones = {name: weights[name] for name in weights if "weight_hh" in name}
            drawn |= weight_noise.dropped(recurrent_ones, self.config.recurrent_dropout, noise)
        return drawn

    def _excerpts(self, data: Tensor) -> Tensor:
        """At most ROWS sequences of at most bptt + 1 symbols from the start of a split; int64."""
        length = self.config.bptt + 1
        if not self.streams:
            start = torch.full((len(data[:ROWS]), 1), self.start)
            return torch.cat([start, data[:ROWS].cpu().long()], dim=1)[:, :length]
        length = min(length, len(data))
        rows = min(ROWS, len(data) // length)
        return data[: rows * length].cpu().long().view(rows, length)
