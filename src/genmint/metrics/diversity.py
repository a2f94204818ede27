"""Diversity of generated texts, within a sample and between samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from genmint.common.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr
from genmint.metrics.resampling import Rows, jackknife_stderr
from genmint.metrics.words import Tokens

Grams = Counter[tuple[str, ...]]

_BLEU_ORDER = 4
_REPEATED = 4
# Replaces a count of 0 in BLEU: method 1 of Chen and Cherry (2014), as in Texygen.
_EPSILON = 0.1


def distinct(samples: Sequence[Tokens], n: int) -> tuple[float, float]:
    """Number of distinct n-grams over the number of all n-grams, for all samples together.

    Li et al. (2016), "A diversity-promoting objective function for neural conversation models".
    The value falls with the amount of text. Only values of equally long texts are comparable.

    Args:
        samples: words of each sample, as returned by `genmint.metrics.words.tokens`.
        n: number of words in an n-gram.

    Returns:
        0…1 (1: all n-grams differ), and its standard error (jackknife over samples). 0 if no sample
        has n words.
    """
    grams = [_grams(sample, n) for sample in samples]

    def share(rows: Rows) -> float:
        all_ = sum(grams[i].total() for i in rows)
        return len(set().union(*(grams[i] for i in rows))) / all_ if all_ else 0.0

    return share(np.arange(len(samples))), jackknife_stderr(share, len(samples))


def repetition(samples: Sequence[Tokens]) -> tuple[float, float]:
    """Share of the 4-grams of a sample that repeat an earlier one of the same sample.

    1 − distinct / all ("seq-rep-4" of Welleck et al. 2020), averaged over the samples with at least
    four words.

    Returns:
        0…1, and its standard error over the samples. 1 if no sample has four words.
    """
    grams = [_grams(sample, _REPEATED) for sample in samples]
    shares = np.array([1 - len(counts) / counts.total() for counts in grams if counts])
    return mean_and_stderr(shares) if len(shares) else (1.0, 0.0)


def self_bleu(samples: Sequence[Tokens]) -> tuple[float, float]:
    """BLEU-4 of each sample with all other samples as references, averaged over the samples.

    Zhu et al. (2018), "Texygen". BLEU follows Papineni et al. (2002), computed per sample, with
    counts of 0 replaced by 0.1. All pairs are used. The maximum count of an n-gram among the other
    samples follows from its two largest counts among all samples. The run time therefore grows
    linearly with the amount of text, not quadratically.

    Args:
        samples: words of each sample, at least two samples.

    Returns:
        0…1 (1: all samples are alike), and its standard error over the samples.

    Raises:
        DataError: there is only one sample, which has no reference.
    """
    if len(samples) < 2:
        raise DataError("self-BLEU needs at least two samples; raise protocol.samples")
    precisions = np.stack([_precisions(samples, n) for n in range(1, _BLEU_ORDER + 1)])
    lengths = np.array([len(sample) for sample in samples])
    scores = []
    for i, length in enumerate(lengths):
        if length == 0 or precisions[0, i] == 0:
            scores.append(0.0 if lengths.any() else 1.0)
            continue
        others = np.delete(lengths, i)
        # If two references are equally close in length, BLEU takes the shorter one.
        closest = min(others, key=lambda other: (abs(other - length), other))
        brevity = 1.0 if length > closest else math.exp(1 - closest / length)
        smoothed = np.where(precisions[:, i] > 0, precisions[:, i], _floors(length))
        scores.append(brevity * math.exp(np.log(smoothed).mean()))
    return mean_and_stderr(np.array(scores))


def _precisions(samples: Sequence[Tokens], n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Clipped n-gram precision of each sample, with all other samples as references."""
    grams = [_grams(sample, n) for sample in samples]
    first: dict[tuple[str, ...], tuple[int, int]] = {}
    second: dict[tuple[str, ...], int] = {}
    for i, counts in enumerate(grams):
        for gram, count in counts.items():
            best, _ = first.get(gram, (0, -1))
            if count > best:
                second[gram] = best
                first[gram] = (count, i)
            else:
                second[gram] = max(second[gram], count)
    result = np.zeros(len(samples))
    for i, counts in enumerate(grams):
        most = (
            (count, second[g] if first[g][1] == i else first[g][0]) for g, count in counts.items()
        )
        result[i] = sum(min(pair) for pair in most) / max(1, counts.total())
    return result


def _floors(length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Replacement for a precision of 0, for n = 1…4."""
    return np.array([_EPSILON / max(1, length - n) for n in range(_BLEU_ORDER)])


def _grams(words: Tokens, n: int) -> Grams:
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))
