"""Remedies of the VAE, on scikit-learn's digits where something is trained."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from genmint.data.views.spec import DataSpec
from genmint.models.shared.networks import SelfAttention, attentions
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build
from genmint.models.vae.latents import kl_weight
from genmint.training.loop import fit

SEEDS = range(3)
# Deep for so little data: the KL pushes the latents away before the decoder has a use for them.
DEEP = {"hidden": (128, 128, 128), "latent": 12, "steps": 400, "optimiser": {"lr": 2e-3}}


@pytest.fixture(scope="module")
def digits():
    pixels = torch.from_numpy((load_digits().images * 255 / 16).round().astype("uint8"))
    return pixels.unsqueeze(1).split([1500, 297])


def grid(*shape):
    return DataSpec(dataset="digits", kind="image", view="grid", shape=shape)


def pixels(n, *shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def trained(config, digits):
    train, held_out = digits
    model = build(config, grid(1, 8, 8))
    fit("digits", model, config, train, held_out)
    return model


def signals(config, digits, *names):
    """Of a trained model on held-out digits, `elbo`'s means and `health`."""
    model, held_out = trained(config, digits), digits[1]
    found = {name: float(value.mean()) for name, value in model.elbo(held_out, seed=1).items()}
    found |= model.health(held_out, seed=1)
    return [found[name] for name in names]


@pytest.mark.switch("vae.kl_warmup")
def test_the_linear_warm_up_rises_from_nothing_to_beta(block):
    model = build(block("vae", steps=200, beta=2.0, kl_warmup={"steps": 100}), grid(1, 4, 4))
    weights = {}
    for step in (0, 25, 50, 99, 100, 199):
        model.begin(step)
        loss = model.loss("vae", pixels(16, 1, 4, 4), noise(), fresh=True)
        paid = loss.value.detach() + loss.scalars["reconstruction"]
        weights[step] = float(paid / loss.scalars["kl"])
    expected = {0: 0.0, 25: 0.5, 50: 1.0, 99: 1.98, 100: 2.0, 199: 2.0}
    assert weights == pytest.approx(expected, abs=1e-3)


@pytest.mark.switch("vae.kl_warmup")
def test_the_cyclical_warm_up_begins_anew(block):
    warmup = {"steps": 80, "cycles": 4, "ramp": 0.5}
    config = block("vae", steps=200, kl_warmup=warmup)
    weights = [kl_weight(config.kl_warmup, step) for step in range(100)]
    cycle = [i / 10 for i in range(10)] + [1.0] * 10
    assert weights == pytest.approx(cycle * 4 + [1.0] * 20)


@pytest.mark.switch("vae.kl_warmup")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_warm_up_keeps_latents_alive(block, digits, seed):
    """Bowman et al. 2016: without it the posterior of a deep network has collapsed, 0 or 1 left."""
    (units,) = signals(
        block("vae", **DEEP, seed=seed, kl_warmup={"steps": 400}), digits, "active_units"
    )
    assert units >= 4


@pytest.mark.switch("vae.free_bits")
def test_free_bits_cost_no_less_than_they_grant(block):
    """Kingma et al. 2016: Σ max(λ, KL_j), the mean over the batch taken first."""
    model = build(block("vae", free_bits=0.3, latent=3), grid(1, 4, 4))
    means = torch.tensor([[0.0, 0.1, 2.0], [2.0, 0.1, 2.0]])
    model.encoder = nn.Module()
    model.encoder.forward = lambda x: torch.cat([means, torch.zeros(2, 3)], dim=1)
    loss = model.loss("vae", pixels(2, 1, 4, 4), noise(), fresh=True)
    # KL(N(m, 1) ‖ N(0, 1)) = m²/2: means over the two items of 1, 0.005 and 2 nats.
    paid = loss.value.detach() + loss.scalars["reconstruction"]
    assert float(loss.scalars["kl"]) == pytest.approx(3.005)
    assert float(paid) == pytest.approx(1 + 0.3 + 2)


@pytest.mark.switch("vae.free_bits")
@pytest.mark.parametrize("seed", SEEDS)
def test_free_bits_keep_latents_alive(block, digits, seed):
    """With beta 4 none survives, at 0.1 nats in all; with λ = 0.25 all twelve do."""
    config = block(
        "vae", hidden=(64, 64), latent=12, steps=300, beta=4.0, free_bits=0.25, seed=seed,
        optimiser={"lr": 2e-3},
    )  # fmt: skip
    units, kl = signals(config, digits, "active_units", "kl")
    assert units == 12
    assert kl > 1


@pytest.mark.switch("vae.norm")
@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_every_layer_but_the_outermost_is_normalised(block, norm):
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
    for network in ("mlp", "conv", "residual"):
        model = build(block("vae", network=network, hidden=(32, 32), norm=norm), grid(1, 8, 8))
        for part in (model.encoder, model.decoder):
            assert any(isinstance(module, kinds) for module in part.modules())
            assert not isinstance(part[-1], kinds)


@pytest.mark.switch("vae.norm")
@pytest.mark.parametrize("seed", SEEDS)
def test_batch_normalisation_lets_a_deep_network_learn(block, digits, seed):
    """Ioffe and Szegedy 2015: five layers, 200 steps; without it no latent says anything yet."""
    config = block(
        "vae", hidden=(64,) * 5, latent=8, steps=200, norm="batch", seed=seed,
        optimiser={"lr": 2e-3},
    )  # fmt: skip
    (units,) = signals(config, digits, "active_units")
    assert units >= 6


@pytest.mark.switch("vae.attention")
def test_with_attention_every_place_sees_all_others(block):
    """Zhang et al. 2019: convolutions alone see what is near."""
    config = block("vae", network="conv", hidden=(8, 8), latent=2, attention=True)
    model = build(config, grid(1, 16, 16))
    for found in attentions(model):
        nn.init.ones_(found.gamma)
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[..., 15, 15] += 1
    # All but the linear layer at the end: a grid of 4×4.
    grids = model.encoder[:-2]
    assert not torch.equal(grids(x)[..., 0, 0], grids(changed)[..., 0, 0])


@pytest.mark.switch("vae.attention")
def test_attention_is_in_both_networks_and_is_learnt(block):
    config = block("vae", network="residual", hidden=(8, 8), latent=2, attention=True)
    model = build(config, grid(1, 8, 8))
    model.loss("vae", pixels(8, 1, 8, 8), noise(), fresh=True).value.backward()
    for part in (model.encoder, model.decoder):
        assert sum(isinstance(module, SelfAttention) for module in part.modules()) == 1
    assert all(found.gamma.grad != 0 for found in attentions(model))
