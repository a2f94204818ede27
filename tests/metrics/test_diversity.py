import math
from collections import Counter

import numpy as np
import pytest
from torchmetrics.functional.text import bleu_score

from genmint.common.errors import DataError
from genmint.metrics.diversity import distinct, repetition, self_bleu

WORDS = ["the", "cat", "sat", "on", "a", "mat"]


def drawn(count, length, seed=0):
    rng = np.random.default_rng(seed)
    return [list(rng.choice(WORDS, rng.integers(length // 2, length))) for _ in range(count)]


def test_distinct_by_hand():
    samples = [["a", "b", "a", "b"], ["a", "c"]]
    assert distinct(samples, 1)[0] == 3 / 6
    # ab, ba, ab; ac
    assert distinct(samples, 2)[0] == 3 / 4
    assert distinct(samples, 3)[0] == 1.0
    assert distinct(samples, 5) == (0.0, 0.0)


def test_the_error_of_distinct_is_its_spread_over_texts():
    found = [distinct(drawn(40, 20, seed), 3) for seed in range(60)]
    spread = np.std([value for value, _ in found])
    assert 0.6 * spread < np.mean([stderr for _, stderr in found]) < 2.5 * spread


def test_repetition_by_hand():
    # abcd, bcda, cdab, dabc, abcd: one of five is a repetition.
    assert repetition([list("abcdabcd")]) == (pytest.approx(0.2), 0.0)
    value, stderr = repetition([list("abcdabcd"), list("abcde"), ["too", "short"]])
    assert value == pytest.approx(0.1)
    assert stderr == pytest.approx(0.1)
    assert repetition([["a"], []]) == (1.0, 0.0)


def test_a_loop_is_all_repetition():
    assert repetition([["a"] * 100])[0] == pytest.approx(1 - 1 / 97)


@pytest.mark.parametrize("length", [40, 20])
def test_self_bleu_agrees_with_torchmetrics(length):
    """Per sample against all others; where a count is 0 theirs is 0, so these are left out."""
    samples = drawn(12, length)
    texts = [" ".join(sample) for sample in samples]
    # Of references equally near in length they take the first: here the shorter, as nltk does.
    others = [sorted(texts[:i] + texts[i + 1 :], key=lambda t: len(t.split())) for i in range(12)]
    theirs = [float(bleu_score([t], [o])) for t, o in zip(texts, others, strict=True)]
    assert self_bleu(samples)[0] == pytest.approx(
        np.mean([score or naive_bleu(i, samples) for i, score in enumerate(theirs)]), rel=1e-5
    )
    assert sum(score > 0 for score in theirs) >= 2


def naive_bleu(i, samples):
    """Papineni et al. with 0.1 for a count of 0 (method 1 of Chen and Cherry), as it is written."""
    sample, others = samples[i], samples[:i] + samples[i + 1 :]
    logs = 0.0
    for n in range(1, 5):
        counts = [Counter(zip(*(s[k:] for k in range(n)), strict=False)) for s in (sample, *others)]
        clipped = sum(min(c, max(o[g] for o in counts[1:])) for g, c in counts[0].items())
        if clipped == 0 and n == 1:
            return 0.0
        logs += math.log((clipped or 0.1) / max(1, len(sample) - n + 1)) / 4
    closest = min((len(o) for o in others), key=lambda m: (abs(m - len(sample)), m))
    return math.exp(logs) * min(1.0, math.exp(1 - closest / len(sample)))


@pytest.mark.parametrize("length", [3, 8, 60])
def test_self_bleu_is_its_definition(length):
    samples = [*drawn(9, length, seed=1), ["xyzzy"], ["the", "the", "the", "the", "dog"]]
    expected = np.mean([naive_bleu(i, samples) for i in range(len(samples))])
    assert self_bleu(samples)[0] == pytest.approx(expected, rel=1e-12)


def test_self_bleu_of_the_same_text_is_one_and_of_strangers_nothing():
    assert self_bleu([WORDS] * 5) == pytest.approx((1.0, 0.0))
    assert self_bleu([list("abcdefg"), list("hijklmn")]) == (0.0, 0.0)


def test_texts_without_a_word_are_all_alike():
    assert self_bleu([[], []]) == (1.0, 0.0)


def test_a_single_text_has_nothing_to_be_like():
    with pytest.raises(DataError, match=r"protocol\.samples"):
        self_bleu([WORDS])
