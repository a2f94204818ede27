"""What a VAE tells of itself: active units, health, reconstructions."""

import math

import pytest
import torch
from pydantic import ValidationError
from tests.models.vae.small import config, noise, pixels
from torch import nn

from genmint.models.shared.store import build
from genmint.models.vae import model as vae


def test_active_units_counts_means_that_move(grid):
    model = build(config(latent=3), grid(1, 4, 4))

    class Encoder(nn.Module):
        def forward(self, x):
            means = x.flatten(1)[:, :3] * torch.tensor([1.0, 0.02, 0.0])
            return torch.cat([means, torch.zeros_like(means)], dim=1)

    model.encoder = Encoder()
    assert model.active_units(pixels(500, 1, 4, 4)) == 1


def test_evaluation_leaves_the_mode_and_the_global_generator_alone(grid):
    model = build(config(), grid(1, 4, 4)).train()
    before = torch.get_rng_state()
    model.sample(3, seed=0)
    model.elbo(pixels(3, 1, 4, 4), seed=0)
    model.health(pixels(3, 1, 4, 4), seed=0)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised-logistic"])
def test_what_training_descends_is_what_validation_measures(grid, likelihood):
    """On black and white pixels nothing is drawn but z, whose noise averages out."""
    model = build(config(likelihood=likelihood), grid(1, 4, 4))
    data = (pixels(4000, 1, 4, 4) > 127).to(torch.uint8) * 255
    loss = model.loss("vae", data, noise(), fresh=True)
    measured = model.validation(data, seed=0, batch_size=8)
    assert float(loss.scalars["kl"]) == pytest.approx(measured["kl"], rel=1e-5)
    assert float(loss.value.detach()) == pytest.approx(measured["loss"], rel=2e-3)


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised-logistic"])
def test_the_kl_of_the_latents_adds_up_to_that_of_the_bound(grid, likelihood):
    model = build(config(likelihood=likelihood), grid(1, 4, 4))
    data = pixels(150, 1, 4, 4)
    signals = model.health(data, seed=3)
    assert list(signals) == ["active_units", "kl.000", "kl.001", "kl.002"]
    total = sum(value for name, value in signals.items() if name.startswith("kl."))
    assert total == pytest.approx(float(model.elbo(data, seed=3)["kl"].mean()), rel=1e-6)


def test_health_tells_which_latents_are_used(grid):
    model = build(config(latent=3, likelihood="discretised-logistic"), grid(1, 4, 4))

    class Encoder(nn.Module):
        def forward(self, x):
            means = x.flatten(1)[:, :3] * torch.tensor([1.0, 0.02, 0.0])
            return torch.cat([means, torch.zeros_like(means)], dim=1)

    model.encoder = Encoder()
    data = pixels(500, 1, 4, 4)
    signals = model.health(data, seed=0)
    assert signals["active_units"] == 1
    # KL(N(m, 1) ‖ N(0, 1)) = m²/2, and the encoder sees the pixels at −1…1.
    first = (data[:, 0, 0, 0].double() / 127.5 - 1).square().mean() / 2
    assert signals["kl.000"] == pytest.approx(float(first), rel=1e-5)
    assert signals["kl.002"] == 0


@pytest.mark.parametrize("items", [1, 2])
def test_health_of_hardly_any_items(grid, items):
    signals = build(config(), grid(1, 4, 4)).health(pixels(items, 1, 4, 4), seed=0)
    assert all(math.isfinite(value) for value in signals.values())


def test_health_looks_at_a_bounded_number_of_items(grid, monkeypatch):
    monkeypatch.setattr(vae, "MAX_ITEMS", 70)
    model = build(config(), grid(1, 4, 4))
    data = pixels(200, 1, 4, 4)
    assert model.health(data, seed=0) == model.health(data[:70], seed=0)


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised-logistic"])
def test_a_reconstruction_is_the_decoded_posterior_mean(grid, likelihood):
    model = build(config(likelihood=likelihood), grid(1, 6, 6))
    data = pixels(70, 1, 6, 6)
    with torch.no_grad():
        mean = model.likelihood.mean(model.decoder(model.encode(data)))
    found = model.reconstruct(data)
    assert (found.dtype, found.shape) == (torch.uint8, data.shape)
    torch.testing.assert_close(found.float() / 255, mean, atol=0.51 / 255, rtol=0)


REFUSED = [
    ({"network": "mlp", "attention": True}, "attention .* needs network: conv or residual"),
    ({"norm": "batch", "batch_size": 1}, "take norm: group or layer"),
    ({"norm": "batch", "prior": "vamp"}, "take norm: group or layer"),
    ({"free_bits": 0.1, "beta": 0.0}, "free_bits needs beta above 0"),
    ({"kl_warmup": {"steps": 1}, "beta": 0.0}, "kl_warmup needs beta above 0"),
    ({"kl_warmup": {"steps": 2}}, "kl_warmup.steps must be at most steps, 1"),
    ({"kl_warmup": {"steps": 2, "cycles": 3}, "steps": 9}, "cycles must be at most steps, 2"),
    ({"free_bits": 0.1, "importance_samples": 2}, "leave one of them out"),
    ({"free_bits": 0.1, "prior": "vamp"}, "leave one of them out"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_does_not_go_together_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        config(**changes)
