"""Adaptive augmentation: each change by known answers, and what moves its probability."""

import math

import pytest
import torch

from genmint.config.models import Ada
from genmint.models.gan.ada import AdaptiveAugmentation, _hue
from genmint.models.shared.noise import Noise


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def augmentation(p=0.0, **settings):
    made = AdaptiveAugmentation(Ada(**settings))
    made.p.fill_(p)
    return made


def pictures(n, *shape, seed=0):
    return 2 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) - 1


ALONE = [("blit",), ("geometry",), ("colour",), ("blit", "geometry", "colour")]


@pytest.mark.parametrize("changes", ALONE)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (2, 8, 8)])
def test_any_shape_and_nothing_at_probability_0(changes, shape):
    grid = pictures(20, *shape)
    assert torch.equal(augmentation(0.0, changes=changes)(grid, noise()), grid)
    changed = augmentation(0.5, changes=changes)(grid, noise())
    assert changed.shape == grid.shape
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, grid)


def test_unchanged_items_keep_their_exact_values():
    """With p = 0.05 none of the three gates of blit opens in 0.95³ of the items."""
    grid = pictures(4000, 1, 5, 5)
    same = (augmentation(0.05, changes=("blit",))(grid, noise()) == grid).flatten(1).all(1)
    # An open gate may still draw no change: a half, a quarter, and 0.8² (shifts of ±5/8, rounded).
    most = (0.95 + 0.05 / 2) * (0.95 + 0.05 / 4) * (0.95 + 0.05 * 0.64)
    assert 0.95**3 - 0.02 < float(same.float().mean()) < most + 0.02


def test_blit_mirrors_turns_and_shifts_whole_pixels():
    square = torch.arange(9.0).view(1, 1, 3, 3) / 9
    found = augmentation(1.0, changes=("blit",))(square.expand(500, -1, -1, -1), noise())
    turned = [square.rot90(k, (2, 3)) for k in range(4)]
    wanted = torch.cat([*turned, *(one.flip(3) for one in turned)])
    # A side of 3 has shifts by 0 pixels only.
    distances = (found[:, None] - wanted[None]).abs().flatten(2).amax(2)
    assert float(distances.min(1).values.max()) < 1e-5
    assert set(distances.argmin(1).tolist()) == set(range(8))


def test_grids_that_are_not_square_are_turned_upside_down_only():
    grid = pictures(1, 1, 2, 3)
    found = augmentation(1.0, changes=("blit",))(grid.expand(300, -1, -1, -1), noise())
    wanted = torch.cat([grid, grid.flip(3), grid.flip(2), grid.flip((2, 3))])
    distances = (found[:, None] - wanted[None]).abs().flatten(2).amax(2)
    assert float(distances.min(1).values.max()) < 1e-5
    assert set(distances.argmin(1).tolist()) == set(range(4))


def test_shifts_by_whole_pixels_reach_an_eighth_of_the_side():
    grid = torch.zeros(2000, 1, 17, 17)
    grid[:, :, 8, 8] = 1
    found = augmentation(1.0, changes=("blit",))(grid, noise())
    rows, columns = (found[:, 0].amax(axis).argmax(1) - 8 for axis in (2, 1))
    for shifts in (rows, columns):
        assert set(shifts.tolist()) == {-2, -1, 0, 1, 2}


def test_geometry_keeps_a_plane_and_moves_the_rest():
    """Whatever lies outside is a reflection of the inside."""
    plane = torch.full((50, 1, 8, 8), 0.3)
    grown = augmentation(1.0, changes=("geometry",))
    torch.testing.assert_close(grown(plane, noise()), plane)
    dots = torch.zeros(1000, 1, 33, 33)
    dots[:, :, 16, 16] = 1
    found = grown(dots, noise())[:, 0].flatten(1)
    places = found.argmax(1)
    away = torch.stack([places // 33 - 16, places % 33 - 16]).float()
    # Shifts with the standard deviation of an eighth of the side, a fifth more or less in size.
    assert float(away.std()) == pytest.approx(33 / 8, rel=0.15)


def test_the_hue_turns_around_grey():
    colours = pictures(7, 3, 1, 1)[:, :, 0, 0]
    angles = torch.linspace(0, 2 * math.pi, 7)
    turned = torch.einsum("nij,nj->ni", _hue(angles), colours)
    torch.testing.assert_close(turned.mean(1), colours.mean(1))
    torch.testing.assert_close(turned.norm(dim=1), colours.norm(dim=1))
    torch.testing.assert_close(turned[[0, 6]], colours[[0, 6]])
    # A third of a turn exchanges the channels.
    torch.testing.assert_close(turned[2], colours[2].roll(1))


def test_colour_of_a_grey_image_is_a_line_in_its_values():
    grid = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).expand(2000, -1, -1, -1)
    found = augmentation(1.0, changes=("colour",))(grid, noise())[:, 0].flatten(1)
    gain = (found[:, -1] - found[:, 0]) / 2
    offset = found.mean(1)
    torch.testing.assert_close(found, offset[:, None] + gain[:, None] * grid[0].flatten())
    assert float((gain < 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(gain.abs().log2().std()) == pytest.approx(0.5, rel=0.1)
    assert float((offset / gain).std()) == pytest.approx(0.2, rel=0.1)


def test_gradients_flow_through_every_change():
    grid = pictures(8, 3, 8, 8).requires_grad_()
    augmentation(0.8)(grid, noise()).square().sum().backward()
    assert torch.isfinite(grid.grad).all()
    assert (grid.grad.flatten(1).abs().sum(1) > 0).all()


def test_the_changes_are_in_float32_in_a_step_of_16_bits():
    grid = pictures(8, 3, 8, 8)
    plain = augmentation(0.8)(grid, noise())
    with torch.autocast("cpu", torch.bfloat16):
        found = augmentation(0.8)(grid, noise())
    assert torch.equal(found, plain)


def same(value):
    return value


def test_p_rises_while_the_discriminator_memorises_and_falls_otherwise():
    ada = augmentation(rise=10, every=2)
    found = []
    for step, accuracy in enumerate([1.0] * 4 + [0.5] * 2 + [1.0] * 30 + [0.5] * 60):
        ada.note(torch.tensor(accuracy), 16)
        ada.adjust(step, same)
        found.append(float(ada.p))
    # A score above the threshold for all data is r = 1, for half of it r = 0; the target is 0.6.
    assert found[:6] == pytest.approx([0, 0.2, 0.2, 0.4, 0.4, 0.2])
    assert max(found) == pytest.approx(0.8)
    assert found[-1] == 0


@pytest.mark.parametrize(("right", "change"), [(12, -1), (13, 1)])
def test_the_target_is_of_the_mean_sign(right, change):
    """12 of 16 are r = 0.5, and 13 are 0.625."""
    ada = augmentation(0.5, rise=10, every=1)
    ada.note(torch.tensor(right / 16), 16)
    ada.adjust(0, same)
    assert float(ada.p) == pytest.approx(0.5 + change / 10)


def test_all_batches_since_the_last_adjustment_count():
    ada = augmentation(0.5, rise=10, every=1)
    ada.note(torch.tensor(1.0), 30)
    ada.note(torch.tensor(0.0), 10)
    ada.adjust(0, same)
    # r = (30 − 10) / 40 = 0.5.
    assert float(ada.p) == pytest.approx(0.4)
    ada.note(torch.tensor(1.0), 4)
    ada.adjust(1, same)
    assert float(ada.p) == pytest.approx(0.5)


def test_processes_adjust_by_the_signs_of_all():
    first, second = augmentation(rise=10, every=1), augmentation(rise=10, every=1)
    for ada, accuracy in ((first, 1.0), (second, 0.5)):
        ada.note(torch.tensor(accuracy), 8)
    sums = torch.stack([torch.stack([one.signs, one.items]) for one in (first, second)])
    for ada in (first, second):
        ada.adjust(0, lambda mine: sums.mean(0))
    # Alone the first would rise; together r = 0.5.
    assert float(first.p) == float(second.p) == 0
