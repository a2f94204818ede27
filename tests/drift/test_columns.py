"""Columns of a manifest: known answers, and what holds whatever the data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genmint.drift.columns import compare_columns, holm


def only(findings, name):
    return next(finding for finding in findings if finding.name == name)


def test_numbers_are_compared_by_kolmogorov_and_smirnov():
    """By hand: all of 1…20 lie below all of 101…115, so the two step functions differ by 1."""
    before = pd.DataFrame({"mean": np.arange(1.0, 21.0)})
    now = pd.DataFrame({"mean": np.arange(101.0, 116.0)})
    findings, untested = compare_columns(before, now)
    found = only(findings, "mean")
    assert found.method == "Kolmogorov-Smirnov"
    assert found.statistic == 1.0
    # One order of 35 values in C(35, 15) puts all of one sample first, one all of it last.
    assert found.p == pytest.approx(2 / 3247943160, rel=1e-9)
    assert (found.before, found.now) == ("median 10.5", "median 108")
    assert untested == []


def test_words_are_compared_by_chi_square():
    """By hand: 50/50 against 30/70 of 100 each gives 4·10²/40/… = 8.333 with one degree."""
    before = pd.DataFrame({"mode": ["L"] * 50 + ["RGB"] * 50})
    now = pd.DataFrame({"mode": ["L"] * 30 + ["RGB"] * 70})
    found = only(compare_columns(before, now)[0], "mode")
    assert found.method == "chi-square"
    assert found.statistic == pytest.approx(2 * 100 / 40 + 2 * 100 / 60)
    assert found.p == pytest.approx(stats.chi2.sf(25 / 3, df=1))
    assert found.now == "RGB 70%, L 30%"


def test_a_rare_word_of_two_is_compared_by_fishers_test():
    before = pd.DataFrame({"mode": ["L"] * 40})
    now = pd.DataFrame({"mode": ["L"] * 16 + ["RGB"] * 4})
    found = only(compare_columns(before, now)[0], "mode")
    assert found.method == "Fisher"
    # All four of 60 fell among the 20 of the window.
    assert found.p == pytest.approx(4845 / 487635)


def test_rare_words_are_compared_by_permutation_near_the_exact_value():
    """The exact p of a 3×2 table, summed over all tables of its margins."""
    counts = np.array([[6, 0], [5, 3], [1, 5]])
    before = pd.DataFrame({"label": np.repeat(["a", "b", "c"], counts[:, 0])})
    now = pd.DataFrame({"label": np.repeat(["a", "b", "c"], counts[:, 1])})
    found = only(compare_columns(before, now, seed=3)[0], "label")
    assert found.method == "chi-square, permuted"
    totals, window = counts.sum(axis=1), int(counts[:, 1].sum())
    expected = totals * window / totals.sum()
    margin = stats.multivariate_hypergeom(totals, window)

    def chi_square(drawn):
        squares = (np.array(drawn) - expected) ** 2
        return (squares / expected + squares / (totals - expected)).sum()

    observed = chi_square(counts[:, 1])
    tables = [(a, b, window - a - b) for a in range(window + 1) for b in range(window + 1 - a)]
    exact = sum(
        margin.pmf(drawn)
        for drawn in tables
        if (np.array(drawn) <= totals).all() and chi_square(drawn) >= observed - 1e-9
    )
    assert found.statistic == pytest.approx(observed)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact / 9999))


def test_numbers_of_few_values_are_categories():
    before = pd.DataFrame({"width": [8] * 60 + [16] * 40})
    now = pd.DataFrame({"width": [8] * 20 + [16] * 80})
    assert only(compare_columns(before, now)[0], "width").method == "chi-square"


def test_a_value_that_was_never_there_is_drift():
    before = pd.DataFrame({"width": [8] * 100})
    now = pd.DataFrame({"width": [12] * 30})
    assert only(compare_columns(before, now)[0], "width").p < 1e-20


def test_values_that_go_missing_are_drift():
    before = pd.DataFrame({"label": ["a", "b"] * 50})
    now = pd.DataFrame({"label": ["a", "b"] * 5 + [None] * 20})
    findings, _ = compare_columns(before, now)
    assert only(findings, "label missing").p < 1e-9
    assert only(findings, "label").p > 0.5
    gone = pd.DataFrame({"label": pd.Series([None] * 30, dtype=object)})
    assert [found.name for found in compare_columns(before, gone)[0]] == ["label missing"]


def test_what_cannot_be_tested_is_named_with_its_reason():
    before = pd.DataFrame(
        {
            "id": ["x"] * 60,
            "path": ["x"] * 60,
            "width": [8] * 60,
            "speaker": [f"s{k}" for k in range(60)],
            "take": [f"t{k}" for k in range(60)],
            "gone": range(60),
        }
    )
    now = before.drop(columns="gone")
    findings, untested = compare_columns(before, now, leave_out=["speaker"], max_categories=50)
    assert findings == []
    assert {each.name: each.reason for each in untested} == {
        "width": "always 8",
        "speaker": "new items always bring new groups",
        "take": "60 different values",
        "gone": "the new items have no such column",
    }


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_nor_reorders_them(values):
    corrected = holm(values)
    assert all(before <= after <= 1.0 for before, after in zip(values, corrected, strict=True))
    order = sorted(range(len(values)), key=lambda k: values[k])
    assert [corrected[k] for k in order] == sorted(corrected)
    assert min(corrected) == pytest.approx(min(1.0, len(values) * min(values)))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.one_of(st.none(), st.integers(-3, 40)), min_size=1, max_size=40),
    st.lists(st.one_of(st.none(), st.integers(-3, 40)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_p_values_are_probabilities_and_do_not_depend_on_the_order(before, now, random):
    def tested(one, other):
        frames = [pd.DataFrame({"x": pd.Series(side, dtype="Int64")}) for side in (one, other)]
        findings, _ = compare_columns(*frames)
        return {found.name: found.p for found in findings}

    found = tested(before, now)
    assert all(0.0 < p <= 1.0 for p in found.values())
    shuffled = [random.sample(side, len(side)) for side in (before, now)]
    # Permuted tables are drawn in another order of the values, so those differ by chance.
    again = tested(*shuffled)
    assert again.keys() == found.keys()
    assert all(abs(again[name] - found[name]) < 0.03 for name in found)


def test_data_that_did_not_change_are_seldom_called_changed():
    """Level of the whole family of tests, over 300 draws from one distribution: at most alpha.

    At 0.05, more than 27 alarms in 300 have a chance of 1 in 1,000.
    """
    generator = np.random.default_rng(0)
    alarms = 0
    for draw in range(300):
        frames = []
        for size in (400, 60):
            shared = generator.normal(size=size)
            frames.append(
                pd.DataFrame(
                    {
                        "mean": shared + generator.normal(size=size),
                        "std": shared,
                        "bytes": np.exp(shared),
                        "width": generator.choice([8, 16, 24], size, p=[0.8, 0.17, 0.03]),
                        "mode": generator.choice(["L", "RGB"], size, p=[0.97, 0.03]),
                        "label": generator.choice(list("abcdefgh"), size),
                    }
                )
            )
        findings, _ = compare_columns(*frames, seed=draw)
        assert len(findings) == 6
        alarms += min(holm([found.p for found in findings])) <= 0.05
    assert alarms <= 27
