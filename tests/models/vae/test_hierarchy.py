"""Networks of a hierarchical VAE, group by group."""

import math

import pytest
import torch
from tests.models.vae.small import noise, pixels
from torch.distributions import Normal, kl_divergence

from genmint.common.errors import ConfigError
from genmint.config.models import Hierarchy
from genmint.models.vae.hierarchy import (
    BottomUp,
    Deviates,
    Group,
    GroupDraw,
    Layout,
    TopDown,
    deviates,
)

SMALL = Hierarchy(groups=(1, 0, 2), width=6, channels=2)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_weights(module, seed=0):
    """Layers that start at 0 are as any others after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module


def random_draw(shape=(3, 2, 4, 5)):
    prior, posterior = (
        Deviates(normal(*shape, seed=seed), normal(*shape, seed=seed + 1).exp()) for seed in (1, 3)
    )
    z = posterior.mean + posterior.deviation * normal(*shape, seed=5)
    return GroupDraw(z, prior, posterior)


def test_sizes_are_those_of_the_grid_coarsest_first():
    layout = Layout(SMALL, (9, 14))
    assert layout.sides == [(3, 4), (5, 7), (9, 14)]
    assert layout.shapes == [(2, 3, 4), (2, 9, 14), (2, 9, 14)]
    assert layout.ends == (24, 24, 24 + 2 * 252)
    z = torch.arange(layout.ends[-1]).expand(2, -1)
    parts = layout.split(z)
    assert [tuple(part.shape[1:]) for part in parts] == layout.shapes
    assert torch.equal(torch.cat([part.flatten(1) for part in parts], dim=1), z)


def test_a_grid_that_cannot_be_halved_so_often_is_refused():
    words = r"hierarchy.groups halves the grid 2 times, .* only 1 times"
    with pytest.raises(ConfigError, match=words):
        Layout(SMALL, (2, 2))


def test_kl_and_log_ratio_are_those_of_normal_distributions():
    draw = random_draw()
    p, q = (Normal(*of) for of in (draw.prior, draw.posterior))
    torch.testing.assert_close(draw.kl(), kl_divergence(q, p))
    torch.testing.assert_close(draw.log_ratio(), p.log_prob(draw.z) - q.log_prob(draw.z))
    z = draw.prior.mean + draw.prior.deviation * draw.standardised()
    torch.testing.assert_close(z, draw.z)


def test_a_deviation_grows_no_faster_than_its_parameter_and_starts_at_one():
    """Hazami et al. 2022: an exponential of 90 has no gradient that float32 can hold."""
    raw = torch.tensor([-1e4, -5.0, 0.0, 5.0, 90.0, 1e4]).view(6, 1, 1, 1).requires_grad_()
    deviation = deviates(torch.cat([torch.zeros_like(raw), raw], dim=1)).deviation
    assert float(deviation[2].detach()) == pytest.approx(1.001)
    assert float(deviation[0].detach()) == pytest.approx(1e-3)
    assert float(deviation[-1].detach()) == pytest.approx(1e4, rel=1e-3)
    deviation.sum().backward()
    assert float(raw.grad.min()) >= 0
    assert float(raw.grad.max()) <= 1


def test_the_prior_of_a_new_network_is_standard_normal():
    layout = Layout(SMALL, (8, 8))
    _, draws = TopDown(layout, 3, "silu")(normal(4, layout.ends[-1]))
    for draw, shape in zip(draws, layout.shapes, strict=True):
        assert draw.z.shape == (4, *shape)
        assert draw.posterior is None
        assert torch.equal(draw.prior.mean, torch.zeros(4, *shape))
        torch.testing.assert_close(draw.prior.deviation, torch.full((4, *shape), 1.001))


@pytest.mark.parametrize("depth", [2, 8, 32])
def test_the_state_of_a_new_network_does_not_grow_with_its_depth(depth):
    """Child 2021: residual blocks start with 1/√depth of their usual weights."""
    torch.manual_seed(0)
    layout = Layout(Hierarchy(groups=(depth,), width=16), (8, 8))
    blocks = [layout.residual((8, 8), "silu") for _ in range(depth)]
    usual = 1 / math.sqrt(8)  # the bound of torch's uniform weights for 8 inputs
    largest = max(float(block[-1].weight.detach().abs().max()) for block in blocks)
    assert largest <= usual / math.sqrt(depth)
    assert largest > 0.9 * usual / math.sqrt(depth)
    assert not any(block[-1].bias.any() for block in blocks)


def test_features_come_from_every_resolution():
    layout = Layout(SMALL, (9, 14))
    features = BottomUp(layout, 3, "relu")(normal(2, 3, 9, 14))
    assert [tuple(each.shape) for each in features] == [
        (2, 6, 3, 4), (2, 6, 5, 7), (2, 6, 9, 14),
    ]  # fmt: skip


def test_a_group_depends_on_those_before_it_and_not_on_those_after():
    layout = Layout(SMALL, (8, 8))
    network = random_weights(TopDown(layout, 3, "silu"))
    first = normal(1, layout.ends[-1])
    changed = first.clone()
    start = math.prod(layout.shapes[0])
    changed[:, start : start + math.prod(layout.shapes[1])] += 1
    with torch.no_grad():
        (_, before), (_, after) = network(first), network(changed)
    same = [torch.equal(a.prior.mean, b.prior.mean) for a, b in zip(before, after, strict=True)]
    assert same == [True, True, False]


def test_the_posterior_sees_the_item_and_the_prior_does_not():
    layout = Layout(SMALL, (8, 8))
    group = random_weights(Group(layout, (8, 8), "silu"))
    state, eps = normal(1, 6, 8, 8), normal(1, 2, 8, 8, seed=1)
    with torch.no_grad():
        _, one = group(state, eps, normal(1, 6, 8, 8, seed=2))
        _, other = group(state, eps, normal(1, 6, 8, 8, seed=3))
        _, drawn = group(state, eps, None)
    assert torch.equal(one.prior.mean, other.prior.mean)
    assert not torch.equal(one.posterior.mean, other.posterior.mean)
    torch.testing.assert_close(drawn.standardised(), eps)


def test_distributions_and_the_output_are_in_float32_under_autocast():
    layout = Layout(SMALL, (8, 8))
    encoder, decoder = (
        random_weights(BottomUp(layout, 1, "silu")), random_weights(TopDown(layout, 3, "silu"))
    )  # fmt: skip
    seen = []
    decoder.levels[2][0].body[1].register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    x, eps = pixels(2, 1, 8, 8).float() / 255, noise().normal(2, layout.ends[-1])
    with torch.no_grad():
        exact, _ = decoder(eps, encoder(x))
        with torch.autocast("cpu", torch.bfloat16):
            parameters, draws = decoder(eps, encoder(x))
            kls = [draw.kl() for draw in draws]
    assert seen == [torch.float32, torch.bfloat16]
    assert {each.dtype for each in (parameters, *kls)} == {torch.float32}
    torch.testing.assert_close(parameters, exact, rtol=0.1, atol=0.1)
    # Not rounded to 8 bits of mantissa.
    assert not torch.equal(parameters, parameters.bfloat16().float())
