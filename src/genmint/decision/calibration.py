"""Bounds proposed from measured training runs, as a pure function of their values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

# A bound lies at least this many standard deviations of the full run below it, so that a repetition
# of the run passes; it is at least as far from the short run, so that that one fails.
_NOISES = 3.0
# Share of the way from the full run to the short one, if noise requires no more.
_SHARE = 0.25

Key = Literal["min", "max", "skill"]


@dataclass(frozen=True)
class Level:
    """What a training run reaches in one metric.

    Attributes:
        value: the value; with several seeds, the worse of their mean and of the run at hand.
        noise: standard deviation of the value between repetitions.
    """

    value: float
    noise: float


@dataclass(frozen=True)
class Proposal:
    """A bound for one metric of a gate.

    Attributes:
        metric: name of the metric.
        key: key of the bound that is set.
        value: proposed value.
        before: value that params.yaml has; None if it has none.
        evidence: what was measured, in one line.
    """

    metric: str
    key: Key
    value: float
    before: float | None
    evidence: str

    @property
    def looser(self) -> bool:
        """Whether models pass the proposed bound that fail the present one."""
        if self.before is None:
            return False
        return self.value > self.before if self.key == "max" else self.value < self.before


def place_bound(full: Level, short: Level, *, higher: bool) -> float | None:
    """Return a bound that the full training run passes and one of a tenth of the steps fails.

    It lies a quarter of the way from the full run to the short one, and at least three standard
    deviations of the full run away from it. It is rounded to two digits of that distance, away from
    the full run.

    Args:
        full: value of the full run.
        short: value of the run with a tenth of the steps.
        higher: whether higher values are better.

    Returns:
        The bound, or None if the two runs cannot be told apart: they differ by less than six
        standard deviations of the difference, or the short run is the better one.
    """
    sign = 1.0 if higher else -1.0
    gap = sign * (full.value - short.value)
    noise = math.hypot(full.noise, short.noise)
    if not math.isfinite(gap) or gap <= 0 or gap < 2 * _NOISES * noise:
        return None
    slack = max(_SHARE * gap, _NOISES * noise)
    step = 10.0 ** (math.floor(math.log10(slack)) - 1)
    bound = full.value - sign * slack
    steps = bound / step
    rounded = math.floor(steps) if higher else math.ceil(steps)
    return float(f"{rounded * step:.12g}")
