"""n-gram models of sequences, used as trivial baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.common.array_types import Floats

Symbols = npt.NDArray[Any]
Codes = npt.NDArray[np.int64]

# Counting in a table is faster than sorting while the table is at most 128 MB.
_TABLE = 1 << 24
_ROWS = 1024
# Symbols processed at a time: codes and counts take about 60 bytes per symbol.
_SYMBOLS = 1 << 22


class NGram:
    """n-gram model with interpolated absolute discounting.

    p_k(w|h) = (max(c(hw) − D_k, 0) + D_k·N(h)·p_{k−1}(w|h′)) / c(h). c are counts in the training
    data, N(h) is the number of distinct symbols seen after h, and h′ is h without its first symbol.
    p_0 is uniform, and p_k = p_{k−1} for a history that was never seen (Ney, Essen and Kneser 1994,
    in the interpolated form of Chen and Goodman 1999). The probabilities of all symbols after any
    history sum to one.

    Args:
        order: n; 3 is a trigram, 2 conditions on one symbol.
        symbols: size V of the alphabet.
    """

    def __init__(self, order: int, symbols: int) -> None:
        self.order = order
        self.symbols = symbols
        # An additional symbol pads the beginning of every sequence.
        self._base = symbols + 1
        self._levels: list[_Level] = []

    def fit(self, sequences: Symbols) -> NGram:
        """Count the n-grams of integers 0…V−1, N×T (a stream is one row); return `self`."""
        self._levels = [_Level(*self._count(sequences, k), self._base) for k in self._orders()]
        return self

    def nats(self, sequences: Symbols) -> Floats:
        """Negative log-probability of every symbol in nats, float64 N×T, for integers N×T."""
        parts = []
        for rows in _in_parts(sequences):
            probability = np.full(rows.shape, 1 / self.symbols)
            for k, level in zip(self._orders(), self._levels, strict=True):
                probability = level.refine(self._codes(rows, k), probability)
            parts.append(-np.log(probability))
        return np.concatenate(parts)

    def totals(self, sequences: Symbols) -> Floats:
        """Sum of `nats` over each row, float64 N; rows are processed in parts to limit memory."""
        return np.concatenate([self.nats(rows).sum(axis=1) for rows in _in_parts(sequences)])

    def distribution(self, history: Sequence[int]) -> Floats:
        """Probabilities of the V symbols after `history`, n − 1 symbols or more; float64 V."""
        after = np.arange(self.symbols)
        probability = np.full(self.symbols, 1 / self.symbols)
        for k, level in zip(self._orders(), self._levels, strict=True):
            code = 0
            for symbol in history[len(history) - k + 1 :]:
                code = code * self._base + symbol
            probability = level.refine(code * self._base + after, probability)
        return probability

    def sample(
        self, starts: Symbols, length: int, generator: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Draw sequences that continue given beginnings, without them; int64 N×length.

        Args:
            starts: n − 1 symbols or more before each sequence, integers N×K.
            length: symbols to draw.
            generator: source of the draws.
        """
        rows, first = starts.shape
        drawn = np.concatenate([starts, np.zeros((rows, length), dtype=np.int64)], axis=1)
        draws = generator.random((rows, length))
        totals: dict[tuple[int, ...], Floats] = {}
        for at in range(first, first + length):
            for row in range(rows):
                history = tuple(drawn[row, at - self.order + 1 : at].tolist())
                if history not in totals:
                    totals[history] = self.distribution(history).cumsum()
                total = totals[history]
                drawn[row, at] = np.searchsorted(total, draws[row, at - first] * total[-1], "right")
        continued: npt.NDArray[np.int64] = np.minimum(drawn[:, first:], self.symbols - 1)
        return continued

    def _orders(self) -> range:
        return range(1, self.order + 1)

    def _codes(self, rows: Symbols, k: int) -> Codes:
        """The k-gram that ends at each symbol, encoded as one integer; N×T."""
        padded = np.pad(rows.astype(np.int64), ((0, 0), (k - 1, 0)), constant_values=self.symbols)
        codes = np.zeros(rows.shape, dtype=np.int64)
        for i in range(k):
            codes = codes * self._base + padded[:, i : i + rows.shape[1]]
        return codes

    def _count(self, sequences: Symbols, k: int) -> tuple[Codes, Codes]:
        """Distinct k-grams, ascending, and their counts."""
        size = self._base**k
        if size <= _TABLE:
            table = np.zeros(size, dtype=np.int64)
            for rows in _in_parts(sequences):
                table += np.bincount(self._codes(rows, k).ravel(), minlength=size)
            codes_seen = np.flatnonzero(table)
            return codes_seen, table[codes_seen]
        parts = [
            np.unique(self._codes(rows, k), return_counts=True) for rows in _in_parts(sequences)
        ]
        codes, where = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
        counts = np.zeros(len(codes), dtype=np.int64)
        np.add.at(counts, where, np.concatenate([part[1] for part in parts]))
        return codes, counts


class _Level:
    """Counts of one order, with the totals and the discount derived from them."""

    def __init__(self, codes: Codes, counts: Codes, base: int) -> None:
        self.codes, self.counts, self.base = codes, counts, base
        self.histories, first = np.unique(codes // base, return_index=True)
        self.totals = np.add.reduceat(counts, first)
        self.kinds = np.diff(np.append(first, len(codes)))
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        # Estimate of Ney, Essen and Kneser. If no n-gram occurs exactly once it would be 0, and
        # unseen n-grams would have probability 0.
        self.discount = once / (once + 2 * twice) if once else 0.5

    def refine(self, codes: Codes, lower: Floats) -> Floats:
        """p_k from p_{k−1}, for k-grams in an array of any shape."""
        count = _look_up(self.codes, self.counts, codes)
        total = _look_up(self.histories, self.totals, codes // self.base)
        kinds = _look_up(self.histories, self.kinds, codes // self.base)
        seen = np.maximum(count - self.discount, 0) + self.discount * kinds * lower
        refined: Floats = np.where(total > 0, seen / np.maximum(total, 1), lower)
        return refined


def _look_up(keys: Codes, values: Codes, wanted: Codes) -> Codes:
    """The value of each requested key; 0 if it is not among the ascending keys."""
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    values_at: Codes = np.where(keys[at] == wanted, values[at], 0)
    return values_at


def _in_parts(sequences: Symbols) -> Iterator[Symbols]:
    rows = max(1, min(_ROWS, _SYMBOLS // max(1, sequences.shape[1])))
    for start in range(0, len(sequences), rows):
        yield sequences[start : start + rows]
