import pytest
import torch
from torch import nn

from genmint.models.shared.networks import (
    Down,
    MinibatchStddev,
    Residual,
    SelfAttention,
    Up,
    decoder,
    encoder,
    normalisation,
    spectral,
)


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8, 13])
def test_down_halves_rounding_up_and_up_undoes_it(side):
    half = (side + 1) // 2
    down = Down(2, 3)(torch.zeros(1, 2, side, side))
    assert down.shape == (1, 3, half, half)
    assert Up(3, 2, (side, side))(down).shape == (1, 2, side, side)


def test_a_residual_block_starts_as_nothing_and_learns():
    x = torch.randn(2, 3, 5, 5)
    block = Residual(3, "relu")
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.body[-1].weight.grad.abs().sum() > 0
    with torch.no_grad():
        block.body[-1].weight.fill_(0.1)
    assert not torch.equal(block(x), x)


def test_residual_networks_have_a_block_at_each_size():
    shape = (1, 9, 9)
    down = encoder("residual", shape, [4, 6], 5, act="silu")
    up = decoder("residual", 5, [4, 6], shape, act="silu")
    assert sum(isinstance(m, Residual) for m in down.modules()) == 2
    assert sum(isinstance(m, Residual) for m in up.modules()) == 2
    assert up(down(torch.randn(2, *shape))).shape == (2, *shape)


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
@pytest.mark.parametrize("grid", [True, False])
def test_normalised_values_have_mean_0_and_variance_1_over_what_they_are_named_after(norm, grid):
    torch.manual_seed(0)
    x = 3 + 5 * torch.randn(8, 32, *((4, 4) if grid else ()))
    (module,) = normalisation(norm, 32, grid=grid)
    y = module(x)
    if norm == "batch":
        sets = y.transpose(0, 1).flatten(1)
    else:
        # Two groups of 16 channels, or all of an item.
        sets = y.reshape(8 * (2 if norm == "group" else 1), -1)
    assert sets.mean(1).abs().max() < 1e-5
    assert (sets.var(1, correction=0) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_group_and_layer_normalisation_do_not_look_at_the_rest_of_the_batch(norm):
    torch.manual_seed(0)
    x = torch.randn(8, 32, 4, 4)
    (module,) = normalisation(norm, 32, grid=True)
    assert torch.allclose(module(x)[:1], module(x[:1]), atol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "conv", "residual"])
@pytest.mark.parametrize("norm", ["none", "batch", "group", "layer"])
@pytest.mark.parametrize("attention", [False, True])
def test_every_network_takes_grids_to_vectors_and_back(network, norm, attention):
    down = encoder(network, (3, 9, 7), [8, 16], 5, act="relu", norm=norm, attention=attention)
    up = decoder(network, 5, [8, 16], (3, 9, 7), act="relu", norm=norm, attention=attention)
    assert up(down(torch.zeros(4, 3, 9, 7))).shape == (4, 3, 9, 7)
    found = [m for m in (*down.modules(), *up.modules()) if isinstance(m, SelfAttention)]
    assert len(found) == (2 if attention and network != "mlp" else 0)


def test_without_features_the_last_layer_is_left_out():
    down = encoder("conv", (1, 8, 8), [4, 6], 0, act="relu")
    assert down(torch.zeros(2, 1, 8, 8)).shape == (2, 6 * 2 * 2)


def test_attention_starts_as_nothing_and_lets_far_places_meet():
    """Its gradient reaches from one corner to the other, where a 3×3 convolution's does not."""
    torch.manual_seed(0)
    x = torch.randn(1, 16, 6, 6, requires_grad=True)
    block = SelfAttention(16)
    assert torch.equal(block(x), x)
    with torch.no_grad():
        block.gamma.fill_(1.0)
    (reached,) = torch.autograd.grad(block(x)[0, :, 0, 0].sum(), x)
    assert reached[0, :, 5, 5].abs().sum() > 0
    (near,) = torch.autograd.grad(nn.Conv2d(16, 16, 3, padding=1)(x)[0, :, 0, 0].sum(), x)
    assert near[0, :, 5, 5].abs().sum() == 0


def test_attention_is_what_its_formula_says_and_shows_its_weights():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 3, 3)
    block = SelfAttention(16)
    block.keep = True
    with torch.no_grad():
        block.gamma.fill_(0.7)
    y = block(x)
    q, k, v = (f(x).flatten(2) for f in (block.query, block.key, block.value))
    weights = torch.einsum("ncp,ncq->npq", q, k).softmax(dim=2)
    expected = torch.einsum("npq,ncq->ncp", weights, v).view(2, 8, 3, 3)
    assert torch.allclose(y, x + 0.7 * block.out(expected), atol=1e-5)
    assert torch.allclose(block.weights, weights, atol=1e-6)


def test_spectral_normalisation_makes_every_layer_1_lipschitz():
    """Miyato et al. 2018: the largest singular value of every weight becomes 1."""
    torch.manual_seed(0)
    network = spectral(encoder("mlp", (1, 4, 4), [32, 32], 1, act="leaky-relu"))
    with torch.no_grad():
        for _ in range(50):
            network(torch.zeros(2, 1, 4, 4))
    values = [
        float(torch.linalg.matrix_norm(layer.weight.detach(), ord=2))
        for layer in network
        if isinstance(layer, nn.Linear)
    ]
    assert len(values) == 3
    assert max(abs(value - 1) for value in values) < 1e-3


def test_the_deviation_of_a_group_is_one_more_feature_of_its_items():
    """Karras et al. 2018, section 3: over the group for each feature, then averaged over them."""
    x = torch.randn(8, 5)
    y = MinibatchStddev(4)(x)
    assert torch.equal(y[:, :5], x)
    wanted = x.view(2, 4, 5).std(dim=1, correction=0).mean(1)
    torch.testing.assert_close(y[:, 5], wanted.repeat_interleave(4))
    alike = x[:1].expand(4, 5).clone().requires_grad_()
    y = MinibatchStddev(4)(alike)
    assert float(y[0, 5].detach()) == pytest.approx(0, abs=1e-3)
    y.sum().backward()
    assert torch.isfinite(alike.grad).all()


@pytest.mark.parametrize("network", ["mlp", "conv", "residual"])
def test_networks_that_compare_items_give_a_vector_all_the_same(network):
    down = encoder(network, (1, 8, 8), [4, 6], 1, act="relu", compared=2)
    assert down(torch.randn(6, 1, 8, 8)).shape == (6, 1)


def test_spectral_normalisation_of_residual_networks_is_finite():
    """Their last convolutions start at zero, which has no direction to divide by."""
    network = spectral(encoder("residual", (1, 8, 8), [4, 6], 1, act="relu", attention=True))
    assert torch.isfinite(network(torch.randn(2, 1, 8, 8))).all()
