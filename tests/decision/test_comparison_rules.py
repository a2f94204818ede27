"""What protocols, spreads and the second split allow a comparison to say."""

import math
import statistics

import numpy as np
import pytest
from pydantic import ValidationError
from tests.decision.scores import (
    BLOCK,
    PROTOCOL,
    REACH,
    block,
    direction,
    itemised,
    judge,
    only,
    rule,
    sampled,
    spread,
)

from genmint.decision.comparison import (
    ChampionComparison,
    Comparison,
    Scores,
    confirm,
    incomparable,
)
from genmint.decision.intervals import seed_margin


@pytest.mark.parametrize("other", [{}, {**PROTOCOL, "samples": 32}, {**PROTOCOL, "x": 1}])
def test_scores_of_two_protocols_do_not_compare(other):
    new, old = sampled(frechet=1.0), sampled(protocol=other, frechet=9.0)
    found = only(judge(new, old))
    assert found.passed is False
    assert "another protocol" in found.reason
    assert judge(sampled(protocol=other, frechet=1.0), sampled(frechet=9.0)).better is False


@pytest.mark.parametrize(
    ("metric", "key", "compares"),
    [
        ("elbo", "observation", False),
        ("elbo", "importance_samples", False),
        ("elbo", "temperature", True),
        ("elbo", "top_p", True),
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


@pytest.mark.parametrize("metric", ["elbo", "frechet_digits_cnn"])
def test_what_is_conditional_on_labels_never_compares_with_what_is_not(metric):
    assert incomparable(metric, {**PROTOCOL, "conditional": True}, PROTOCOL) == ["conditional"]


CLEARLY = (sampled(frechet=1.0), sampled(frechet=9.0))


def test_without_a_spread_nothing_is_superior():
    assert judge(*CLEARLY).better is True
    found = only(judge(*CLEARLY, known="not known: run `genmint spread vae`"))
    assert found.passed is False
    assert found.bound is None
    assert found.reason.endswith("but not known: run `genmint spread vae`")


@pytest.mark.parametrize(
    ("known", "block", "said"),
    [
        (spread(), block(family="gan"), "was measured with other settings of the model"),
        (spread(metrics=("elbo",)), BLOCK, "does not have frechet"),
        (spread(protocol={**PROTOCOL, "samples": 32}), BLOCK, "another protocol (samples)"),
        (spread(protocol={"seed": 1, "data": "d"}), BLOCK, "another protocol (samples)"),
        (spread(protocol={**PROTOCOL, "observation": "8bit"}), BLOCK, "protocol (observation)"),
    ],
)
def test_a_spread_that_does_not_hold_here_makes_nothing_superior(known, block, said):
    found = only(judge(*CLEARLY, known=known, block=block))
    assert found.passed is False
    assert said in found.reason
    assert found.reason.endswith("run `genmint spread vae`")


@pytest.mark.parametrize(
    "key", ["data", "extractor", "seed", "batch_size", "temperature", "top_k", "top_p"]
)
def test_a_seed_spread_is_valid_on_the_data_of_the_next_nightly_run(key):
    known = spread(protocol={**PROTOCOL, key: "tonight's"})
    assert judge(*CLEARLY, known=known).better is True


def test_the_seed_is_no_part_of_what_a_spread_is_of():
    assert block(seed=7) == BLOCK
    assert block(seeds=3) != BLOCK
    # What is said and what is the default are the same training.
    assert block(seeds=1, beta=1.0) == BLOCK


@pytest.mark.parametrize(
    "changed",
    [
        {"seeds": (0, 1, 2, 3)},
        {"seeds": (0, 1, 2, 3, 4, 5)},
        {"values": {"frechet": (1.0, 2.0, 3.0, 4.0, 5.0)}},
        {"standard_deviation": {"frechet": 0.0, "elbo": 0.0, "confident": 0.0}},
        {"standard_deviation": {}},
    ],
)
def test_a_spread_that_was_edited_is_no_spread(changed):
    with pytest.raises(ValidationError):
        spread(**changed)


def test_confirmation_asks_for_better_in_what_must_be_superior_and_no_margin():
    using = rule(("frechet",), ("confident",))
    by = REACH + 0.01
    new, old = sampled(frechet=5.0 - by), sampled(frechet=5.0)
    found = confirm(using, direction, new, old)
    assert found.better is True
    assert only(found).bound == 0.0
    assert confirm(using, direction, sampled(frechet=5.0 - REACH + 0.01), old).better is False
    assert confirm(using, direction, old, old).better is False
    assert confirm(rule(("frechet", "elbo")), direction, new, old).better is False


def compared_with(test, confirmation):
    return ChampionComparison(champion="3", test=test, confirmation=confirmation)


def test_a_comparison_needs_both_splits():
    yes = judge(*CLEARLY)
    no = judge(*reversed(CLEARLY))
    confirmed = confirm(rule(), direction, *CLEARLY)
    refuted = confirm(rule(), direction, *reversed(CLEARLY))
    assert [one.better for one in (yes, no, confirmed, refuted)] == [True, False, True, False]
    assert compared_with(yes, confirmed).better is True
    assert (
        "; confirmed on a second split: frechet: better by 8"
        in compared_with(yes, confirmed).reason
    )
    assert compared_with(yes, refuted).better is False
    assert (
        "; but not confirmed on a second split: frechet: worse by 8"
        in compared_with(yes, refuted).reason
    )
    assert compared_with(yes, None).better is True
    assert "not confirmed on a second split, since there is none" in compared_with(yes, None).reason
    assert compared_with(no, None).better is False
    assert compared_with(no, None).reason == no.reason


def test_a_comparison_is_read_back_as_it_was_written():
    for found in (judge(*CLEARLY), judge(sampled(frechet=1.0), Scores({}, PROTOCOL))):
        assert Comparison.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("rounds", [60, pytest.param(1500, marks=pytest.mark.soak)])
@pytest.mark.parametrize("better_by", [0.0, 0.15, 0.25, 0.4])
@pytest.mark.parametrize("left_out", [0, 120])
def test_who_is_better_by_a_planted_amount_wins_as_often_as_the_power_says(
    better_by, left_out, rounds
):
    """Both splits must agree: Φ((δ − margin)√n/σ − z) · Φ(δ√m/σ − z), of normal differences.

    What a champion trained on is left out whatever the items say, so only n and m are smaller.
    """
    rng, normal = np.random.default_rng(26), statistics.NormalDist()
    deviation, known = 1.2, spread(0.01)
    margin, z = seed_margin(0.01, 5, 0.95), normal.inv_cdf(0.95)
    sizes = [200 - left_out, 250 - left_out]
    wins = 0
    for _ in range(rounds):
        splits = []
        for size in sizes:
            # What makes an item hard is hard for both, and far larger than the difference.
            old = rng.normal(-80, 15, size)
            new = old + rng.normal(better_by, deviation, size)
            splits.append((itemised(new.tolist()), itemised(old.tolist())))
        test = judge(*splits[0], rule(("elbo",)), known)
        wins += compared_with(test, confirm(rule(("elbo",)), direction, *splits[1])).better
    on_test, on_second = (
        normal.cdf((better_by - bound) * math.sqrt(size) / deviation - z)
        for bound, size in zip((margin, 0.0), sizes, strict=True)
    )
    power = on_test * on_second
    # Five standard errors, and what the bootstrap of a hundred values is off.
    allowed = 5 * math.sqrt(power * (1 - power) / rounds) + 0.02
    assert abs(wins / rounds - power) < allowed, (wins / rounds, power)
