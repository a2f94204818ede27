import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmint.metrics.classes import class_imbalance, class_kl, classes, confident, label_accuracy


def certain(answers, count):
    return np.eye(count)[answers]


def test_confidence_and_classes():
    probabilities = np.array([[0.9, 0.1, 0], [0.79, 0.21, 0], [0.1, 0.85, 0.05], [0.8, 0.2, 0]])
    share, stderr = confident(probabilities)
    assert share == 0.5
    assert stderr == pytest.approx(np.sqrt(0.25 / 3))
    assert classes(probabilities) == 2


def test_label_accuracy_is_the_share_that_is_what_was_asked_for():
    probabilities = np.array([[0.9, 0.1, 0], [0.4, 0.6, 0], [0.1, 0.3, 0.6], [0.8, 0.2, 0]])
    share, stderr = label_accuracy(probabilities, np.array([0, 1, 1, 0]))
    assert share == 0.75
    assert stderr == pytest.approx(np.sqrt(0.75 * 0.25 / 3))
    assert label_accuracy(certain(np.arange(3), 3), np.array([1, 2, 0])) == (0.0, 0.0)


def test_imbalance_is_the_total_variation_distance():
    samples = certain(np.repeat([0, 1, 2], [5, 3, 2]), 4)
    real = certain(np.repeat([0, 1, 2, 3], [2, 3, 2, 3]), 4)
    # 0.5 · (0.3 + 0 + 0 + 0.3)
    assert class_imbalance(samples, real)[0] == pytest.approx(0.3)
    assert class_imbalance(real, real)[0] == 0.0


def test_one_class_of_ten_is_nine_tenths_out_of_balance():
    real = certain(np.arange(10).repeat(5), 10)
    assert class_imbalance(certain(np.zeros(7, dtype=int), 10), real) == pytest.approx((0.9, 0))
    assert class_imbalance(real[:1], real) == (pytest.approx(0.9), 0.0)


def test_the_error_of_imbalance_is_its_spread_over_draws():
    rng = np.random.default_rng(0)
    real = certain(np.arange(4).repeat(100), 4)
    shares = [0.4, 0.3, 0.2, 0.1]
    drawn = [class_imbalance(certain(rng.choice(4, 300, p=shares), 4), real) for _ in range(200)]
    spread = np.std([value for value, _ in drawn])
    assert np.mean([stderr for _, stderr in drawn]) == pytest.approx(spread, rel=0.15)


def test_equal_shares_diverge_by_nothing():
    known = np.arange(1000).repeat(3)
    assert class_kl(certain(known, 1000), known) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert class_kl(certain(np.arange(1000), 1000), known)[0] == pytest.approx(0.0, abs=1e-12)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5))
def test_a_share_of_equal_classes_diverges_by_its_logarithm(some, more, each):
    count = some + more
    found, _ = class_kl(certain(np.arange(some).repeat(each), count), np.arange(count).repeat(7))
    assert found == pytest.approx(np.log(count / some))


def test_divergence_is_that_of_the_definition_and_bears_a_class_that_training_lacks():
    # Shares 3/4 and 1/4 of the samples, 2.5/4 and 1.5/4 of the data.
    value, _ = class_kl(certain(np.array([0, 0, 0, 1]), 2), np.array([0, 0, 1]))
    assert value == pytest.approx(0.75 * np.log(0.75 / 0.625) + 0.25 * np.log(0.25 / 0.375))
    lacking, _ = class_kl(certain(np.array([2, 2]), 3), np.array([0, 0, 1]))
    assert lacking == pytest.approx(np.log(4.5 / 0.5))


def test_chance_makes_as_much_divergence_as_the_docstring_says():
    rng = np.random.default_rng(0)
    known = np.arange(100).repeat(50)
    found = [class_kl(certain(rng.integers(0, 100, 2000), 100), known) for _ in range(60)]
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(99 / 4000, rel=0.05)
    assert values.std() < errors.mean() < 1.7 * values.std()


def test_the_error_of_divergence_is_its_spread_over_draws():
    rng = np.random.default_rng(0)
    known, shares = np.arange(4).repeat(100), [0.4, 0.3, 0.2, 0.1]
    drawn = [class_kl(certain(rng.choice(4, 300, p=shares), 4), known) for _ in range(200)]
    spread = np.std([value for value, _ in drawn])
    assert np.mean([stderr for _, stderr in drawn]) == pytest.approx(spread, rel=0.15)
