import math

import numpy as np
import pytest

from genmint.common.errors import DataError
from genmint.metrics.prdc import prdc, radii


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(70, 4)), 0.8 * rng.normal(size=(50, 4)) + 0.4


def by_definition(samples, real, k=5):
    """The formulas of Kynkäänniemi et al. and Naeem et al., item by item."""

    def radius(items, i):
        return sorted(math.dist(items[i], other) for other in items)[k]

    around_real = [radius(real, j) for j in range(len(real))]
    around_samples = [radius(samples, i) for i in range(len(samples))]
    near = np.array([[math.dist(x, y) for y in real] for x in samples])
    within = np.array([[d < around_real[j] for j, d in enumerate(row)] for row in near])
    return {
        "precision": np.mean([any(row) for row in within]),
        "recall": np.mean(
            [
                any(near[i, j] < around_samples[i] for i in range(len(samples)))
                for j in range(len(real))
            ]
        ),
        "density": within.sum() / k / len(samples),
        "coverage": np.mean([min(near[:, j]) < around_real[j] for j in range(len(real))]),
    }


def without_errors(found):
    return {name: value for name, value in found.items() if not name.endswith("_stderr")}


@pytest.mark.parametrize("block", [1, 70 * 50, 10**7])
def test_all_four_are_their_definitions(features, block, monkeypatch):
    monkeypatch.setattr("genmint.metrics.prdc._PAIRS", block)
    expected = by_definition(*features)
    assert without_errors(prdc(*features)) == pytest.approx(expected, rel=1e-12)
    assert 0 < expected["coverage"] < 1


def test_known_radii_change_nothing(features):
    samples, real = features
    assert prdc(samples, real, real_radii=radii(real)) == prdc(samples, real)


def test_a_perfect_model_covers_what_theory_says():
    """Naeem et al., lemma 2: 1 − Π (M − i)/(N + M − i), i = 1…k; density is 1."""
    rng = np.random.default_rng(0)
    n, m = 60, 90
    found = [prdc(rng.normal(size=(n, 6)), rng.normal(size=(m, 6))) for _ in range(60)]
    expected = 1 - np.prod([(m - i) / (n + m - i) for i in range(1, 6)])
    assert np.mean([f["coverage"] for f in found]) == pytest.approx(expected, abs=0.01)
    assert np.mean([f["density"] for f in found]) == pytest.approx(1, abs=0.05)


def test_a_dropped_mode_lowers_recall_and_coverage_but_not_precision():
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(200, 3)) + 20 * (np.arange(200)[:, None] % 2)
    found = prdc(rng.normal(size=(100, 3)), modes)
    assert found["precision"] > 0.9
    assert found["recall"] < 0.55
    assert found["coverage"] < 0.55
    assert found["coverage_stderr"] == pytest.approx(0.035, abs=0.003)


def test_samples_far_away_score_nothing(features):
    samples, real = features
    assert set(without_errors(prdc(samples + 1e3, real)).values()) == {0.0}


def test_one_item_repeated_is_precise_and_covers_little(features):
    _, real = features
    found = prdc(np.repeat(real[:1], 40, axis=0), real)
    assert found["precision"] == 1.0
    assert found["coverage"] < 0.4
    assert found["recall"] == 1 / len(real)


def test_constant_features_are_all_alike():
    same = np.full((12, 3), 1 / 3)
    assert without_errors(prdc(same, same)) == {
        "precision": 1.0,
        "recall": 1.0,
        "density": pytest.approx(12 / 5),
        "coverage": 1.0,
    }


def test_more_dimensions_than_samples_have_an_answer():
    rng = np.random.default_rng(0)
    found = prdc(rng.normal(size=(3, 40)), rng.normal(size=(4, 40)))
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize("one", ["samples", "real"])
def test_one_item_is_refused_with_the_remedy(features, one):
    given = dict(zip(("samples", "real"), features, strict=True))
    given[one] = given[one][:1]
    with pytest.raises(DataError, match=r"protocol\.samples"):
        prdc(**given)


def test_values_that_are_not_finite_are_refused(features):
    samples, real = features
    samples[3, 1] = np.inf
    with pytest.raises(DataError, match="not finite"):
        prdc(samples, real)
