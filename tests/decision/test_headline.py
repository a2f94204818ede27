"""Headline numbers: few, the ones that decide; and margins of the gate."""

import math

import pytest
from tests.decision.gates import METRICS, evaluation, gate, judge

from genmint.decision.gate import decide_gate
from genmint.decision.headline import MOST, headline, margins


def numbers(block, metrics=METRICS):
    return headline(block, decide_gate(block, evaluation(metrics=metrics)), metrics)


def test_the_numbers_that_decide_come_first_and_all_others_stay_out():
    champion = {"superior": ("coverage",), "non_inferior": ("elbo",)}
    assert numbers(gate(champion=champion)) == {
        "failed": 0,
        "elbo": -20.0,
        "frechet_digits_cnn": 10.0,
        "coverage": 0.8,
    }


def test_failed_counts_the_failed_checks():
    assert numbers(gate(), METRICS | {"elbo": -35.0})["failed"] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "text", True])
def test_what_is_no_finite_number_is_left_out(value):
    found = numbers(gate(), METRICS | {"elbo": value})
    assert "elbo" not in found
    assert found["failed"] >= 1


def test_a_model_without_a_gate_has_failed():
    assert numbers(None) == {"failed": 1}


def test_there_are_at_most_twelve():
    names = [f"metric_{i}" for i in range(20)]
    block = gate(champion={"superior": tuple(names)})
    assert len(numbers(block, METRICS | dict.fromkeys(names, 1.0))) == MOST == 12


def test_margins_are_shares_of_the_larger_number_and_negative_where_a_check_failed():
    found = dict(margins(judge(metrics=METRICS | {"elbo": -40.0, "recoveries": 0.0})))
    assert found["thresholds.elbo.min"] == pytest.approx(-25.0)
    assert found["thresholds.frechet_digits_cnn.max"] == pytest.approx(80.0)
    assert found["health.nonfinite"] == 0.0
    assert not any(name.startswith(("evidence", "data")) for name in found)
