"""The frozen reference network of a text: a small character LSTM trained on its training split.

Metrics in its features are named after the data set (`frechet_python_docs_rnn`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from genmint.config.base import Frozen, Share
from genmint.evaluation.stored_network import load_network, remedy, save_network
from genmint.metrics.resampling import evenly_spaced

FEATURES = 96
# Maximum length of a passage in characters: long enough for several sentences, and short enough
# that a sample of the usual 512 characters gives more than one.
PASSAGE = 128
# Number of characters at the beginning of a passage whose states are left out, because they depend
# on the initial state more than on the text.
_WARM_UP = 8
_EMBEDDING = 32
# Passages that are processed at a time, regardless of the protocol's batch size.
_PART = 64

TokenIds = npt.NDArray[np.int64]
TextFeatures = npt.NDArray[np.float64]


class TextNetworkInfo(Frozen):
    """extractor.json of a text: description of the weights.

    Attributes:
        name: `{data set with _}_rnn`, the suffix of its metrics' names.
        vocabulary: character of each token id, that of the prepared text.
        accuracy: share of the characters of the test split that it predicts correctly.
    """

    name: str
    vocabulary: Annotated[tuple[str, ...], Field(min_length=2)]
    accuracy: Share


class TextNetwork(nn.Module):
    """LSTM that predicts the next character; the features are its mean states over a passage.

    Args:
        symbols: size V of the vocabulary.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, _EMBEDDING)
        self.lstm = nn.LSTM(_EMBEDDING, FEATURES, batch_first=True)
        self.head = nn.Linear(FEATURES, symbols)
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("spread", torch.ones(FEATURES))

    def forward(
        self, symbols: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the logits of each next symbol, float32 N×T×V, for int64 N×T; and the state."""
        states, last = self.lstm(self.embedding(symbols), state)
        return self.head(states), last

    @torch.no_grad()
    def features(self, passages: TokenIds) -> TextFeatures:
        """Return the features of passages of equal length.

        Each feature is the mean of one hidden state over the passage, standardised to mean 0 and
        variance 1 over passages of the training split.

        Args:
            passages: token ids of the prepared vocabulary, int64 N×T.

        Returns:
            float64 N×96.
        """
        warm_up = min(_WARM_UP, passages.shape[1] - 1)
        rows = [
            self.lstm(self.embedding(part))[0][:, warm_up:].mean(dim=1)
            for part in torch.from_numpy(np.ascontiguousarray(passages)).split(_PART)
        ]
        hidden = torch.cat(rows).to(torch.float64)
        standardised: TextFeatures = ((hidden - self.centre) / self.spread).numpy()
        return standardised

    @torch.no_grad()
    def predictions(self, stream: TokenIds) -> TokenIds:
        """Return the most probable symbol at each position but the first; int64 T−1 for int64 T."""
        best, state = [], None
        for part in torch.from_numpy(stream[:-1])[None].split(_PART * PASSAGE, dim=1):
            logits, state = self(part, state)
            best.append(logits[0].argmax(dim=1))
        return torch.cat(best).numpy()


def passages(stream: TokenIds, length: int = PASSAGE) -> TokenIds:
    """Cut a stream of symbols, int64 T, into passages, int64 N×length; the rest is left out."""
    whole = len(stream) // length
    return stream[: whole * length].reshape(whole, length)


def document_passages(documents: Iterator[TokenIds], most: int) -> Iterator[tuple[int, TokenIds]]:
    """Yield each document with its number as passages, int64 N×L, at most `most` of it.

    L is the usual length of a passage, or the length of the document if that is shorter. Of a long
    document evenly spaced passages are taken. Empty documents are left out.
    """
    for number, document in enumerate(documents):
        if len(document) == 0:
            continue
        rows = passages(document, min(PASSAGE, len(document)))
        chosen = evenly_spaced(len(rows), most)
        yield number, rows[chosen]


def save_text_network(folder: Path, model: TextNetwork, info: TextNetworkInfo) -> None:
    """Write extractor.safetensors and extractor.json into `folder`."""
    save_network(folder, model.state_dict(), info)


def load_text_network(folder: Path) -> tuple[TextNetwork, TextNetworkInfo]:
    """Read the files written by `save_text_network`.

    Raises:
        GenmintError: a file is missing.
        DataError: the weights are damaged or belong to another network.
    """
    return load_network(
        folder,
        remedy(folder),
        TextNetworkInfo,
        lambda info: TextNetwork(len(info.vocabulary)),
    )
