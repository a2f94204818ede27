import pytest
import torch

from genmint.models.gan.diffaug import augment
from genmint.models.shared.noise import Noise

POLICIES = ["colour", "translation", "cutout"]


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


class Scripted(Noise):
    """Draws that are given."""

    def __init__(self, *values):
        self.values = list(values)

    def uniform(self, rows, *shape):
        value = torch.tensor(self.values.pop(0))
        return value.view(1, -1, *[1] * (len(shape) - 1)).expand(rows, *shape)


def ramp(side=16):
    return torch.arange(1.0, side**2 + 1).view(1, 1, side, side)


@pytest.mark.parametrize(
    ("part", "down", "right"),
    [((0.0, 0.5), -2, 0), ((0.5, 0.999), 0, 2), ((0.3, 0.7), -1, 1), ((0.5, 0.5), 0, 0)],
)
def test_translation_moves_by_up_to_an_eighth_and_fills_with_zeros(part, down, right):
    x = ramp()
    y = augment(x, ["translation"], Scripted(part))
    wanted = torch.zeros(1, 1, 20, 20)
    # Shifts are of what is looked at: a source further down moves the picture up.
    wanted[..., 2 - down : 18 - down, 2 - right : 18 - right] = x
    assert torch.equal(y, wanted[..., 2:18, 2:18])


def test_cutout_hides_a_square_of_half_the_side_that_may_reach_over_the_edge():
    x = ramp()
    whole = augment(x, ["cutout"], Scripted((0.5, 0.5)))
    assert (whole[0, 0, 4:12, 4:12] == 0).all()
    assert int((whole == 0).sum()) == 64
    corner = augment(x, ["cutout"], Scripted((0.0, 0.0)))
    assert (corner[0, 0, :4, :4] == 0).all()
    assert int((corner == 0).sum()) == 16
    assert torch.equal(corner[corner != 0], x[corner != 0])


def test_colour_is_brightness_saturation_and_contrast_within_their_ranges():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 4)
    assert torch.allclose(augment(x, ["colour"], Scripted((0.5, 0.5, 0.5))), x, atol=1e-6)
    brighter = augment(x, ["colour"], Scripted((0.75, 0.5, 0.5)))
    assert torch.allclose(brighter, x + 0.25, atol=1e-6)
    grey = augment(x, ["colour"], Scripted((0.5, 0.0, 0.5)))
    assert torch.allclose(grey, x.mean(1, keepdim=True).expand_as(x), atol=1e-6)
    flat = augment(x, ["colour"], Scripted((0.5, 0.5, 0.0)))
    assert torch.allclose(flat.std(), x.std() / 2, atol=1e-6)
    assert torch.allclose(flat.mean(), x.mean(), atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_item_has_draws_of_its_own_and_gradients_pass(policy):
    x = ramp(8).expand(6, 1, 8, 8).clone().requires_grad_()
    y = augment(x, [policy], noise())
    assert y.shape == x.shape
    assert len({row.detach().numpy().tobytes() for row in y}) > 1
    y.sum().backward()
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 1, 1), (2, 7, 5)])
def test_any_shape(shape):
    assert augment(torch.ones(4, *shape), POLICIES, noise()).shape == (4, *shape)


def test_no_policy_draws_nothing():
    source, other = noise(), noise()
    x = ramp(8)
    assert augment(x, (), source) is x
    assert torch.equal(source.uniform(2), other.uniform(2))


def test_processes_change_their_rows_as_one_would():
    x = torch.randn(8, 3, 9, 9)
    whole = augment(x, POLICIES, noise())
    parts = [
        augment(x[4 * rank : 4 * rank + 4], POLICIES, Noise(noise().generator, rank, 2))
        for rank in range(2)
    ]
    assert torch.equal(torch.cat(parts), whole)
