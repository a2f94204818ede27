"""Each corruption does nothing at severity 0, more at a higher one, and what it promises at 1."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from genmint.evaluation.corruptions import (
    PixelStatistics,
    band_limited,
    blurred,
    corrupted,
    noisy,
    replaced,
    reversed_in_time,
    shuffled,
)

SPREAD = 20.0


def grids(n=6, shape=(2, 16, 24)):
    return torch.from_numpy(np.random.default_rng(0).integers(1, 256, (n, *shape))).float()


def source():
    return torch.Generator().manual_seed(3)


PIXELS = PixelStatistics(SPREAD, torch.full((2, 16, 24), 90.0), torch.full((2, 16, 24), 10.0))
ACTIONS = {
    "replacement": lambda x, s: replaced(x, s, PIXELS.mean, PIXELS.deviation, source()),
    "noise": lambda x, s: noisy(x, s, SPREAD, source()),
    "blur": blurred,
    "shuffle": lambda x, s: shuffled(x, s, source()),
    "band limit": band_limited,
    "reversal": reversed_in_time,
}


@pytest.mark.parametrize("name", ACTIONS)
def test_severity_grades_the_change_of_each_item_by_itself(name):
    x = grids(4)
    changed = ACTIONS[name](x, torch.tensor([0.0, 0.3, 0.6, 1.0]))
    assert changed.shape == x.shape
    assert torch.allclose(changed[0], x[0], atol=1e-3)
    distances = (changed - x).square().mean(dim=(1, 2, 3))
    assert distances[0] < distances[1] < distances[2] < distances[3]
    assert changed.min() >= 0
    assert changed.max() <= 255.001


def test_noise_has_twice_the_spread_of_the_data():
    grey = torch.full((4, 1, 64, 64), 128.0)
    changed = noisy(grey, torch.tensor([0.25, 0.5, 0.75, 1.0]), SPREAD, source())
    assert changed.std(dim=(1, 2, 3)) == pytest.approx([10, 20, 30, 40], rel=0.05)


def test_replaced_items_are_those_of_the_trivial_baseline():
    changed = ACTIONS["replacement"](grids(200), torch.ones(200))
    assert changed.mean() == pytest.approx(90, abs=0.2)
    assert changed.std(dim=0).mean() == pytest.approx(10, rel=0.02)


def test_blur_is_gaussian_with_an_eighth_of_the_side():
    point = torch.zeros(1, 1, 33, 65)
    point[0, 0, 16, 32] = 1.0
    rows, columns = (norm.pdf(np.arange(side) - side // 2, scale=side / 8) for side in (33, 65))
    wanted = np.outer(rows / rows.sum(), columns / columns.sum())
    # Near the border the weights are distributed over fewer pixels.
    inside = np.s_[12:21, 24:41]
    changed = blurred(point, torch.ones(1))[0, 0].numpy()
    assert changed[inside] == pytest.approx(wanted[inside], rel=0.02)


def test_blur_keeps_a_constant():
    grey = torch.full((2, 3, 9, 12), 77.0)
    assert torch.allclose(blurred(grey, torch.ones(2)), grey)


def test_shuffling_moves_whole_blocks():
    x = torch.arange(16.0).reshape(1, 1, 4, 4).repeat_interleave(3, 2).repeat_interleave(5, 3)
    changed = shuffled(x, torch.ones(1), source())[0, 0]
    blocks = changed.reshape(4, 3, 4, 5).permute(0, 2, 1, 3).flatten(2)
    assert (blocks == blocks[..., :1]).all()
    assert sorted(blocks[..., 0].flatten().tolist()) == list(range(16))


def test_a_band_limit_keeps_an_eighth_and_a_reversal_is_its_own_inverse():
    x = grids()
    kept = band_limited(x, torch.ones(6))
    assert (kept[:, :, 2:] == 0).all()
    assert torch.equal(kept[:, :, :2], x[:, :, :2])
    whole, half = torch.ones(6), torch.full((6,), 0.5)
    assert torch.equal(reversed_in_time(x, whole), x.flip(3))
    assert torch.equal(reversed_in_time(reversed_in_time(x, half), half), x)


@pytest.mark.parametrize("sound", [False, True])
def test_each_item_gets_its_own_kind_and_the_same_seed_the_same_change(sound):
    x, kind = grids(), torch.tensor([0, 0, 1, 1, 2, 2])
    first, again = (
        corrupted(x, kind, torch.ones(6), PIXELS, source(), sound=sound) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert all(not torch.equal(one, before) for one, before in zip(first, x, strict=True))
    # Only noise makes new values, and only disorder keeps the values of an item.
    same = [torch.equal(one.flatten().sort()[0], before.flatten().sort()[0])
            for one, before in zip(first, x, strict=True)]  # fmt: skip
    assert same == [False, False, False, False, True, True]
