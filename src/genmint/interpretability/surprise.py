"""Surprisal of each character of a text under a model."""

from __future__ import annotations

import math

from torch import Tensor

from genmint.data.views import tensors
from genmint.models.shared.abilities import Reader


def surprise(model: Reader, symbols: Tensor) -> list[tuple[str, float]]:
    """Characters and what they cost.

    Args:
        model: an RNN of text.
        symbols: int64 T, 2 or more: a stream in which each symbol is predicted from the previous
            ones.

    Returns:
        T − 1 pairs, for every symbol but the first: its character, and −log2 p in bits.
    """
    bits = (model.nats(symbols) / math.log(2)).tolist()
    shown = tensors.from_symbols(symbols[None, 1:], model.spec)
    assert isinstance(shown, list)
    return list(zip(shown[0], bits, strict=True))
