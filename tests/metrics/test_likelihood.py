import math

import numpy as np
import pytest

from genmint.common.errors import DataError
from genmint.metrics.likelihood import (
    bits_per_character,
    bits_per_symbol,
    character_blocks,
    mean_and_stderr,
    perplexity,
    with_unknown,
)


def test_mean_and_standard_error():
    mean, stderr = mean_and_stderr(np.array([1.0, 3.0, 5.0, 7.0]))
    assert mean == 4.0
    assert stderr == pytest.approx(math.sqrt(20 / 3) / 2)


def test_a_uniform_byte_costs_eight_bits():
    nats = np.full(10, 784 * math.log(256))
    assert bits_per_symbol(nats, 784) == pytest.approx((8.0, 0.0))


def test_document_boundaries_are_not_counted():
    targets = np.array([5, 1, 6, 0])
    nats = np.array([math.log(2), 100.0, math.log(2), math.log(8)])
    sums, characters = character_blocks(nats, targets)
    assert characters.tolist() == [3.0]
    assert bits_per_character(sums, characters) == (pytest.approx(5 / 3), 0.0)


def test_an_unknown_character_costs_its_symbol_and_which_one_it_is():
    """A vocabulary without any character codes each as one of all of Unicode's: 20.09 bits."""
    nats, targets = np.zeros(3), np.array([0, 1, 0])
    sums, characters = character_blocks(with_unknown(nats, targets, 2), targets)
    assert bits_per_character(sums, characters)[0] == pytest.approx(math.log2(1_112_064))
    # What is known costs what it did; of the others, those in the vocabulary are not possible.
    nats, targets = np.array([1.0, 2.0, 3.0]), np.array([5, 0, 1])
    assert with_unknown(nats, targets, 66).tolist() == [1.0, 2.0 + math.log(1_112_000), 3.0]


def test_blocks_cover_every_character_once():
    rng = np.random.default_rng(0)
    nats = rng.random(2345)
    sums, characters = character_blocks(nats, np.full(2345, 7))
    assert characters.tolist() == [1000.0, 1000.0, 345.0]
    assert sums.sum() == pytest.approx(nats.sum())
    assert bits_per_character(sums, characters)[0] == pytest.approx(nats.mean() / math.log(2))


def test_error_of_bits_per_character_is_the_spread_over_fresh_texts():
    rng = np.random.default_rng(0)

    def score():
        return bits_per_character(
            *character_blocks(rng.exponential(size=50_000), np.full(50_000, 2))
        )

    scores = [score() for _ in range(200)]
    said = np.mean([error for _, error in scores])
    assert said == pytest.approx(np.std([value for value, _ in scores]), rel=0.2)


def test_a_text_without_characters_is_refused():
    with pytest.raises(DataError, match="no characters"):
        character_blocks(np.ones(3), np.ones(3, dtype=np.int64))


def test_perplexity_is_the_number_of_equally_likely_symbols():
    value, stderr = perplexity(3.0, 0.01)
    assert value == pytest.approx(8)
    # By a difference instead of the derivative.
    assert stderr == pytest.approx(2**3.01 - 8, rel=0.01)
    assert perplexity(1e6, 1.0)[0] == math.inf
