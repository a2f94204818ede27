"""The networks of R3GAN, by known answers."""

import math

import pytest
import torch
from torch import nn

from genmint.common.errors import ConfigError
from genmint.models.gan.r3 import (
    Basis,
    GroupedResidual,
    Resample,
    r3_discriminator,
    r3_generator,
)

SIZES = {"blocks": 2, "group_width": 4}


def convolutions(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def test_a_block_starts_as_the_identity_and_learns():
    torch.manual_seed(0)
    block, x = GroupedResidual(8, 4, 6), torch.randn(2, 8, 5, 7)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    first, second, last = convolutions(block)
    assert last.weight.grad.abs().sum() > 0
    # What is behind a zero learns once that has moved.
    assert first.weight.grad.abs().sum() == 0
    with torch.no_grad():
        last.weight += 0.1
    block(x).square().sum().backward()
    assert first.weight.grad.abs().sum() > 0
    assert second.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("blocks", [1, 16])
def test_the_other_convolutions_are_scaled_by_the_number_of_blocks(blocks):
    """L^(−1/(2m−2)) with m = 3: Zhang et al. 2019; He et al. 2015 for a slope of 0.2."""
    torch.manual_seed(0)
    first, second, _ = convolutions(GroupedResidual(256, 16, blocks))
    for layer, inputs in ((first, 256), (second, 16 * 9)):
        wanted = math.sqrt(2 / 1.04) * blocks**-0.25 / math.sqrt(inputs)
        assert float(layer.weight.detach().std()) == pytest.approx(wanted, rel=0.02)
        assert float(layer.bias.detach().abs().sum()) == 0


def test_groups_have_the_given_width():
    _, grouped, _ = convolutions(GroupedResidual(8, 4, 1))
    assert (grouped.in_channels, grouped.groups) == (16, 4)
    x = torch.zeros(1, 16, 3, 3)
    x[0, 5] = 1
    reached = (grouped(x) - grouped(torch.zeros_like(x))).abs().sum((0, 2, 3)) > 0
    assert reached.nonzero().flatten().tolist() == [4, 5, 6, 7]


def test_resampling_is_bilinear_and_keeps_a_plane():
    """Weights 1, 3, 3, 1 in both directions, which are the published filter."""
    impulse = torch.zeros(1, 1, 1, 8)
    impulse[..., 3] = 1
    wider = Resample((1, 16), low_pass=False)(impulse).flatten()
    torch.testing.assert_close(wider[5:9], torch.tensor([1.0, 3, 3, 1]) / 4)
    impulse = torch.zeros(1, 1, 1, 16)
    narrower = Resample((1, 8), low_pass=True)
    weights = []
    for place in range(5, 9):
        impulse.zero_()[..., place] = 1
        weights.append(float(narrower(impulse)[..., 3]))
    assert weights == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8])
    plane = torch.full((2, 3, 7, 10), 0.7)
    for size in ((4, 5), (14, 20)):
        torch.testing.assert_close(
            Resample(size, low_pass=size == (4, 5))(plane), torch.full((2, 3, *size), 0.7)
        )
    assert Resample((4, 5), low_pass=True)(plane.bfloat16()).dtype == torch.bfloat16


def test_the_generator_starts_from_a_learnt_grid_that_the_noise_weighs():
    torch.manual_seed(0)
    basis, z = Basis(3, 5, (4, 4)), torch.randn(2, 3)
    expected = torch.einsum("nf,cf,chw->nchw", z, basis.scale.weight, basis.grid[0])
    torch.testing.assert_close(basis(z), expected)


@pytest.mark.parametrize(("shape", "inner"), [((3, 32, 32), (8, 8)), ((1, 28, 21), (7, 6))])
def test_the_discriminator_is_the_mirror_of_the_generator(shape, inner):
    hidden = (4, 6, 8)
    generator = r3_generator(5, hidden, shape, **SIZES)
    discriminator = r3_discriminator(shape, hidden, **SIZES)
    assert generator(torch.randn(2, 5)).shape == (2, *shape)
    assert discriminator(torch.randn(2, *shape)).shape == (2, 1)
    for network in (generator, discriminator):
        assert sum(isinstance(layer, GroupedResidual) for layer in network) == 2 * 3
        assert not any("Norm" in type(layer).__name__ for layer in network.modules())
    assert generator[0].grid.shape == (1, 8, *inner)
    # A learnt mean over the innermost grid, then a linear layer.
    assert discriminator[-3].weight.shape == (8, 1, *inner)
    assert isinstance(discriminator[-1], nn.Linear)
    sizes = [layer.size for layer in discriminator if isinstance(layer, Resample)]
    mirrored = [layer.size for layer in generator if isinstance(layer, Resample)]
    assert sizes[-1] == inner
    assert mirrored == [*reversed(sizes[:-1]), shape[1:]]


def test_equal_widths_need_no_convolution_between_them():
    def pointwise(hidden):
        network = r3_generator(5, hidden, (1, 8, 8), **SIZES)
        return sum(isinstance(layer, nn.Conv2d) for layer in network)

    assert pointwise((8, 8)) == 1
    assert pointwise((4, 8)) == 2


def test_more_halvings_than_the_grid_has_are_refused():
    with pytest.raises(ConfigError, match="can be halved only 3 times"):
        r3_generator(5, (4,) * 5, (1, 8, 8), **SIZES)
