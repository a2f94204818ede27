"""Bounds between a full training run and one of a tenth of the steps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmint.decision.calibration import Proposal, Reached, place_bound

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)
NOISES = st.floats(0.0, 1e3)


@given(VALUES, VALUES, NOISES, NOISES, st.booleans())
def test_the_full_run_passes_and_the_short_one_fails(full, short, noise, other, higher):
    bound = place_bound(Reached(full, noise), Reached(short, other), higher=higher)
    sign = 1 if higher else -1
    gap = sign * (full - short)
    if bound is None:
        assert gap <= 0 or gap < 6 * math.hypot(noise, other)
        return
    rounding = 1e-9 * max(1.0, abs(full), abs(short))
    # Rounding away from the full run costs at most a tenth of the distance.
    slack = max(0.25 * gap, 3 * math.hypot(noise, other))
    assert slack - rounding <= sign * (full - bound) <= 1.11 * slack + rounding
    assert sign * (bound - short) > 0.3 * gap - rounding


@pytest.mark.parametrize(
    ("full", "short", "higher", "bound"),
    [
        ((-23.07, 0.257), (-26.35, 0.0), True, -23.89),
        ((3.18, 0.0), (24.4, 0.0), False, 8.5),
        ((1.93, 0.0), (3.4, 0.0), False, 2.3),
        ((0.91, 0.02), (0.7, 0.0), True, 0.85),
        ((0.91, 0.02), (0.7, 0.02), True, 0.825),
        ((0.0, 0.0), (-4.0, 0.0), True, -1.0),
        ((0.91, 0.04), (0.7, 0.0), True, None),
        ((0.91, 0.0), (0.91, 0.0), True, None),
        ((0.7, 0.0), (0.9, 0.0), True, None),
        ((math.nan, 0.0), (0.9, 0.0), True, None),
        ((math.inf, 0.0), (0.9, 0.0), True, None),
    ],
)
def test_the_place_of_a_bound(full, short, higher, bound):
    assert place_bound(Reached(*full), Reached(*short), higher=higher) == bound


@pytest.mark.parametrize(
    ("key", "before", "value", "looser"),
    [
        ("min", 1.0, 0.9, True),
        ("min", 1.0, 1.1, False),
        ("max", 1.0, 1.1, True),
        ("max", 1.0, 0.9, False),
        ("skill", 0.5, 0.4, True),
        ("skill", None, 0.4, False),
        ("max", 1.0, 1.0, False),
    ],
)
def test_which_change_is_looser(key, before, value, looser):
    assert Proposal("m", key, value, before, "").looser is looser
