from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from genmint.metrics.divergence import frequency_distance, jensen_shannon


def test_it_is_the_square_of_what_scipy_gives_in_bits():
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 9, 30), rng.integers(0, 9, 30)
    a, b = (Counter({str(i): int(n) for i, n in enumerate(counts)}) for counts in (p, q))
    assert jensen_shannon(a, b) == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-9)


def test_equal_frequencies_are_at_0_and_strangers_at_1_bit():
    assert frequency_distance(["abab", "ab"], "ba") == (0.0, 0.0)
    assert frequency_distance(["aaa", "bb"], "cd") == (1.0, 0.0)


def test_half_of_the_symbols_by_hand():
    # p = (1, 0), q = (½, ½): ½·log₂(4/3) + ¼·log₂(2/3) + ¼·log₂ 2.
    expected = 0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25
    assert frequency_distance(["aaaa"], "ab")[0] == pytest.approx(expected)


def test_no_symbols_are_as_far_as_can_be():
    assert frequency_distance([[], []], ["word"]) == (1.0, 0.0)


def test_the_error_is_the_spread_over_texts():
    rng = np.random.default_rng(0)
    real = "a" * 50 + "b" * 30 + "c" * 20

    def draw():
        return frequency_distance(["".join(rng.choice(list("abc"), 20)) for _ in range(30)], real)

    found = [draw() for _ in range(80)]
    spread = np.std([value for value, _ in found])
    assert np.mean([stderr for _, stderr in found]) == pytest.approx(spread, rel=0.25)
