"""Likelihoods per item as metrics: means with standard errors, and their units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from genmint.errors import DataError

Floats = npt.NDArray[np.float64]

# Characters of a text depend on their neighbours: the error is taken over blocks of this many,
# beyond which neighbouring blocks tell little of each other.
BLOCK = 1000

# `<s>`, the beginning of a document, in every vocabulary of ours.
BOUNDARY = 1


def mean_and_stderr(values: Floats) -> tuple[float, float]:
    """Mean of independent values and its standard error (0 for a single one)."""
    if len(values) < 2:
        return float(values.mean()), 0.0
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def bits_per_symbol(nats: Floats, symbols: int) -> tuple[float, float]:
    """Bits per symbol of items that have `symbols` each (pixels × channels, samples), and error.

    Args:
        nats: negative log-likelihood of each item, float64 N.
        symbols: of one item.
    """
    mean, stderr = mean_and_stderr(nats)
    return mean / symbols / math.log(2), stderr / symbols / math.log(2)


def character_blocks(nats: Floats, targets: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Sum the code lengths of a text in blocks of 1,000 characters.

    Document boundaries are predicted like characters but counted in neither sum: how a corpus was
    cut into files is no part of its text. `<unk>` counts as a character.

    Args:
        nats: negative log-likelihood of each symbol, float64 T.
        targets: those symbols, int64 T.

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


def bits_per_character(nats: Floats, characters: Floats) -> tuple[float, float]:
    """Bits per character of a text and its standard error, from what `character_blocks` gives.

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
    """Perplexity per symbol, 2 to the bits, and its standard error (first order).

    As many equally likely symbols would be as hard to predict (Jelinek et al. 1977). Infinite from
    1,024 bits on, where no number holds it.
    """
    value = 2.0**bits if bits < 1024 else math.inf
    return value, value * math.log(2) * stderr
