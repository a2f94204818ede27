"""Intervals against reference implementations and against what they promise."""

import numpy as np
import pytest
import scipy.stats

from genmint.decision import intervals


def skewed(n=60, seed=3):
    return np.random.default_rng(seed).exponential(1.0, n) - 0.5


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [5, 60, 1500])
def test_the_bootstrap_is_bca_as_scipy_has_it(monkeypatch, confidence, n):
    """From the same draws, and with scipy's jackknife in the place of our closed form."""
    monkeypatch.setattr(intervals, "_RESAMPLES", 2000)
    values = skewed(n)
    low, high = intervals.bootstrap(values, confidence)
    theirs = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=2000,
        confidence_level=2 * confidence - 1,
        method="BCa",
        rng=np.random.default_rng(intervals._SEED),
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_the_bootstrap_is_the_same_each_time_and_knows_no_order_of_memory(monkeypatch):
    values = skewed(500)
    first = intervals.bootstrap(values, 0.95)
    assert intervals.bootstrap(values.tolist(), 0.95) == first
    # Drawn row by row instead of all at once: the same numbers.
    monkeypatch.setattr(intervals, "_CELLS", 1)
    assert intervals.bootstrap(values, 0.95) == first


def test_the_bootstrap_moves_and_scales_with_its_values():
    values = skewed()
    low, high = intervals.bootstrap(values, 0.95)
    assert low < values.mean() < high
    assert intervals.bootstrap(3 * values + 7, 0.95) == pytest.approx((3 * low + 7, 3 * high + 7))
    # Turned round, the limits change places.
    assert intervals.bootstrap(-values, 0.95) == pytest.approx((-high, -low), abs=0.02)


def test_more_confidence_reaches_further():
    values = skewed()
    reaches = [intervals.bootstrap(values, confidence) for confidence in (0.6, 0.9, 0.99)]
    lows, highs = zip(*reaches, strict=True)
    assert list(lows) == sorted(lows, reverse=True)
    assert list(highs) == sorted(highs)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_values_that_are_all_the_same_have_no_width(value):
    assert intervals.bootstrap([value] * 7, 0.95) == (pytest.approx(value), pytest.approx(value))


def test_two_values_give_limits_between_them():
    low, high = intervals.bootstrap([0.0, 1.0], 0.95)
    assert 0.0 <= low < high <= 1.0


def test_the_lower_limit_is_below_the_truth_as_often_as_it_says():
    """Exponential differences around 0: skewed to the right, as of items that one model misses."""
    rng = np.random.default_rng(0)
    draws = rng.exponential(1.0, (400, 100)) - 1.0
    above = np.mean([intervals.bootstrap(row, 0.95)[0] > 0 for row in draws])
    below = np.mean([intervals.bootstrap(row, 0.95)[1] < 0 for row in draws])
    # Three binomial standard errors of 400 around 5 %, and what BCa leaves at n = 100.
    assert 0.01 < above < 0.09
    assert 0.01 < below < 0.09


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(1)
    new, old = rng.normal(1.0, 2.0, 5), rng.normal(0.0, 0.5, 8)
    theirs = scipy.stats.ttest_ind(new, old, equal_var=False)
    low = theirs.confidence_interval(0.9).low
    high = theirs.confidence_interval(0.9).high
    # Two one-sided limits at 95 % are a two-sided interval at 90 %.
    assert intervals.welch(new, old, 0.95) == pytest.approx((low, high))


def test_welch_of_measurements_that_do_not_vary_has_no_width():
    assert intervals.welch([2.0, 2.0], [1.5, 1.5], 0.95) == (0.5, 0.5)


def test_welch_needs_a_spread_of_one_side_only():
    low, high = intervals.welch([2.0, 2.0], [1.0, 1.5], 0.95)
    assert low < 0.75 < high
    # One degree of freedom, as of the side that varies: t = 6.314, error = 0.25.
    assert high - 0.75 == pytest.approx(6.3138 * 0.25, rel=1e-4)


def test_the_seed_margin_is_a_prediction_limit():
    # t(0.95, 4) = 2.13185 from any table.
    assert intervals.seed_margin(1.0, 5, 0.95) == pytest.approx(2.13185 * 2**0.5, rel=1e-5)
    assert intervals.seed_margin(0.5, 5, 0.95) == pytest.approx(2.13185 * 2**0.5 / 2, rel=1e-5)
    assert intervals.seed_margin(1.0, 20, 0.95) < intervals.seed_margin(1.0, 5, 0.95)


def test_two_further_training_runs_exceed_it_as_often_as_stated():
    rng = np.random.default_rng(0)
    trainings = rng.normal(3.0, 2.0, (20_000, 7))
    margins = np.array(
        [intervals.seed_margin(s, 5, 0.95) for s in trainings[:, :5].std(axis=1, ddof=1)]
    )
    exceeded = np.mean(trainings[:, 5] - trainings[:, 6] > margins)
    assert exceeded == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 20_000) ** 0.5)
