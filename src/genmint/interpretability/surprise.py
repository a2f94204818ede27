"""How much each character of a text surprises a model."""

from __future__ import annotations

import math

from torch import Tensor

from genmint.data import views
from genmint.models.rnn import RNN


def surprise(model: RNN, symbols: Tensor) -> list[tuple[str, float]]:
    """Characters and what they cost.

    Args:
        model: of text.
        symbols: int64 T, 2 or more: a stream, each predicted from those before it.

    Returns:
        T − 1 pairs, of every symbol but the first: what it stands for, and −log2 p in bits.
    """
    bits = (model.nats(symbols) / math.log(2)).tolist()
    shown = views.from_symbols(symbols[None, 1:], model.spec)
    assert isinstance(shown, list)
    return list(zip(shown[0], bits, strict=True))
