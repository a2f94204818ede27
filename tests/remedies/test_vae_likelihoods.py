"""Likelihoods of the VAE: probabilities of whole pixels, and what they learn of them."""

import pytest
import torch
from torch.distributions import Normal

from genmint.data.views.spec import DataSpec
from genmint.models.shared.store import build
from genmint.models.vae.likelihoods import DiscretisedLogistic, likelihood_of
from genmint.training.loop import fit

SEEDS = range(3)


def grid(*shape):
    return DataSpec(dataset="digits", kind="image", view="grid", shape=shape)


@pytest.mark.switch("vae.likelihood")
@pytest.mark.parametrize("mean", [-1.4, -1.0, -0.3, 0.999, 3.0])
@pytest.mark.parametrize("log_scale", [-9.0, -5.0, -2.0, 0.0, 2.0, 9.0])
def test_the_gaussian_is_a_probability_of_the_256_levels(block, mean, log_scale):
    likelihood = likelihood_of(block("vae", likelihood="gaussian"), 1)
    assert likelihood.observation == "8bit"
    x = torch.arange(256, dtype=torch.float64).view(256, 1, 1, 1) / 255
    parameters = torch.tensor([mean, log_scale], dtype=torch.float64).view(1, 2, 1, 1)
    found = likelihood.log_prob(parameters.expand(256, 2, 1, 1), x).exp()
    assert float(found.sum()) == pytest.approx(1, abs=1e-9)
    scale = torch.tensor(log_scale, dtype=torch.float64).clamp(-7, 4).exp()
    distribution = Normal(torch.tensor(mean, dtype=torch.float64), scale)
    edges = (2 * torch.arange(256, dtype=torch.float64) + 1) / 255 - 1
    torch.testing.assert_close(found[1:-1], distribution.cdf(edges[:-1]).diff())


@pytest.mark.switch("vae.likelihood")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gaussian_learns_how_far_pixels_vary(block, seed):
    """Noise of 5 grey levels on the left, of 30 on the right."""
    spread = torch.tensor([5.0, 5.0, 30.0, 30.0])
    deviation = torch.randn(1000, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    data = (128 + spread * deviation).round().clamp(0, 255).to(torch.uint8)
    config = block(
        "vae", likelihood="gaussian", latent=1, hidden=(16,), steps=400, seed=seed,
        optimiser={"lr": 1e-2, "schedule": "cosine"},
    )  # fmt: skip
    model = build(config, grid(1, 4, 4))
    fit("noise", model, config, data[:900], data[900:])
    parameters = model.decoder(torch.zeros(1, 1)).detach()
    assert parameters.shape == (1, 2, 4, 4)
    found = parameters[0, 1].exp().mean(0) * 127.5
    assert found.tolist() == pytest.approx(spread.tolist(), rel=0.1)


@pytest.mark.switch("vae.likelihood")
def test_the_gaussian_has_finite_gradients_far_from_its_mean(block):
    likelihood = likelihood_of(block("vae", likelihood="gaussian"), 1)
    assert likelihood.observation == "8bit"
    x = torch.tensor([0.0, 0.4, 1.0, 0.5]).view(4, 1, 1, 1)
    for mean, log_scale in ((5.0, -9.0), (-5.0, 2.0), (0.0, 9.0), (2 * 102 / 255 - 1, -7.0)):
        parameters = torch.tensor([mean, log_scale]).view(1, 2, 1, 1).repeat(4, 1, 1, 1)
        likelihood.log_prob(parameters.requires_grad_(), x).sum().backward()
        assert torch.isfinite(parameters.grad).all()


@pytest.mark.switch("vae.likelihood")
@pytest.mark.parametrize("channels", [1, 2])
def test_the_mixture_is_a_probability_of_whole_pixels(block, channels):
    """Salimans et al. 2017: over all values of all channels of a pixel it sums to one."""
    config = block("vae", likelihood="discretised-logistic-mixture", mixtures=3)
    likelihood = likelihood_of(config, channels)
    generator = torch.Generator().manual_seed(0)
    outputs = likelihood.outputs(channels)
    assert outputs == 3 * {1: 3, 2: 6}[channels]
    parameters = torch.randn(1, outputs, 1, 1, generator=generator, dtype=torch.float64)
    levels = torch.arange(256, dtype=torch.float64) / 255
    x = torch.cartesian_prod(*[levels] * channels).view(-1, channels, 1, 1)
    found = likelihood.log_prob(parameters.expand(len(x), -1, -1, -1), x)
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-9)


@pytest.mark.switch("vae.likelihood")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_mixture_learns_pixels_with_two_values(block, seed):
    """Each is 60 or 190 by chance: log 2 nats, where one logistic has to be as wide as both."""
    generator = torch.Generator().manual_seed(seed)
    data = 60 + 130 * torch.randint(0, 2, (1000, 1, 4, 4), generator=generator, dtype=torch.uint8)
    nats = {}
    for likelihood in ("discretised-logistic", "discretised-logistic-mixture"):
        config = block(
            "vae", likelihood=likelihood, latent=1, hidden=(16,), steps=300, seed=seed,
            optimiser={"lr": 1e-2},
        )  # fmt: skip
        model = build(config, grid(1, 4, 4))
        assert model.observation == "8bit"
        outcome = fit("two", model, config, data[:900], data[900:])
        nats[likelihood] = outcome.best_loss / 16
    assert nats["discretised-logistic"] - nats["discretised-logistic-mixture"] > 1.5


@pytest.mark.switch("vae.likelihood")
def test_a_channel_of_the_mixture_moves_with_those_before_it(block):
    """One component, a narrow one: blue is −0.5·red + 0.5·green + 0.1, in −1…1."""
    config = block("vae", likelihood="discretised-logistic-mixture", mixtures=1)
    likelihood = likelihood_of(config, 3)
    assert likelihood.outputs(3) == 10
    parameters = torch.zeros(1, 10, 1, 1)
    parameters[0, 1:4, 0, 0] = torch.tensor([0.2, -0.4, 0.1])
    parameters[0, 4:7] = -6
    parameters[0, 7:, 0, 0] = torch.tensor([0.0, -0.5, 0.5]).atanh()
    torch.testing.assert_close(
        likelihood.mean(parameters).flatten(), torch.tensor([0.2, -0.4, -0.2]) / 2 + 0.5
    )
    rows = [likelihood.mean(parameters).flatten()]
    # With more red, the blue that was likely is not.
    rows.append(rows[0] + torch.tensor([40, 0, 0]) / 255)
    rows.append(rows[0] + torch.tensor([40, 0, -20]) / 255)
    x = (torch.stack(rows) * 255).round().view(3, 3, 1, 1) / 255
    logistic = DiscretisedLogistic()
    for row in x:
        red, green, _ = (2 * row - 1).flatten().tolist()
        centres = torch.tensor([0.2, -0.4, 0.1 - 0.5 * red + 0.5 * green])
        plain = torch.cat([centres, torch.full((3,), -6.0)]).view(1, 6, 1, 1)
        found = likelihood.log_prob(parameters, row.unsqueeze(0))
        torch.testing.assert_close(found, logistic.log_prob(plain, row.unsqueeze(0)))
