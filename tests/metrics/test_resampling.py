import numpy as np
import pytest

from genmint.metrics.resampling import jackknife_stderr


@pytest.mark.parametrize("items", [20, 400])
def test_the_error_of_a_mean_is_the_textbook_one(items):
    values = np.random.default_rng(0).normal(size=items)
    found = jackknife_stderr(lambda rows: float(values[rows].mean()), items)
    expected = values.std(ddof=1) / np.sqrt(items)
    # One by one the two are equal; in 20 groups the estimate has 19 degrees of freedom.
    assert found == pytest.approx(expected, rel=1e-9 if items == 20 else 0.4)


def test_the_error_of_a_ratio_is_its_spread():
    rng = np.random.default_rng(0)

    def draw():
        below = rng.uniform(1, 3, 200)
        return below * rng.normal(2, 0.5, 200), below

    def ratio(above, below):
        return lambda rows: float(above[rows].sum() / below[rows].sum())

    fresh = np.std([ratio(*draw())(np.arange(200)) for _ in range(500)])
    said = np.mean([jackknife_stderr(ratio(*draw()), 200) for _ in range(50)])
    assert said == pytest.approx(fresh, rel=0.15)


@pytest.mark.parametrize("items", [0, 1])
def test_nothing_to_leave_out_no_error(items):
    assert jackknife_stderr(lambda rows: 1.0, items) == 0.0
