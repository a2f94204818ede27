"""Means and standard errors of log-likelihoods, and conversion to bits and perplexity."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from genmint.common.array_types import Floats
from genmint.common.errors import DataError

# Neighbouring characters are correlated, so the standard error is computed over blocks of this
# many characters. Blocks of this length are nearly independent.
BLOCK = 1000

# `<s>`, the beginning of a document, in every vocabulary of genmint.
BOUNDARY = 1
# `<unk>`, any character that is not in the vocabulary.
UNKNOWN = 0
# Unicode scalar values (Unicode 16.0, D76): all code points but surrogates.
CHARACTERS = 0x110000 - 0x800


def mean_and_stderr(values: Floats) -> tuple[float, float]:
    """Mean of independent values and its standard error (0 for a single value)."""
    if len(values) < 2:
        return float(values.mean()), 0.0
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def bits_per_symbol(nats: Floats, symbols: int) -> tuple[float, float]:
    """Bits per symbol and standard error, for items with `symbols` symbols each.

    Args:
        nats: negative log-likelihood of each item, float64 N.
        symbols: number per item: pixels × channels of a grid, samples of an audio clip.
    """
    mean, stderr = mean_and_stderr(nats)
    return mean / symbols / math.log(2), stderr / symbols / math.log(2)


def character_blocks(nats: Floats, targets: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Sum the code lengths of a text in blocks of 1,000 characters.

    Document boundaries are predicted like characters, but neither sum includes them. The division
    of a corpus into files is not part of its text. `<unk>` counts as a character; see
    `with_unknown`.

    Args:
        nats: negative log-likelihood of each symbol, float64 T.
        targets: the symbols, int64 T.

    Returns:
        Nats and number of characters of each block, float64; the last block may be shorter.

    Raises:
        DataError: there are no characters.
    """
    kept = nats[targets != BOUNDARY]
    if len(kept) == 0:
        raise DataError("the test split has no characters to predict")
    starts = np.arange(0, len(kept), BLOCK)
    sums = np.add.reduceat(kept, starts)
    return sums, np.diff(np.append(starts, len(kept))).astype(np.float64)


def with_unknown(nats: Floats, targets: npt.NDArray[np.int64], symbols: int) -> Floats:
    """Add the cost of identifying the actual character to each `<unk>`; nats, float64 T.

    The code of a character outside the vocabulary has two parts: `<unk>`, then a uniform code over
    all other Unicode characters. Without the second part, a smaller vocabulary would improve the
    score, and models with different vocabularies would not be comparable.

    Args:
        nats: negative log-likelihood of each symbol, float64 T.
        targets: the symbols, int64 T.
        symbols: size of the vocabulary, `<unk>` and `<s>` included.
    """
    others = CHARACTERS - (symbols - 2)
    return np.where(targets == UNKNOWN, nats + math.log(max(1, others)), nats)


def bits_per_character(nats: Floats, characters: Floats) -> tuple[float, float]:
    """Bits per character of a text and its standard error, from the result of `character_blocks`.

    The error is that of a ratio of sums over blocks (linearised; Cochran 1977, section 6.4).
    """
    ratio = nats.sum() / characters.sum()
    n = len(nats)
    stderr = 0.0
    if n > 1:
        residuals = nats - ratio * characters
        stderr = math.sqrt(n / (n - 1) * float((residuals**2).sum())) / float(characters.sum())
    return float(ratio) / math.log(2), stderr / math.log(2)


def perplexity(bits: float, stderr: float) -> tuple[float, float]:
    """Perplexity per symbol, 2 to the power of `bits`, and its standard error (first order).

    It is the number of equally likely symbols that are as hard to predict (Jelinek et al. 1977). It
    is infinite from 1,024 bits on, where float64 overflows.
    """
    value = 2.0**bits if bits < 1024 else math.inf
    return value, value * math.log(2) * stderr
