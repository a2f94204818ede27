"""Objectives and latents of the VAE: known answers where p(x) is known, and a small experiment."""

import pytest
import torch
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from genmint.data.views.spec import DataSpec
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build
from genmint.models.vae.latents import Mixture
from genmint.training.loop import fit

SEEDS = range(3)


def grid(*shape):
    return DataSpec(dataset="digits", kind="image", view="grid", shape=shape)


def pixels(n, *shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


class GaussianPixels:
    """Pixels in 0…1 with a variance of 0.3 around what the decoder says: a density."""

    observation = "8bit"
    variance = 0.3

    def observe(self, pixels, noise):
        return pixels.float() / 255

    def outputs(self, channels):
        return channels

    def encoded(self, x):
        return x

    def log_prob(self, parameters, x):
        return Normal(parameters, self.variance**0.5).log_prob(x).flatten(1).sum(1)


class Affine(nn.Module):
    """Mean slope·x + shift, and a log-variance; N×… to N×2L or, without a variance, N×1×2×4."""

    def __init__(self, slope, shift, variance=None):
        super().__init__()
        self.slope, self.shift, self.variance = slope, shift, variance

    def forward(self, x):
        mean = x.flatten(1) @ self.slope.T + self.shift
        if self.variance is None:
            return mean.unflatten(1, (1, 2, 4))
        return torch.cat([mean, self.variance.log().expand_as(mean)], dim=1)


def linear_gaussian(config):
    """A model whose log p(x) is known, and whose q(z1|x) is beside the posterior and too wide."""
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(8, 3, generator=generator) * 0.4, torch.rand(8, generator=generator)
    model = build(config, grid(1, 2, 4))
    model.anchor = nn.Parameter(torch.zeros(1))  # what tells the device
    model.likelihood = GaussianPixels()
    model.decoder = Affine(weight, bias)
    spread = (torch.eye(3) + weight.T @ weight / 0.3).inverse()
    slope = spread @ weight.T / 0.3
    model.encoder = Affine(slope, 0.4 - slope @ bias, 1.5 * spread.diagonal())
    exact = MultivariateNormal(bias, weight @ weight.T + 0.3 * torch.eye(8))
    return model, exact


@pytest.mark.switch("vae.importance_samples")
def test_the_importance_weighted_objective_nears_the_likelihood_as_k_grows(block):
    """Burda et al. 2016, theorem 1, where log p(x) is known."""
    data = pixels(400, 1, 2, 4)
    bounds = []
    for k in (2, 8, 64, 1000):
        model, distribution = linear_gaussian(block("vae", latent=3, importance_samples=k))
        bounds.append(-float(model.loss("vae", data, noise(), fresh=True).value))
    exact = float(distribution.log_prob(data.flatten(1) / 255).mean())
    gaps = [exact - bound for bound in bounds]
    assert gaps[0] > 1.5 * gaps[1] > 4 * gaps[2] > 0
    assert abs(gaps[3]) < 0.01


@pytest.mark.switch("vae.importance_samples")
def test_the_gradient_of_the_objective_is_that_of_the_weighted_items(block):
    """Burda et al. 2016, equation 10: Σ w̃_i ∇ log w_i, here of a bias of the decoder."""
    model, _ = linear_gaussian(block("vae", latent=3, importance_samples=7))
    shift = model.decoder.shift.requires_grad_()
    data = pixels(5, 1, 2, 4)
    model.loss("vae", data, noise(), fresh=True).value.backward()
    x, epsilon = data.flatten(1) / 255, noise().normal(5, 7, 3)
    with torch.no_grad():
        mean, log_variance = model.posterior(x)
        z = mean.unsqueeze(1) + (0.5 * log_variance).exp().unsqueeze(1) * epsilon
        error = x.unsqueeze(1) - z @ model.decoder.slope.T - shift
        log_weights = -(error**2).sum(2) / 0.6 + 0.5 * (epsilon**2 - z**2).sum(2)
        share = log_weights.softmax(1).unsqueeze(2)
        expected = -(share * error / 0.3).sum(1).mean(0)
    torch.testing.assert_close(shift.grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.switch("vae.importance_samples")
def test_weights_are_kept_by_the_bound_that_is_trained(block):
    model, _ = linear_gaussian(block("vae", latent=3, importance_samples=50))
    data = pixels(300, 1, 2, 4)
    measured = model.validation(data, seed=0, batch_size=8)
    assert -measured["loss"] > measured["reconstruction"] - measured["kl"] + 0.2


TWO = {"latent": 1, "second_level": {"latent": 1, "hidden": [4]}}


def two_levels(config):
    """x = z1 + N(0, 0.3) in eight equal pixels, z1 = 0.8·z2 + 0.3 + N(0, 0.6); q the posterior."""
    model = build(config, grid(1, 2, 4))
    assert model.latents.second is not None
    one = torch.ones(1, 1)
    model.anchor = nn.Parameter(torch.zeros(1))
    model.likelihood = GaussianPixels()
    model.decoder = Affine(torch.ones(8, 1), torch.zeros(8))
    # A product of normal densities: precisions add up.
    spread = 1 / (1 / 1.24 + 8 / 0.3)
    model.encoder = Affine(
        torch.full((1, 8), spread / 0.3), torch.tensor(spread * 0.3 / 1.24), spread * one[0]
    )
    above = 1 / (1 + 0.64 / 0.6)
    slope = above * 0.8 / 0.6
    model.latents.second.encoder = Affine(slope * one, -0.3 * slope * one[0], above * one[0])
    model.latents.second.decoder = Affine(0.8 * one, 0.3 * one[0], 0.6 * one[0])
    covariance = torch.full((8, 8), 1.24) + 0.3 * torch.eye(8)
    return model, MultivariateNormal(torch.full((8,), 0.3), covariance)


@pytest.mark.switch("vae.second_level")
def test_the_bound_of_two_levels_is_exact_where_the_posterior_is(block):
    """log p(x|z1) + log p(z1|z2) + log p(z2) − log q(z1|x) − log q(z2|z1), one value for all z."""
    model, exact = two_levels(block("vae", **TWO))
    data = pixels(200, 1, 2, 4)
    expected = exact.log_prob(data.flatten(1) / 255).double()
    weighted = model.importance_weighted(data, k=3, seed=1)
    torch.testing.assert_close(weighted, expected, rtol=1e-4, atol=1e-3)
    # Its KL is partly exact and partly by a draw, so that a single item's bound has noise.
    bound = model.elbo(data.repeat(20, 1, 1, 1), seed=1)["elbo"]
    assert float(bound.mean()) == pytest.approx(float(expected.mean()), abs=0.05)
    model.latents.second.encoder.shift += 0.7
    assert model.elbo(data, seed=1)["elbo"].mean() < expected.mean() - 0.2
    many = model.importance_weighted(data, k=2000, seed=1)
    assert float((many - expected).mean().abs()) < 0.05


@pytest.mark.switch("vae.second_level")
def test_samples_of_two_levels_come_from_the_joint_distribution(block):
    model, _ = two_levels(block("vae", **TWO))
    z1 = model.latents.sample(model.latents.draws(20_000, seed=0), model.latents.prior(None))
    assert float(z1.mean()) == pytest.approx(0.3, abs=0.03)
    assert float(z1.var()) == pytest.approx(1.24, abs=0.05)


@pytest.mark.switch("vae.second_level")
@pytest.mark.parametrize("prior", ["standard", "vamp"])
def test_both_levels_are_looked_at(block, prior):
    config = block("vae", latent=3, second_level={"latent": 2}, prior=prior)
    model = build(config, grid(1, 4, 4))
    data = pixels(150, 1, 4, 4)
    assert model.encode(data).shape == (150, 5)
    found = model.health(data, seed=3)
    assert list(found) == ["active_units", *(f"kl.{i:03d}" for i in range(5))]
    if prior == "standard":
        kls = sum(value for name, value in found.items() if name.startswith("kl."))
        assert kls == pytest.approx(float(model.elbo(data, seed=3)["kl"].mean()), rel=1e-6)


@pytest.mark.switch("vae.prior")
@pytest.mark.parametrize("second_level", [None, {"latent": 2, "hidden": [8]}])
def test_the_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs(block, second_level):
    """Tomczak and Welling 2018, equation 9."""
    config = block("vae", latent=3, prior="vamp", second_level=second_level)
    model = build(config, grid(1, 4, 4))
    assert model.latents.pseudo_inputs is not None
    pseudo = model.latents.pseudo_inputs
    if second_level is None:
        mean, log_variance = model.posterior(pseudo.sigmoid())
    else:
        mean, log_variance = model.latents.second.posterior(pseudo)
    components = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    expected = MixtureSameFamily(Categorical(torch.ones(500)), components)
    prior, generator = model.latents.prior(model.posterior), torch.Generator().manual_seed(0)
    q = tuple(torch.randn(2, 9, mean.shape[1], generator=generator))
    z = torch.randn(9, mean.shape[1], generator=generator)
    log_q = Normal(q[0], (0.5 * q[1]).exp()).log_prob(z).sum(1)
    torch.testing.assert_close(prior.log_ratio(q, z, z), expected.log_prob(z) - log_q)
    torch.testing.assert_close(prior.kl(q, z).sum(1), log_q - expected.log_prob(z))


@pytest.mark.switch("vae.prior")
def test_draws_of_the_vamp_prior_come_from_all_its_components_alike(block):
    model = build(block("vae", latent=1, prior="vamp"), grid(1, 1, 1))
    assert model.latents.components == 500
    model.latents.pseudo_inputs = nn.Parameter(torch.zeros(2, 1, 1, 1))
    mean, log_variance = torch.tensor([[-3.0], [5.0]]), torch.log(torch.tensor([[0.01], [4.0]]))
    prior = Mixture((mean, log_variance))
    z = model.latents.sample(model.latents.draws(20_000, seed=0), prior).flatten()
    low, high = z[z < -2], z[z > -2]
    assert len(low) / len(z) == pytest.approx(0.5, abs=0.02)
    assert (float(low.mean()), float(high.mean())) == pytest.approx((-3, 5), abs=0.1)
    assert (float(low.std()), float(high.std())) == pytest.approx((0.1, 2), abs=0.1)


@pytest.mark.switch("vae.prior")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_vamp_prior_fits_latents_that_are_apart(block, seed):
    """Eight pictures, log 8 = 2.08 nats; N(0, I) pays a nat more for what lies between them."""
    generator = torch.Generator().manual_seed(seed)
    pictures = 255 * torch.randint(0, 2, (8, 1, 4, 4), generator=generator, dtype=torch.uint8)
    config = block(
        "vae", prior="vamp", latent=2, hidden=(32, 32), steps=1000, seed=seed,
        optimiser={"lr": 5e-3, "schedule": "cosine"},
    )  # fmt: skip
    model = build(config, grid(1, 4, 4))
    fit("eight", model, config, pictures.repeat(40, 1, 1, 1), pictures)
    bound = model.elbo(pictures.repeat(50, 1, 1, 1), seed=0)["elbo"].mean()
    assert float(bound) > -2.7


@pytest.mark.switch("vae.prior")
def test_pseudo_inputs_are_learnt(block):
    model = build(block("vae", prior="vamp"), grid(1, 4, 4))
    model.loss("vae", pixels(8, 1, 4, 4), noise(), fresh=True).value.backward()
    assert model.latents.pseudo_inputs is not None
    assert (model.latents.pseudo_inputs.grad.flatten(1).norm(dim=1) > 0).all()
