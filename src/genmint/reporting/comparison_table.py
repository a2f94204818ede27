"""Table of the stored comparison between the files in the project and the champion."""

from __future__ import annotations

from dataclasses import dataclass

from genmint.config.metric_catalogue import metric
from genmint.decision.comparison import Contrast
from genmint.registry.champion import Champion
from genmint.reporting.status import ModelStatus
from genmint.reporting.verdicts import comparison_with, signed


@dataclass(frozen=True)
class ComparisonRow:
    """One metric of a comparison; differences are the value of the files minus the champion's.

    Attributes:
        split: test or confirmation.
        contrast: the comparison in this metric.
        difference: difference in the unit of the metric, as text.
        limits: confidence limits of the difference, as text.
        bound: the difference that is needed or allowed, as text.
    """

    split: str
    contrast: Contrast
    difference: str
    limits: str
    bound: str


def comparison_rows(status: ModelStatus, champion: Champion | None) -> list[ComparisonRow]:
    """Return the comparison with the present champion; [] if there was none."""
    comparison = comparison_with(status, champion)
    if comparison is None:
        return []
    splits = (("test", comparison.test), ("confirmation", comparison.confirmation))
    return [
        _row(split, one)
        for split, compared in splits
        if compared is not None
        for one in compared.contrasts
    ]


def _row(split: str, one: Contrast) -> ComparisonRow:
    sign = metric(one.metric).sign
    limits = "–"
    if one.low is not None and one.high is not None:
        ends = sorted((sign * one.low, sign * one.high))
        limits = f"{signed(ends[0])} … {signed(ends[1])}"
    difference, bound = (
        "–" if value is None else signed(sign * value) for value in (one.difference, one.bound)
    )
    return ComparisonRow(split, one, difference, limits, bound)
