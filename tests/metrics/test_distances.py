import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from genmint.common.errors import DataError
from genmint.metrics import frechet
from genmint.metrics.frechet import (
    frechet_distance,
    frechet_infinite,
    frechet_infinite_stderr,
    frechet_stderr,
)
from genmint.metrics.kernel import kernel_distance


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    return rng.normal(size=(300, 6)) @ mixing, 0.7 * rng.normal(size=(200, 6)) @ mixing + 0.5


def exact_gaussian(mean, covariance, n, seed):
    """Rows whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    whitened = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_gaussians_is_the_closed_form():
    # Commuting covariances: |m1 − m2|² + Σ (s1 − s2)².
    a = exact_gaussian(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 50, 0)
    b = exact_gaussian(np.array([1.0, 2.0, 0.0]), np.diag([4.0, 4.0, 1.0]), 70, 1)
    assert frechet_distance(a, b) == pytest.approx(5.0 + 1.0 + 0.0 + 4.0, abs=1e-9)


def test_frechet_does_not_depend_on_the_axes(features):
    a, b = features
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_is_symmetric_and_zero_for_the_same(features):
    a, b = features
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_agrees_with_torchmetrics(features):
    a, b = features
    theirs = FrechetInceptionDistance(feature=torch.nn.Identity(), input_img_size=(1, 1, 6))
    theirs.inception.num_features = 6
    theirs = FrechetInceptionDistance(feature=theirs.inception).set_dtype(torch.float64)
    theirs.update(torch.from_numpy(b), real=True)
    theirs.update(torch.from_numpy(a), real=False)
    assert frechet_distance(a, b) == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_frechet_with_fewer_items_than_dimensions_stays_finite_and_positive():
    rng = np.random.default_rng(0)
    value = frechet_distance(rng.normal(size=(5, 32)), rng.normal(size=(400, 32)))
    assert np.isfinite(value)
    assert value > 0


def test_frechet_error_is_the_spread_over_fresh_samples():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(500, 4))
    fresh = [frechet_distance(rng.normal(size=(200, 4)) + 0.5, real) for _ in range(150)]
    said = np.mean(
        [frechet_stderr(rng.normal(size=(200, 4)) + 0.5, real, seed=i) for i in range(3)]
    )
    assert said == pytest.approx(np.std(fresh), rel=0.25)


def test_frechet_error_repeats(features):
    a, b = features
    assert frechet_stderr(a, b, seed=3) == frechet_stderr(a, b, seed=3)
    assert frechet_stderr(a, b, seed=3) != frechet_stderr(a, b, seed=4)


def test_extrapolation_takes_away_what_few_samples_add():
    """Gaussians whose distance is known: the plain value is too large by far, this is not."""
    rng = np.random.default_rng(0)
    spread = np.linspace(0.1, 2, 16)
    real = exact_gaussian(np.zeros(16), np.diag(spread**2), 500, 0)
    drawn = [rng.normal(size=(200, 16)) * spread + 0.3 for _ in range(30)]
    truth = 16 * 0.3**2
    plain = np.mean([frechet_distance(x, real) for x in drawn])
    infinite = [frechet_infinite(x, real, seed=0) for x in drawn]
    assert plain - truth > 0.3
    assert np.mean(infinite) == pytest.approx(truth, abs=3 * np.std(infinite) / np.sqrt(30))
    said = np.mean([frechet_infinite_stderr(x, real, seed=0) for x in drawn[:5]])
    assert 0.75 * np.std(infinite) < said < 1.6 * np.std(infinite)


def test_extrapolation_repeats_and_depends_on_its_seed(features):
    a, b = features
    assert frechet_infinite(a, b, seed=3) == frechet_infinite(a, b, seed=3)
    assert frechet_infinite(a, b, seed=3) != frechet_infinite(a, b, seed=4)


def test_constant_samples_are_as_far_as_their_shift_and_the_variance_of_the_real():
    real = exact_gaussian(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 50, 0)
    same = np.full((20, 3), 2.0)
    assert frechet_distance(same, real) == pytest.approx(12 + 14)
    assert frechet_stderr(same, real, seed=0) == pytest.approx(0, abs=1e-9)
    assert frechet_infinite(same, real, seed=0) == pytest.approx(26)
    assert frechet_infinite_stderr(same, real, seed=0) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(kernel_distance(same, real)).all()


def test_extrapolation_with_few_samples_is_refused():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(50, 32))
    assert np.isfinite(frechet_infinite_stderr(rng.normal(size=(64, 32)), real, seed=0))
    with pytest.raises(DataError, match=r"twice as many.* 64, but there are 63; .*\.samples"):
        frechet_infinite(rng.normal(size=(63, 32)), real, seed=0)
    with pytest.raises(DataError, match="not finite"):
        frechet_infinite(np.full((99, 32), np.nan), real, seed=0)


def slow_kernel_distance(x, y):
    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * np.mean([k(a, b) for a in x for b in y])


def test_kernel_distance_is_the_double_sum(features):
    a, b = features[0][:20], features[1][:30]
    assert kernel_distance(a, b)[0] == pytest.approx(slow_kernel_distance(a, b), rel=1e-10)


def test_kernel_distance_agrees_with_torchmetrics_on_all_items(features):
    a, b = features[0][:200], features[1]
    theirs = KernelInceptionDistance(
        feature=torch.nn.Flatten(), subsets=1, subset_size=200, degree=3, coef=1.0
    )
    theirs.update(torch.from_numpy(b), real=True)
    theirs.update(torch.from_numpy(a), real=False)
    assert kernel_distance(a, b)[0] == pytest.approx(float(theirs.compute()[0]), rel=1e-6)


def test_kernel_distance_is_unbiased_and_its_error_is_honest():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(500, 4))
    pairs = [kernel_distance(rng.normal(size=(60, 4)), real) for _ in range(200)]
    values = np.array([value for value, _ in pairs])
    assert abs(values.mean()) < 0.2 * values.std() + 0.05
    shifted = [kernel_distance(rng.normal(size=(60, 4)) + 1, real) for _ in range(200)]
    spread = np.std([value for value, _ in shifted])
    assert np.mean([error for _, error in shifted]) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
def test_one_sample_is_refused_with_the_remedy(measure):
    real = np.random.default_rng(0).normal(size=(10, 3))
    with pytest.raises(DataError, match=r"protocol\.samples"):
        measure(real[:1], real)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(measure, value):
    real = np.random.default_rng(0).normal(size=(10, 3))
    broken = real.copy()
    broken[4, 1] = value
    with pytest.raises(DataError, match="not finite"):
        measure(broken, real)


def test_fewer_samples_than_features_give_the_same_distance_and_error(monkeypatch):
    """The products of pairs take the place of covariances, which are larger then."""
    rng = np.random.default_rng(0)
    samples, real = rng.normal(0.2, 1.3, (30, 40)), rng.normal(0, 1, (90, 40))
    distance, error = frechet_distance(samples, real), frechet_stderr(samples, real, seed=1)
    mean, root = real.mean(axis=0), frechet._root(real)
    covariance = np.cov(samples.T)
    expected = frechet._distance(samples.mean(axis=0), covariance, mean, root)
    assert distance == pytest.approx(expected, rel=1e-6)
    generator = np.random.default_rng(1)
    values = []
    for _ in range(100):
        drawn = samples[generator.integers(0, 30, 30)]
        values.append(frechet._distance(drawn.mean(axis=0), np.cov(drawn.T), mean, root))
    assert error == pytest.approx(np.std(values, ddof=1), rel=1e-5)
