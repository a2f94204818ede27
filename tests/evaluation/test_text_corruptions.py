"""What corruptions of texts keep, and what they change."""

import re
from collections import Counter

import numpy as np
import pytest

from genmint.evaluation.text_corruptions import (
    ngram_text,
    repeated_sentence,
    shuffled_characters,
    shuffled_words,
)

TEXTS = [
    "The first text has a sentence. And it has\nanother one, which is longer than the first.",
    "The second text,  with two spaces, says other things; it ends here without a full stop",
]


def source():
    return np.random.default_rng(0)


@pytest.mark.parametrize("corrupt", [shuffled_characters, shuffled_words, repeated_sentence])
def test_severity_grades_the_change(corrupt):
    many = [text.replace("text", f"text {i}") for i in range(20) for text in TEXTS]

    def changed(severity):
        corrupted = corrupt(many, severity, source())
        return sum(a != b for x, y in zip(many, corrupted, strict=True)
                   for a, b in zip(x, y, strict=False))  # fmt: skip

    assert changed(0.0) == 0
    assert 0 < changed(0.3) < changed(0.6) < changed(1.0)


def test_shuffled_characters_are_the_same_characters():
    for before, after in zip(TEXTS, shuffled_characters(TEXTS, 1.0, source()), strict=True):
        assert Counter(before) == Counter(after)
        assert before != after


def test_shuffled_words_keep_their_letters_and_the_spaces_their_place():
    for before, after in zip(TEXTS, shuffled_words(TEXTS, 1.0, source()), strict=True):
        assert Counter(before.split()) == Counter(after.split())
        assert re.findall(r"\s+", before) == re.findall(r"\s+", after)
        assert before.split() != after.split()


def test_a_repeated_sentence_is_as_long_as_the_text():
    first, second = repeated_sentence(TEXTS, 1.0, source())
    assert [len(first), len(second)] == [len(text) for text in TEXTS]
    assert first.startswith("The first text has a ")
    assert second.startswith(first[: len(first) // 2])


@pytest.mark.parametrize("order", [1, 2])
def test_ngram_text_has_only_sequences_of_the_training_text(order):
    train = np.array(list(b"abracadabra abrakadabra"), dtype=np.int64)
    circle = np.concatenate([train, train[:order]])
    known = {tuple(circle[i : i + order + 1]) for i in range(len(train))}
    drawn = ngram_text(train, order, (30, 40), source())
    assert drawn.shape == (30, 40)
    for text in drawn:
        assert {tuple(text[i : i + order + 1]) for i in range(40 - order)} <= known


def test_text_of_order_0_has_the_frequencies_of_the_training_text():
    train = np.repeat([3, 5, 6], [50, 30, 20])
    drawn = ngram_text(train, 0, (50, 200), source())
    shares = [(drawn == symbol).mean() for symbol in (3, 5, 6)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
