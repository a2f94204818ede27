"""Tests for a change in the distribution of manifest columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

# Columns that identify an item or are not properties of its content.
_NAMES = (
    "id", "path", "sha256", "error", "item", "sketch", "split", "duplicate_of",
    "near_duplicate_of",
)  # fmt: skip
# Numeric columns with at most this many values are treated as categorical, because the
# Kolmogorov-Smirnov test loses power with ties.
_FEW = 10
# Below this expected count the chi-square approximation is poor (Cochran 1954).
_EXPECTED = 5.0
_RESAMPLES = 9999


@dataclass(frozen=True)
class DriftTest:
    """Result of one test of a window against the baseline.

    Attributes:
        name: name of the column, or of the distance.
        method: name of the test.
        statistic: value of the test statistic.
        p: p-value without correction for multiple tests, 0…1.
        before: short description of the baseline.
        now: short description of the window.
    """

    name: str
    method: str
    statistic: float
    p: float
    before: str
    now: str


@dataclass(frozen=True)
class Untested:
    """A column that was not tested, and the reason."""

    name: str
    reason: str


def compare_columns(
    baseline: pd.DataFrame,
    window: pd.DataFrame,
    *,
    leave_out: Sequence[str] = (),
    max_categories: int = 50,
    seed: int = 0,
) -> tuple[list[DriftTest], list[Untested]]:
    """Test every column of a manifest for a change of its distribution.

    Numeric columns: two-sample Kolmogorov-Smirnov test. Categorical columns, and numeric ones with
    at most 10 distinct values: chi-square test of homogeneity. If an expected count is below 5,
    Fisher's exact test is used for two categories and a permutation test of chi-square for more.
    Missing values are tested separately, as present against missing.

    Args:
        baseline: manifest rows of the training items.
        window: manifest rows of the new items, at least one.
        leave_out: columns to skip.
        max_categories: maximum number of distinct values of a categorical column; more are not
            tested.
        seed: seed of the permutations.

    Returns:
        Findings in the order of the columns, without correction for multiple tests; columns not
        tested.
    """
    findings: list[DriftTest] = []
    untested: list[Untested] = []
    for name in baseline.columns:
        if name in _NAMES:
            continue
        if name in leave_out:
            untested.append(Untested(name, "new items always bring new groups"))
        elif name not in window.columns:
            untested.append(Untested(name, "the new items have no such column"))
        else:
            results = _column(name, baseline[name], window[name], max_categories, seed)
            findings += [each for each in results if isinstance(each, DriftTest)]
            untested += [each for each in results if isinstance(each, Untested)]
    return findings, untested


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple tests by Holm's method (Holm 1979).

    The method controls the family-wise error rate under any dependence between the tests.

    Returns:
        Corrected p-values in the given order, 0…1.
    """
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, position in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = highest
    return corrected


def _column(
    name: str, before: pd.Series, now: pd.Series, max_categories: int, seed: int
) -> list[DriftTest | Untested]:
    results: list[DriftTest | Untested] = []
    missing = [int(before.isna().sum()), int(now.isna().sum())]
    if sum(missing):
        table = np.array([missing, [len(before) - missing[0], len(now) - missing[1]]])
        if table[1].sum() == 0:
            return [Untested(name, "empty")]
        shown = [f"{missing[0] / len(before):.1%}", f"{missing[1] / len(now):.1%}"]
        results.append(_tabled(f"{name} missing", table, shown, seed))
    before, now = before.dropna(), now.dropna()
    if before.empty or now.empty:
        return results
    numeric = pd.api.types.is_numeric_dtype(before) and pd.api.types.is_numeric_dtype(now)
    values = pd.concat([before, now]).unique()
    if len(values) == 1:
        return [*results, Untested(name, f"always {values[0]}")]
    if numeric and len(values) > _FEW:
        return [*results, _numbers(name, before.to_numpy(float), now.to_numpy(float))]
    if not numeric and len(values) > max_categories:
        return [*results, Untested(name, f"{len(values)} different values")]
    counted = [side.value_counts().reindex(values, fill_value=0) for side in (before, now)]
    shown = [_commonest(side) for side in counted]
    return [*results, _tabled(name, np.array(counted).T, shown, seed)]


def _numbers(name: str, before: np.ndarray, now: np.ndarray) -> DriftTest:
    outcome = stats.ks_2samp(before, now)
    shown = [f"median {np.median(side):.4g}" for side in (before, now)]
    return DriftTest(
        name, "Kolmogorov-Smirnov", float(outcome.statistic), float(outcome.pvalue), *shown
    )


def _tabled(name: str, table: np.ndarray, shown: list[str], seed: int) -> DriftTest:
    """Test a contingency table with one row per value and the columns baseline and window."""
    # Values that occur on neither side have an expected count of zero.
    table = table[table.sum(axis=1) > 0]
    plain = stats.chi2_contingency(table, correction=False)
    if plain.expected_freq.min() >= _EXPECTED:
        return DriftTest(name, "chi-square", float(plain.statistic), float(plain.pvalue), *shown)
    if len(table) == 2:
        exact = stats.fisher_exact(table)
        ratio = float(exact.statistic)
        # JSON cannot represent an infinite odds ratio.
        ratio = ratio if math.isfinite(ratio) else float(plain.statistic)
        return DriftTest(name, "Fisher", ratio, float(exact.pvalue), *shown)
    p = _permuted(table, float(plain.statistic), seed)
    return DriftTest(name, "chi-square, permuted", float(plain.statistic), p, *shown)


def _permuted(table: np.ndarray, statistic: float, seed: int) -> float:
    """Return the permutation p-value of a chi-square statistic.

    It is the share of random tables with the same margins whose chi-square is not smaller.
    """
    generator = np.random.default_rng(seed)
    totals, window = table.sum(axis=1), int(table[:, 1].sum())
    drawn = generator.multivariate_hypergeometric(totals, window, size=_RESAMPLES)
    share = window / totals.sum()
    expected = totals * share
    # Both columns of the table have the same deviation.
    squares = (drawn - expected) ** 2
    statistics = (squares / expected + squares / (totals - expected)).sum(axis=1)
    # The tolerance counts values as equal that differ only by rounding.
    return float((1 + (statistics >= statistic * (1 - 1e-9)).sum()) / (1 + _RESAMPLES))


def _commonest(counts: pd.Series) -> str:
    top = counts.sort_values(ascending=False, kind="stable")[:3]
    return ", ".join(f"{value} {count / counts.sum():.0%}" for value, count in top.items() if count)
