import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genmint.metrics import ngram
from genmint.metrics.ngram import NGram


@settings(max_examples=50, deadline=None)
@given(
    st.integers(2, 6).flatmap(
        lambda v: st.tuples(
            st.just(v),
            st.lists(st.integers(0, v - 1), min_size=1, max_size=60),
            st.lists(st.integers(0, v - 1), min_size=2, max_size=2),
            st.integers(1, 3),
        )
    )
)
def test_probabilities_sum_to_one_after_any_history(case):
    symbols, stream, history, order = case
    model = NGram(order, symbols).fit(np.array([stream]))
    distribution = model.distribution(history)
    assert distribution.sum() == pytest.approx(1, abs=1e-12)
    assert (distribution > 0).all()


def test_a_tiny_corpus_by_hand():
    # "a a b a": unigrams a 3, b 1; bigrams ·a, aa, ab, ba once each.
    model = NGram(2, 2).fit(np.array([[0, 0, 1, 0]]))
    # Unigrams: once 1, twice 0, so D = 1; two kinds; p₀ = ½.
    p1 = np.array([(2 + 2 * 0.5) / 4, (0 + 2 * 0.5) / 4])
    # Bigrams: all four once, D = 1; after a: two of two kinds, so all comes from p₁.
    assert model.distribution([0]) == pytest.approx((2 * p1) / 2)
    # After b: one of one kind.
    assert model.distribution([1]) == pytest.approx(p1)


def test_scores_are_the_distribution_at_each_place():
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 5, (1, 400)), rng.integers(0, 5, (1, 30))
    model = NGram(3, 5).fit(train)
    nats = model.nats(test)[0]
    for t in range(2, 30):
        before = test[0, t - 2 : t].tolist()
        assert nats[t] == pytest.approx(-math.log(model.distribution(before)[test[0, t]]))


def test_order_1_approaches_the_entropy_of_a_known_chain():
    rng = np.random.default_rng(0)
    transition = np.array([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [0.7, 0.0, 0.3]])
    chain = np.zeros((80, 2500), dtype=np.int64)
    for t in range(1, chain.shape[1]):
        levels = transition[chain[:, t - 1]].cumsum(axis=1)
        chain[:, t] = (rng.random((80, 1)) > levels).sum(axis=1)
    eigenvalues, vectors = np.linalg.eig(transition.T)
    stationary = vectors[:, eigenvalues.real.argmax()].real
    stationary /= stationary.sum()
    logs = np.log(np.where(transition > 0, transition, 1))
    entropy = -(stationary[:, None] * transition * logs).sum()
    model = NGram(2, 3).fit(chain[:40])
    assert model.nats(chain[40:]).mean() == pytest.approx(entropy, rel=0.02)


def test_what_was_never_seen_is_possible():
    model = NGram(3, 4).fit(np.array([[0, 0, 0, 0, 0, 0]]))
    assert np.isfinite(model.nats(np.array([[3, 2, 1, 0]]))).all()


def test_sequences_do_not_run_into_each_other():
    # Were rows joined, 1 would often follow 0.
    rows = np.array([[0, 0], [1, 1]] * 50)
    after_zero = NGram(2, 2).fit(rows).distribution([0])
    assert after_zero[0] > 0.95


def test_counting_by_sorting_gives_what_the_table_gives(monkeypatch):
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 7, (3, 500)), rng.integers(0, 7, (2, 100))
    by_table = NGram(3, 7).fit(train).nats(test)
    monkeypatch.setattr(ngram, "_TABLE", 0)
    monkeypatch.setattr(ngram, "_ROWS", 1)
    assert np.array_equal(NGram(3, 7).fit(train).nats(test), by_table)


def test_samples_follow_the_distribution_after_each_history():
    rows = np.array([[0, 1, 2, 0, 1, 2] * 40])
    model = NGram(3, 3).fit(rows)
    drawn = model.sample(np.array([[0, 1]] * 20), 30, np.random.default_rng(0))
    assert drawn.shape == (20, 30)
    # After 0 and 1 nearly always comes 2, and so on in a circle.
    assert (drawn[:, 0] == 2).mean() > 0.9
    assert ((drawn[:, 1:] - drawn[:, :-1]) % 3 == 1).mean() > 0.9
    again = model.sample(np.array([[0, 1]] * 20), 30, np.random.default_rng(0))
    assert np.array_equal(drawn, again)
