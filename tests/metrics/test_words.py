import numpy as np
import pytest

from genmint.data.views.spec import DataSpec
from genmint.metrics.words import as_text, tokens, words, words_in_held_out


def test_words_are_three_letters_or_more_without_digits_or_underscores():
    assert words("An Old_Man, 4 foo2bar naïve — ÉTÉ is") == [
        "old",
        "man",
        "foo",
        "bar",
        "naïve",
        "été",
    ]


def test_the_share_is_of_all_words_generated():
    assert words_in_held_out(["the cat the xqz.", "of it."], "The cat sat.")[0] == 0.75


def test_the_word_that_was_cut_off_is_left_out():
    assert words_in_held_out(["the ca"], "the")[0] == 1.0
    assert words_in_held_out(["the catt"], "the")[0] == 1.0
    assert words_in_held_out(["the catt "], "the")[0] == 0.5


def test_no_words_score_nothing():
    assert words_in_held_out(["1 2 ::", ""], "some words") == (0.0, 0.0)


def test_sequences_of_words_hold_punctuation_numbers_and_short_words():
    assert tokens("A dog's 2nd  bone, or\nbo") == ["A", "dog", "'", "s", "2nd", "bone", ",", "or"]
    assert tokens("") == []


def test_the_error_of_the_share_is_that_over_texts():
    """The same share in every text: no error. All or nothing: that of a binomial share."""
    assert words_in_held_out(["cat dog "] * 30, "cat")[1] == pytest.approx(0)
    halves = ["cat cat "] * 20 + ["dog dog "] * 20
    rng = np.random.default_rng(0)
    assert words_in_held_out(list(rng.permutation(halves)), "cat")[1] == pytest.approx(
        0.5 / np.sqrt(40), rel=0.3
    )


def test_symbols_become_text():
    spec = DataSpec(
        dataset="d", kind="text", view="sequence", shape=(), symbols=4,
        vocabulary=("<unk>", "<s>", "a", "b"),
    )  # fmt: skip
    assert as_text(np.array([1, 2, 3, 0]), spec) == "\nab\ufffd"
