"""A challenger is better only by more than noise, and nothing that is missing is better."""

import math

import pytest

from genmint.comparison import Scores, compare, incomparable
from genmint.config import ChampionRule


def rule(metric="frechet_digits_cnn", noise_floors=1.0):
    return ChampionRule(metric=metric, noise_floors=noise_floors)


def scores(value, items=None, protocol=None, metric="frechet_digits_cnn"):
    return Scores({metric: value}, {"samples": 64} if protocol is None else protocol, items)


@pytest.mark.parametrize(
    ("direction", "new", "old", "better"),
    [
        ("lower", 8.9, 10.0, True),
        ("lower", 9.0, 10.0, False),
        ("lower", 9.5, 10.0, False),
        ("lower", 10.0, 10.0, False),
        ("lower", 12.0, 10.0, False),
        ("higher", 11.1, 10.0, True),
        ("higher", 11.0, 10.0, False),
        ("higher", 8.0, 10.0, False),
    ],
)
def test_a_sample_metric_must_differ_by_more_than_the_noise_floor(direction, new, old, better):
    found = compare(rule(), direction, scores(new), scores(old), 1.0)
    assert found.better is better
    assert (found.challenger, found.champion, found.margin) == (new, old, 1.0)
    assert found.difference == pytest.approx(old - new if direction == "lower" else new - old)


def test_the_number_of_noise_floors_counts():
    assert compare(rule(noise_floors=2.0), "lower", scores(8.5), scores(10.0), 1.0).better is False
    assert compare(rule(noise_floors=2.0), "lower", scores(7.5), scores(10.0), 1.0).better is True
    assert compare(rule(noise_floors=0.0), "lower", scores(10.0), scores(10.0), 1.0).better is False


@pytest.mark.parametrize("floor", [None, math.nan, math.inf, -1.0])
def test_without_a_noise_floor_nothing_is_better(floor):
    found = compare(rule(), "lower", scores(1.0), scores(10.0), floor)
    assert found.better is False
    assert "no noise floor" in found.reason


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, True, "1"])
def test_a_score_that_is_no_number_is_not_better(bad):
    for new, old in ((bad, 10.0), (1.0, bad)):
        found = compare(rule(), "lower", scores(new), scores(old), 1.0)
        assert found.better is False
        assert "frechet_digits_cnn" in found.reason
    missing = Scores({}, {"samples": 64})
    assert compare(rule(), "lower", missing, scores(10.0), 1.0).better is False


@pytest.mark.parametrize("other", [{}, {"samples": 32}, {"samples": 64, "seed": 1}])
def test_scores_of_two_protocols_do_not_compare(other):
    found = compare(rule(), "lower", scores(1.0), scores(10.0, protocol=other), 1.0)
    assert found.better is False
    assert "another protocol" in found.reason
    swapped = compare(rule(), "lower", scores(1.0, protocol=other), scores(10.0), 1.0)
    assert swapped.better is False


def pair(new, old):
    return compare(
        rule("elbo"),
        "higher",
        scores(-20.0, new, metric="elbo"),
        scores(-21.0, old, metric="elbo"),
        None,
    )


def test_likelihoods_are_compared_item_by_item():
    # Differences 0.4 … 1.6: mean 1.0; variance 0.16 · 4 / 3, so 2 standard errors are 0.4619.
    found = pair([-9.4, -19.0, -29.0, -38.6], [-10.0, -20.0, -30.0, -40.0])
    assert found.difference == pytest.approx(1.0)
    deviation = math.sqrt((0.4**2 + 0.4**2) / 3)
    assert found.margin == pytest.approx(2 * deviation / 2)
    assert found.better is True
    assert "4 paired items" in found.reason


def test_a_mean_that_rests_on_few_items_is_noise():
    found = pair([-10.1, -20.1, -30.1, -30.0], [-10.0, -20.0, -30.0, -40.0])
    assert found.difference > 0
    assert found.better is False


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ([-10.0, -20.0], [-10.0, -20.0]),
        ([-11.0, -21.0], [-10.0, -20.0]),
        ([-9.0], [-10.0]),
        ([], []),
        ([-9.0, -19.0], [-10.0, -20.0, -30.0]),
        ([-9.0, math.nan], [-10.0, -20.0]),
        ([-9.0, math.inf], [-10.0, -20.0]),
        ([-9.0, -19.0], [-10.0, -math.inf]),
    ],
)
def test_items_that_do_not_show_it_are_not_better(new, old):
    assert pair(new, old).better is False


def test_every_item_better_by_the_same_is_better():
    assert pair([-9.0, -19.0], [-10.0, -20.0]).better is True


def test_items_do_not_decide_a_metric_of_samples():
    good, bad = [-1.0] * 10, [-9.0] * 10
    assert compare(rule(), "lower", scores(10.0, good), scores(10.0, bad), 1.0).better is False


def test_a_likelihood_without_items_falls_back_on_the_noise_floor():
    new, old = scores(-20.0, metric="elbo"), scores(-21.0, [-1.0, -2.0], metric="elbo")
    assert compare(rule("elbo"), "higher", new, old, 0.5).better is True
    assert compare(rule("elbo"), "higher", old, new, 0.5).better is False
    assert compare(rule("elbo"), "higher", new, old, 1.5).better is False


@pytest.mark.parametrize(
    ("metric", "key", "compares"),
    [
        ("elbo", "observation", False),
        ("elbo", "importance_samples", False),
        ("elbo", "temperature", True),
        ("elbo", "extractor", False),
        ("frechet_digits_cnn", "observation", True),
        ("frechet_digits_cnn", "importance_samples", True),
        ("frechet_digits_cnn", "temperature", True),
        ("frechet_digits_cnn", "extractor", False),
        ("frechet_digits_cnn", "data", False),
    ],
)
def test_a_protocol_differs_where_the_metric_depends_on_it(metric, key, compares):
    one, other = {"samples": 64, key: 1}, {"samples": 64, key: 2}
    assert incomparable(metric, one, other) == ([] if compares else [key])
    assert incomparable(metric, one, {"samples": 64}) == ([] if compares else [key])
