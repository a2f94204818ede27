"""N of M windows, the latest among them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmint.config import DriftRule
from genmint.drift.columns import DriftTest, Untested
from genmint.drift.decision import DriftCheck, close, decide_drift


def window(number, drifted):
    p = 1e-6 if drifted else 0.5
    findings = [
        DriftTest("mean", "Kolmogorov-Smirnov", 0.4, p, "median 10", "median 20"),
        DriftTest("std", "Kolmogorov-Smirnov", 0.1, 0.9, "median 1", "median 1"),
    ]
    return close(number, "2026-01-01T00:00:00.000Z", ["a" * 64], findings, [], 0.01)


def windows(marks):
    return [window(number, mark == "x") for number, mark in enumerate(marks, start=1)]


RULE = DriftRule(window=100, agree=2, of=3)


@pytest.mark.parametrize(
    ("marks", "verdict"),
    [
        ("", "nothing new"),
        (".", "steady"),
        ("x", "steady"),
        ("xx", "drift"),
        ("x.x", "drift"),
        (".xx", "drift"),
        ("xx.", "steady"),  # the latest is not among them
        ("x..x", "steady"),  # the other lies too far back
        ("xxx..", "steady"),
        ("xxxxxx", "drift"),
    ],
)
def test_two_of_three(marks, verdict):
    assert decide_drift(windows(marks), RULE, 0)[0] == verdict


def test_the_reason_names_what_drifted_and_what_is_waiting():
    verdict, reason = decide_drift(windows(".xx"), RULE, 7)
    assert verdict == "drift"
    assert reason == (
        "2 of the latest 3 windows drifted, the latest among them: mean; "
        "7 of 100 items of the next window have arrived"
    )
    assert decide_drift(windows("x"), RULE, 0)[1] == (
        "1 of the latest 1 windows drifted; 2 of 3 are needed"
    )
    assert decide_drift(windows("xx."), RULE, 0)[1].startswith(
        "the latest window did not drift (2 of"
    )


def test_items_that_make_no_window_wait():
    assert decide_drift([], RULE, 12) == (
        "collecting",
        "12 of the 100 new items of a window have arrived",
    )


@given(st.text("x.", max_size=12), st.integers(1, 5), st.integers(0, 4))
def test_it_is_drift_exactly_where_enough_of_the_latest_agree_with_the_last(marks, agree, more):
    rule = DriftRule(agree=agree, of=agree + more)
    wanted = marks.endswith("x") and marks[-rule.of :].count("x") >= agree
    assert (decide_drift(windows(marks), rule, 0)[0] == "drift") == wanted


def test_one_small_p_value_among_many_is_corrected_away():
    """0.004 alone is below 0.01; as one of four it is not."""
    one = DriftTest("mean", "", 0.3, 0.004, "", "")
    rest = [DriftTest(name, "", 0.1, 0.6, "", "") for name in ("std", "width", "bytes")]
    assert close(1, "now", ["a"], [one], [], 0.01).drifted
    tested = close(1, "now", ["a"], [one, *rest], [Untested("mode", "always L")], 0.01)
    assert not tested.drifted
    assert tested.tests[0].corrected == pytest.approx(0.016)
    assert tested.skipped[0].reason == "always L"


def test_a_window_without_a_test_never_drifts():
    assert not close(1, "now", ["a"], [], [Untested("width", "always 8")], 0.01).drifted


def test_the_record_comes_back_from_json():
    decision = DriftCheck(
        dataset="faces",
        at="2026-01-01T00:00:00.000Z",
        verdict="drift",
        reason="why",
        revision="c" * 40,
        baseline="b" * 40,
        items=10,
        windows=tuple(windows("xx")),
        rule=RULE,
    )
    assert DriftCheck.model_validate_json(decision.model_dump_json()) == decision
