"""Divergence between the character or word frequencies of samples and of held-out text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

from genmint.metrics.resampling import Rows, jackknife_stderr


def frequency_distance(
    samples: Sequence[Sequence[str]], real: Sequence[str]
) -> tuple[float, float]:
    """Jensen–Shannon divergence between the symbol frequencies of samples and of real text.

    Lin (1991), in bits: ½ Σ p log₂(p/m) + ½ Σ q log₂(q/m) with m = (p + q)/2. The value is biased
    upwards for short texts, most of all for words. Only values of equally long texts are
    comparable.

    Args:
        samples: symbols (characters or words) of each sample.
        real: symbols of the real text, at least one.

    Returns:
        0 (equal frequencies) to 1 bit (no common symbol, or no symbol in the samples), and its
        standard error (jackknife over samples).
    """
    target = Counter(real)
    counts = [Counter(sample) for sample in samples]

    def distance(rows: Rows) -> float:
        drawn: Counter[str] = Counter()
        for i in rows:
            drawn.update(counts[i])
        return jensen_shannon(drawn, target)

    return distance(np.arange(len(samples))), jackknife_stderr(distance, len(samples))


def jensen_shannon(a: Counter[str], b: Counter[str]) -> float:
    """Jensen–Shannon divergence of two count tables, in bits; 1 if one of them is empty."""
    of_a, of_b = a.total(), b.total()
    if not of_a or not of_b:
        return 1.0
    total = 0.0
    for symbol in dict.fromkeys(chain(a, b)):
        p, q = a[symbol] / of_a, b[symbol] / of_b
        middle = (p + q) / 2
        total += sum(x / 2 * math.log2(x / middle) for x in (p, q) if x)
    return max(0.0, total)
