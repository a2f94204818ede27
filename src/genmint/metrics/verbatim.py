"""Copied passages and novel n-grams in generated text, compared with the training text."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.common.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr
from genmint.metrics.resampling import Rows, evenly_spaced, jackknife_stderr
from genmint.metrics.words import Tokens

_QUANTILE = 0.01
# Maximum number of held-out pieces; more of them hardly improve the 99 % quantile.
_PIECES = 200
# Maximum length of the training text, since a suffix array of more takes gigabytes.
LONGEST_TEXT = 4_000_000
# Maximum length of a run of one symbol. Rules and empty table cells are not quotations.
_IN_A_ROW = 3
_N = 4


def text_memorisation(
    samples: npt.NDArray[Any], train: npt.NDArray[Any], held_out: npt.NDArray[Any]
) -> dict[str, float]:
    """Longest passages that samples share with the training text, compared with held-out text.

    The longest run of symbols that occurs in the training text is measured for every sample and for
    held-out pieces of the same length. A symbol that repeats more than three times in a row counts
    three times.

    - `copied`: share of samples whose run is longer than that of 99 % of the held-out pieces.
    - `longest_copy`: the longest run of any sample, in symbols.
    - `copy_ratio`: `longest_copy` divided by the longest run of as many held-out pieces as there
      are samples (of all pieces, if there are fewer).

    Both reference lengths are limited to half the length of a sample. Pages that occur in several
    splits, as in manuals, would otherwise raise the reference so far that a model that only quotes
    passes.

    Args:
        samples: integers N×T.
        train: stream of integers; only the first 4,000,000 are used.
        held_out: stream of at least T integers.

    Returns:
        The three metrics by name, and `copied_stderr`.

    Raises:
        DataError: there are no samples, or the held-out text is shorter than a sample.
    """
    if len(samples) == 0:
        raise DataError("there are no samples to look for copies in; raise protocol.samples")
    length = samples.shape[1]
    pieces = len(held_out) // length
    if pieces == 0:
        raise DataError(
            f"the test split has {len(held_out)} characters, fewer than a sample of {length}; "
            "lower protocol.sample_length"
        )
    text = _Text(_squeezed(train[:LONGEST_TEXT]))
    chosen = evenly_spaced(pieces, _PIECES)
    compared = [held_out[i * length : (i + 1) * length] for i in chosen]
    normal = np.array([text.longest_run(_squeezed(piece)) for piece in compared])
    runs = np.array([text.longest_run(_squeezed(sample)) for sample in samples])
    limit = min(float(np.quantile(normal, 1 - _QUANTILE)), length / 2)
    as_many = evenly_spaced(len(normal), len(runs))
    longest = min(float(normal[as_many].max()), length / 2)
    copied, stderr = mean_and_stderr((runs > limit).astype(np.float64))
    return {
        "copied": copied,
        "copied_stderr": stderr,
        "longest_copy": float(runs.max()),
        # Avoids a division by 0 if the held-out pieces share no symbol with the training text.
        "copy_ratio": float(runs.max()) / max(1.0, longest),
    }


def novel_4grams(samples: Sequence[Tokens], train: Tokens) -> tuple[float, float]:
    """Share of the samples' word 4-grams that do not occur in the training text.

    McCoy et al. (2023), "How much do language models copy from their training data?". The value is
    1 for noise and 0 for a quotation. Compare with the value of held-out text.

    Args:
        samples: words and punctuation marks of each sample, see `genmint.metrics.words.tokens`.
        train: words and punctuation marks of the training text.

    Returns:
        0…1, and its standard error (jackknife over samples). 0 if no sample has four words.
    """
    wanted = [list(_windows(sample)) for sample in samples]
    known = set(_windows(train))
    new = np.array([sum(window not in known for window in windows) for windows in wanted])
    all_ = np.array([len(windows) for windows in wanted])

    def share(rows: Rows) -> float:
        return float(new[rows].sum()) / max(1.0, float(all_[rows].sum()))

    return share(np.arange(len(samples))), jackknife_stderr(share, len(samples))


def _windows(words: Tokens) -> zip[tuple[str, ...]]:
    return zip(*(islice(words, i, None) for i in range(_N)), strict=False)


def _squeezed(stream: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Remove each symbol that equals the three symbols before it."""
    repeated = np.zeros(len(stream), dtype=bool)
    k = _IN_A_ROW
    same = stream[1:] == stream[:-1]
    repeated[k:] = np.logical_and.reduce([same[i : len(same) - k + 1 + i] for i in range(k)])
    return stream[~repeated]


class _Text:
    """A text with its suffix array (Manber and Myers 1993), for substring search."""

    def __init__(self, stream: npt.NDArray[Any]) -> None:
        self.text = _as_string(stream)
        self.suffixes: list[int] = _sorted_suffixes(stream).tolist()

    def longest_run(self, sample: npt.NDArray[Any]) -> int:
        """Length of the longest run of `sample` that occurs in the text."""
        wanted = _as_string(sample)
        best = 0
        for start in range(len(wanted)):
            while start + best < len(wanted) and self._has(wanted[start : start + best + 1]):
                best += 1
        return best

    def _has(self, run: str) -> bool:
        n = len(run)
        at = bisect.bisect_left(self.suffixes, run, key=lambda i: self.text[i : i + n])
        return at < len(self.suffixes) and self.text.startswith(run, self.suffixes[at])


def _as_string(stream: npt.NDArray[Any]) -> str:
    # One character per symbol, from a range without surrogates that fits every supported alphabet.
    return (stream.astype(np.uint32) + 0x10000).astype("<u4").tobytes().decode("utf-32-le")


def _sorted_suffixes(stream: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Start positions of the suffixes in lexicographic order, by prefix doubling."""
    n = len(stream)
    rank = np.unique(stream, return_inverse=True)[1].astype(np.int64)
    width = 1
    while True:
        after = np.zeros(n, dtype=np.int64)
        after[: n - width] = rank[width:] + 1
        key = rank * (n + 1) + after
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        fresh = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
        rank = np.empty(n, dtype=np.int64)
        rank[order] = fresh
        width *= 2
        if fresh[-1] == n - 1 or width >= n:
            return order
