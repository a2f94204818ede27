"""A challenger is better only beyond luck, and nothing that is missing is better."""

import math
import statistics

import numpy as np
import pytest
from tests.decision.scores import (
    BLOCK,
    PROTOCOL,
    REACH,
    itemised,
    judge,
    only,
    rule,
    sampled,
    spread,
)

from genmint.decision.comparison import Scores, compare
from genmint.decision.intervals import bootstrap, seed_margin, welch

MARGIN = seed_margin(0.05, 5, 0.95)


def test_a_metric_of_samples_is_superior_if_its_lower_limit_is_above_the_margin():
    for by, better in ((REACH + MARGIN + 0.01, True), (REACH + MARGIN - 0.01, False)):
        for name, sign in (("frechet", -1), ("confident", 1)):
            found = judge(sampled(**{name: 5 + sign * by}), sampled(**{name: 5.0}), rule((name,)))
            contrast = only(found)
            assert found.better is better
            assert contrast.difference == pytest.approx(by)
            assert contrast.low == pytest.approx(by - REACH)
            assert contrast.high == pytest.approx(by + REACH)
            assert contrast.bound == pytest.approx(MARGIN)
            assert contrast.challenger == pytest.approx(5 + sign * by)
            assert contrast.champion == pytest.approx(5.0)
            word = "needed" if better else "needs"
            limits = f"(95 % limits {by - REACH:.4g} … {by + REACH:.4g})"
            assert contrast.reason == f"better by {by:.4g} {limits}, {word} {MARGIN:+.4g}"


@pytest.mark.parametrize("worse", [0.0, 0.5, 5.0])
def test_what_is_no_better_is_not_superior(worse):
    found = only(judge(sampled(frechet=5 + worse), sampled(frechet=5.0)))
    assert found.passed is False
    said = "unchanged" if worse == 0 else f"worse by {worse:.4g}"
    assert found.reason.startswith(said)


def test_non_inferior_allows_the_margin_and_no_more():
    using = rule(("frechet",), ("confident",))
    known = spread(0.5)
    margin = seed_margin(statistics.stdev([-0.5, -0.5, 0.0, 0.5, 0.5]), 5, 0.95)
    new, old = {"frechet": 1.0}, sampled(frechet=9.0, confident=5.0)
    for by, better in ((margin - REACH - 0.01, True), (margin - REACH + 0.01, False)):
        found = judge(sampled(**new, confident=5.0 - by), old, using, known)
        assert found.better is better
        assert [one.aim for one in found.contrasts] == ["superior", "non-inferior"]
        assert [one.passed for one in found.contrasts] == [True, better]
        assert found.contrasts[1].bound == pytest.approx(-margin)
        # The reason of a no names what failed, that of a yes all there is.
        assert ("frechet" in found.reason) is better
        assert "confident" in found.reason


def test_an_equal_model_is_not_inferior_even_where_nothing_varies():
    using = rule(("frechet",), ("classes",))
    known = spread(0.0, ("frechet", "classes"))
    same = {"classes": [10.0, 10.0]}
    new = Scores({"frechet": 1.0, "classes": 10.0}, PROTOCOL, {}, {**same, "frechet": [1.0, 1.1]})
    old = Scores({"frechet": 9.0, "classes": 10.0}, PROTOCOL, {}, {**same, "frechet": [9.0, 9.1]})
    assert judge(new, old, using, known).better is True
    assert judge(new, new, using, known).better is False
    fewer = Scores(new.metrics, PROTOCOL, {}, {**new.resamples, "classes": [9.0, 9.0]})
    assert judge(fewer, old, using, known).better is False


def test_every_superior_metric_must_be_superior():
    using = rule(("frechet", "confident"))
    old = sampled(frechet=9.0, confident=1.0)
    assert judge(sampled(frechet=1.0, confident=9.0), old, using).better is True
    assert judge(sampled(frechet=1.0, confident=1.0), old, using).better is False
    assert judge(sampled(frechet=9.0, confident=9.0), old, using).better is False


def test_the_confidence_widens_the_interval_and_the_margin():
    new, old = sampled(frechet=4.0), sampled(frechet=5.0)
    loose, strict = (only(judge(new, old, rule(confidence=c))) for c in (0.8, 0.99))
    assert loose.low > strict.low
    assert loose.bound < strict.bound
    assert judge(new, old, rule(confidence=0.8)).confidence == 0.8
    assert strict.low == pytest.approx(
        -welch(new.resamples["frechet"], old.resamples["frechet"], 0.99)[1]
    )


def test_likelihoods_are_compared_item_by_item():
    rng = np.random.default_rng(0)
    old = rng.normal(-20.0, 5.0, 200)
    new = old + rng.normal(0.5, 1.0, 200)
    found = only(judge(itemised(new), itemised(old), rule(("elbo",))))
    assert found.passed is True
    low, high = bootstrap(new - old, 0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    # The two means with their own errors would not show it: 5 / √200 each.
    assert found.high - found.low < 0.3


@pytest.mark.parametrize(
    ("metric", "of", "unit"),
    [
        ("bits_per_character", "log_likelihood", -0.0015),
        ("bits_per_dim", "elbo", -0.02),
        ("bits_per_dim", "log_likelihood", -0.02),
        ("bits_per_sample", "log_likelihood", -0.001),
        ("importance_weighted_bound", "importance_weighted_bound", 1.0),
    ],
)
def test_the_difference_is_in_the_unit_of_the_metric(metric, of, unit):
    rng = np.random.default_rng(0)
    old = rng.normal(-900.0, 20.0, 50)
    new = old + rng.normal(30.0, 10.0, 50)
    known = spread(0.0001, (metric,))
    aims = {"higher" if unit > 0 else "lower"}
    found = compare(
        rule((metric,)),
        lambda _: next(iter(aims)),
        itemised(new, metric, unit, of=of),
        itemised(old, metric, unit, of=of),
        known,
        BLOCK,
    )
    low, high = bootstrap(new - old, 0.95)
    contrast = only(found)
    assert (contrast.low, contrast.high) == pytest.approx((low * abs(unit), high * abs(unit)))
    assert contrast.difference == pytest.approx((new - old).mean() * abs(unit))
    assert contrast.passed is True


def test_items_of_another_likelihood_do_not_count():
    new, old = itemised([-1.0, -1.1]), itemised([-2.0, -2.1])
    renamed = [
        Scores({"importance_weighted_bound": s.metrics["elbo"]}, PROTOCOL, s.items)
        for s in (new, old)
    ]
    found = only(judge(*renamed, rule(("importance_weighted_bound",))))
    assert found.passed is False
    assert "items.npy has no likelihoods per item" in found.reason


def test_items_that_the_metric_is_not_the_mean_of_are_refused():
    old = itemised([-20.0, -21.0])
    forged = Scores({"elbo": -15.0}, PROTOCOL, {"elbo": [-1.0, -2.0]})
    for new, champion in ((forged, old), (old, forged)):
        found = only(judge(new, champion, rule(("elbo",))))
        assert found.passed is False
        assert "elbo is not the mean of items.npy" in found.reason


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ([-11.0, -21.0], [-10.0, -20.0]),
        ([-9.0], [-10.0]),
        ([-9.0, -19.0], [-10.0, -20.0, -30.0]),
        ([-9.0, -19.0, 28.0], [-10.0, -20.0, -30.0]),
        ([-1.0, -2.0], [-1.0, 1.0]),
    ],
)
def test_items_that_do_not_show_it_are_not_better(new, old):
    assert judge(itemised(new), itemised(old), rule(("elbo",))).better is False


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_item_that_is_not_finite_is_not_better(bad):
    good = Scores({"elbo": -1.0}, PROTOCOL, {"elbo": [-1.0, -1.0]})
    broken = Scores({"elbo": -9.0}, PROTOCOL, {"elbo": [-9.0, bad]})
    for new, old in ((good, broken), (broken, good)):
        found = only(judge(new, old, rule(("elbo",))))
        assert found.passed is False
        assert "not finite" in found.reason


def test_a_mean_that_rests_on_few_items_is_noise():
    new = [-10.1, -20.1, -30.1, -30.0]
    found = only(judge(itemised(new), itemised([-10.0, -20.0, -30.0, -40.0]), rule(("elbo",))))
    assert found.difference > 0
    assert found.passed is False


def test_items_do_not_decide_a_metric_of_samples():
    new, old = sampled(frechet=5.0), sampled(frechet=5.0)
    better = Scores(new.metrics, PROTOCOL, {"elbo": [-1.0] * 9}, new.resamples)
    assert judge(better, old).better is False


@pytest.mark.parametrize("sets", [{}, {"frechet": []}, {"frechet": [1.0]}])
def test_without_repeated_measurements_nothing_is_better(sets):
    once, old = Scores({"frechet": 1.0}, PROTOCOL, {}, sets), sampled(frechet=9.0)
    found = only(judge(once, old))
    assert found.passed is False
    assert "the challenger has" in found.reason
    assert "the champion has" in only(judge(old, once)).reason


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_measurement_that_is_not_finite_is_not_better(bad):
    broken = Scores({"frechet": 1.0}, PROTOCOL, {}, {"frechet": [1.0, bad]})
    for new, old in ((broken, sampled(frechet=9.0)), (sampled(frechet=1.0), broken)):
        assert "is not finite" in only(judge(new, old)).reason


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, True, "1"])
def test_a_score_that_is_no_number_is_not_better(bad):
    good = sampled(frechet=1.0)
    broken = Scores({"frechet": bad}, PROTOCOL, {}, good.resamples)
    for who, new, old in (("challenger", broken, good), ("champion", good, broken)):
        found = only(judge(new, old))
        assert found.passed is False
        assert "frechet is" in found.reason
        missing = Scores({}, PROTOCOL, {}, good.resamples)
        pair = (missing, good) if who == "challenger" else (good, missing)
        assert only(judge(*pair)).reason == f"frechet is missing from the {who}'s metrics"
