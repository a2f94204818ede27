import numpy as np
import pytest

from genmint.evaluation.noise_floor import distance_floors, share_floors


def test_the_floor_of_a_distance_falls_with_the_number_of_samples():
    rng = np.random.default_rng(0)
    pool, real = rng.normal(size=(2000, 8)), rng.normal(size=(500, 8))
    few, many = (distance_floors(pool, real, n, seed=0) for n in (30, 1000))
    assert few[0] > 3 * many[0] > 0
    # What is extrapolated is smaller from the start, and falls all the same.
    assert few[0] > few[1] > many[1] >= 0
    assert few[2] > many[2] >= 0


def test_no_floor_of_an_extrapolation_from_too_few():
    pool = np.random.default_rng(0).normal(size=(100, 8))
    assert distance_floors(pool, pool, 15, seed=0)[1] is None


def test_the_floor_of_a_distance_takes_what_there_is():
    rng = np.random.default_rng(0)
    pool, real = rng.normal(size=(40, 4)), rng.normal(size=(50, 4))
    assert distance_floors(pool, real, 10_000, seed=0) == distance_floors(pool, real, 40, seed=0)


def test_the_floor_of_a_share_is_about_the_binomial_one():
    values = np.random.default_rng(0).random(10_000) < 0.5
    floors = share_floors(
        lambda rows: {"x": float(values[rows].mean()), "x_stderr": 1.0}, 10_000, 100, seed=0
    )
    assert set(floors) == {"x"}
    # |difference of two means| has its median at 0.67 · 0.05 · √2.
    assert 0.01 < floors["x"] < 0.12


def test_the_two_sets_of_a_share_are_disjoint():
    seen = []
    share_floors(lambda rows: {"x": float(seen.append(set(rows.tolist())) or 0)}, 11, 100, seed=0)
    pairs = list(zip(seen[::2], seen[1::2], strict=True))
    assert pairs
    assert all(len(a) == len(b) == 5 and not a & b for a, b in pairs)


@pytest.mark.parametrize("items", [0, 1])
def test_no_two_sets_no_floor(items):
    assert share_floors(lambda rows: {"x": 1.0}, items, 10, seed=0) == {}
