"""Fréchet drift against its own null distribution."""

import numpy as np
import pytest
from scipy import stats

from genmint.common.errors import DataError
from genmint.drift import features
from genmint.drift.features import frechet_drift
from genmint.metrics.frechet import frechet_distance


def normal(seed, size, shift=0.0, dimensions=8):
    return np.random.default_rng(seed).normal(shift, 1.0, (size, dimensions))


def drift(before, now, level=0.01, **settings):
    return frechet_drift(before, now, level=level, seed=1, **settings)


def test_the_statistic_is_the_frechet_distance():
    before, now = normal(0, 100), normal(1, 40)
    assert drift(before, now).statistic == frechet_distance(now, before)


def test_a_shift_is_found_and_the_p_value_can_become_small_enough():
    found = drift(normal(0, 200), normal(1, 50, shift=0.7), level=0.01 / 20)
    assert found.p == pytest.approx(1 / 6_001)
    assert "6000 draws" in found.method


def test_another_shape_at_the_same_place_is_found():
    """Covariances alone differ, which tests of means do not see."""
    before, now = normal(0, 300), normal(1, 80)
    now[:, 1] = now[:, 0]
    assert drift(before, now).p < 0.01


def test_p_values_are_uniform_where_nothing_changed():
    """Also far from a normal distribution and with few items; 120 draws by Kolmogorov's test."""
    p_values = []
    for seed in range(120):
        generator = np.random.default_rng(seed)
        rows = generator.exponential(size=(110, 6)) ** 2
        p_values.append(frechet_drift(rows[:80], rows[80:], level=0.05, seed=seed).p)
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert np.mean(np.array(p_values) <= 0.05) <= 0.125  # 1 in 1,000 by chance


def test_clips_of_one_recording_count_once():
    """Four all but equal clips each: as single items they would look like more evidence."""

    def alarms(grouped):
        found = 0
        for seed in range(40):
            generator = np.random.default_rng(seed)
            recordings = generator.normal(size=(45, 4))
            clips = np.repeat(recordings, 4, axis=0) + generator.normal(0, 0.01, (180, 4))
            owners = np.repeat(np.arange(45), 4)
            groups = (owners[:120], owners[120:]) if grouped else None
            tested = frechet_drift(clips[:120], clips[120:], groups=groups, level=0.05, seed=seed)
            found += tested.p <= 0.05
        return found

    assert alarms(grouped=True) <= 7  # 1 in 1,000 by chance
    assert alarms(grouped=False) >= 20


def test_groups_may_have_any_numbers_and_a_large_baseline_is_thinned():
    before, now = normal(0, 2600, dimensions=3), normal(1, 60, dimensions=3)
    groups = (np.repeat(np.arange(1300) * 7 + 5, 2), np.arange(60) + 10**6)
    found = drift(before, now, groups=groups, level=0.05)
    assert found.p > 0.001
    assert found.statistic == pytest.approx(frechet_distance(now, before), abs=0.05)


def test_equal_items_are_no_drift():
    rows = np.ones((50, 4))
    assert drift(rows, rows[:10]).p == 1.0


def test_too_few_items_and_values_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="at least two items"):
        drift(normal(0, 50), normal(1, 1))
    broken = normal(1, 20)
    broken[3, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        drift(normal(0, 50), broken)


def test_a_thousand_features_are_reduced_and_a_shift_is_still_found():
    before, now = normal(0, 150, dimensions=1000), normal(1, 30, dimensions=1000)
    assert drift(before, now).p > 0.05
    now[:, :50] += 3.0
    assert drift(before, now).p < 0.01


def test_reduced_features_keep_the_distances_of_the_main_directions():
    rows = np.zeros((60, 300))
    rows[:, :4] = normal(3, 60, dimensions=4)
    reduced = features._reduced(rows)
    assert reduced.shape[1] <= features._DIMENSIONS
    halves = frechet_distance(rows[:30], rows[30:]), frechet_distance(reduced[:30], reduced[30:])
    assert halves[0] == pytest.approx(halves[1], abs=1e-6)
