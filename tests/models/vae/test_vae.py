import math

import pytest
import torch
from tests.models.vae.small import config, noise, pixels
from torch import nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from genmint.models.shared.store import build
from genmint.models.vae import bounds
from genmint.models.vae.latents import kl_to_prior
from genmint.models.vae.likelihoods import Bernoulli, DiscretisedLogistic


class LinearGaussian:
    """x = z + noise of variance 0.5 in one dimension: everything is known in closed form."""

    observation = "8bit"
    variance = 0.5

    def outputs(self, channels):
        return channels

    def encoded(self, x):
        return x

    def log_prob(self, parameters, x):
        return Normal(parameters, self.variance**0.5).log_prob(x).flatten(1).sum(1)

    def mean(self, parameters):
        return parameters


def test_kl_equals_torch_distributions():
    mean, log_variance = torch.randn(7, 5), torch.randn(7, 5)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros(5), torch.ones(5))).sum(1)
    torch.testing.assert_close(kl_to_prior(mean, log_variance), expected)


def test_bernoulli_equals_torch_distributions():
    logits, x = torch.randn(4, 1, 3, 3), torch.randint(0, 2, (4, 1, 3, 3)).float()
    expected = TorchBernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(Bernoulli().log_prob(logits, x), expected)


def test_training_pixels_are_binarised_anew_with_the_right_probability():
    grey = torch.full((4000, 1, 2, 2), 64, dtype=torch.uint8)
    grey[:, :, 0, 0], grey[:, :, 1, 1] = 0, 255
    source = noise()
    first, second = Bernoulli().observe(grey, source), Bernoulli().observe(grey, source)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first, second)
    assert first[:, 0, 0, 0].max() == 0
    assert first[:, 0, 1, 1].min() == 1
    assert abs(first[:, 0, 0, 1].mean() - 64 / 255) < 0.03


@pytest.mark.parametrize("mean", [-1.4, -1.0, -0.3, 0.0, 0.999, 3.0])
@pytest.mark.parametrize("log_scale", [-9.0, -5.0, -2.0, 0.0, 2.0])
def test_discretised_logistic_sums_to_one(mean, log_scale):
    x = torch.arange(256, dtype=torch.float64).view(256, 1, 1, 1) / 255
    parameters = torch.tensor([mean, log_scale], dtype=torch.float64).view(1, 2, 1, 1)
    total = DiscretisedLogistic().log_prob(parameters.expand(256, 2, 1, 1), x).exp().sum()
    assert abs(float(total) - 1) < 1e-9


def test_discretised_logistic_is_a_difference_of_the_logistic_cdf():
    parameters = torch.tensor([0.2, -1.5], dtype=torch.float64).view(1, 2, 1, 1)
    x = torch.tensor(100 / 255, dtype=torch.float64).view(1, 1, 1, 1)
    centre = 2 * 100 / 255 - 1 - 0.2
    scale = math.exp(-1.5)
    upper, lower = (1 / (1 + math.exp(-(centre + side / 255) / scale)) for side in (1, -1))
    found = DiscretisedLogistic().log_prob(parameters, x)
    assert float(found) == pytest.approx(math.log(upper - lower), abs=1e-12)


def test_discretised_logistic_has_finite_gradients_far_from_its_mean():
    parameters = torch.tensor([5.0, -7.0]).view(1, 2, 1, 1).requires_grad_()
    DiscretisedLogistic().log_prob(parameters, torch.full((1, 1, 1, 1), 0.4)).sum().backward()
    assert torch.isfinite(parameters.grad).all()


def test_bounds_are_ordered_and_reach_the_exact_likelihood(grid):
    """ELBO ≤ importance-weighted bound ≤ log p(x); equal where q is the true posterior."""
    model = build(config(latent=1, likelihood="bernoulli"), grid(1, 1, 1))
    model.likelihood = LinearGaussian()
    model.decoder = nn.Unflatten(1, (1, 1, 1))
    model.anchor = nn.Parameter(torch.zeros(1))  # what tells the device: the rest has no weights
    data = pixels(200, 1, 1, 1)
    x = data.flatten(1).float() / 255
    exact = MultivariateNormal(torch.zeros(1), torch.eye(1) * 1.5).log_prob(x).double()

    def posterior(mean_of, log_variance):
        class Fixed(nn.Module):
            def forward(self, seen):
                mean = mean_of(seen.flatten(1))
                return torch.cat([mean, torch.full_like(mean, log_variance)], dim=1)

        return Fixed()

    # p(z|x) = N(x/1.5, 1/3).
    model.encoder = posterior(lambda seen: seen / 1.5, math.log(1 / 3))
    weighted = model.importance_weighted(data, k=5, seed=3)
    torch.testing.assert_close(weighted, exact, atol=1e-5, rtol=0)

    model.encoder = posterior(lambda seen: seen / 1.5 + 0.4, math.log(0.6))
    elbo = model.elbo(data, seed=3)["elbo"].mean()
    few = model.importance_weighted(data, k=8, seed=3).mean()
    many = model.importance_weighted(data, k=500, seed=3).mean()
    assert elbo < few < many + 1e-3
    assert abs(many - exact.mean()) < 0.01
    assert exact.mean() - elbo > 0.1


class LinearDecoder(nn.Module):
    """x = W·z + b, with variance 0.3 in every pixel."""

    def __init__(self, latent, pixels):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(pixels, latent, generator=generator) * 0.4)
        self.bias = nn.Parameter(torch.rand(pixels, generator=generator))

    def forward(self, z):
        return (z @ self.weight.T + self.bias).unflatten(1, (1, 2, 4))


class BroadEncoder(nn.Module):
    """Not the posterior: beside its mean, too wide, without its correlations."""

    def __init__(self, decoder, variance):
        super().__init__()
        self.decoder, self.variance = decoder, variance

    def forward(self, x):
        weight = self.decoder.weight
        precision = torch.eye(weight.shape[1]) + weight.T @ weight / self.variance
        mean = (
            x.flatten(1) - self.decoder.bias
        ) @ weight / self.variance @ precision.inverse() + 0.4
        spread = 1.5 * precision.inverse().diagonal()
        return torch.cat([mean, spread.log().expand_as(mean)], dim=1)


def linear_gaussian(grid, likelihood):
    model = build(config(latent=3), grid(1, 2, 4))
    model.likelihood = likelihood
    model.decoder = LinearDecoder(3, 8)
    model.encoder = BroadEncoder(model.decoder, likelihood.variance)
    return model


def test_the_bound_of_a_linear_gaussian_vae_reaches_its_closed_form(grid):
    """log p(x) = log N(x; b, W·Wᵀ + σ²I), with a q that is not the posterior, k = 5,000."""
    likelihood = LinearGaussian()
    model = linear_gaussian(grid, likelihood)
    data = pixels(256, 1, 2, 4)
    weight, bias = model.decoder.weight.detach(), model.decoder.bias.detach()
    covariance = weight @ weight.T + likelihood.variance * torch.eye(8)
    exact = MultivariateNormal(bias, covariance).log_prob(data.flatten(1) / 255).double()
    gaps = {k: exact - model.importance_weighted(data, k=k, seed=3) for k in (1, 10, 5000)}
    assert gaps[1].mean() > 2 * gaps[10].mean() > 20 * gaps[5000].mean().abs()
    # k = 1 is the ELBO: short of the truth by KL(q ‖ p).
    assert gaps[1].mean() > 0.3
    assert float(gaps[5000].mean().abs() / exact.mean().abs()) < 1e-3
    assert float((gaps[5000].abs() / exact.abs()).max()) < 0.01


def test_how_many_draws_go_together_changes_the_last_digits_only(grid, monkeypatch):
    model = build(config(), grid(1, 8, 8))
    data = pixels(70, 1, 8, 8)
    expected = model.importance_weighted(data, k=37, seed=4)
    for together, values in ((1, 10**9), (5, 10**9), (16, 1)):
        monkeypatch.setitem(bounds.TOGETHER, "cpu", (together, values))
        found = model.importance_weighted(data, k=37, seed=4)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_the_decoder_never_sees_more_than_its_share_of_draws(grid, monkeypatch):
    """k does not enter the memory of a pass."""
    model = build(config(network="conv"), grid(1, 8, 8))
    monkeypatch.setitem(bounds.TOGETHER, "cpu", (16, 3 * 64 * 64 * 12))
    seen = []
    model.decoder.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    model.importance_weighted(pixels(64, 1, 8, 8), k=100, seed=0)
    assert set(seen) == {3 * 64, 64}
    assert sum(seen) == 100 * 64


def test_elbo_is_reconstruction_less_kl_and_k1_is_the_elbo_on_average(grid):
    model = build(config(), grid(1, 4, 4))
    data = pixels(300, 1, 4, 4)
    bound = model.elbo(data, seed=1)
    torch.testing.assert_close(bound["elbo"], bound["reconstruction"] - bound["kl"])
    assert bound["elbo"].dtype == torch.float64
    assert abs(model.importance_weighted(data, k=1, seed=1).mean() - bound["elbo"].mean()) < 0.2


def test_loss_is_the_bound_with_beta(grid):
    data = pixels(16, 1, 4, 4)
    for beta in (0.0, 1.0, 4.0):
        model = build(config(beta=beta), grid(1, 4, 4))
        loss = model.loss("vae", data, noise(), fresh=True)
        expected = beta * loss.scalars["kl"] - loss.scalars["reconstruction"]
        torch.testing.assert_close(loss.value.detach(), expected)


@pytest.mark.parametrize("network", ["mlp", "conv", "residual"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised-logistic"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (1, 32, 32), (2, 5, 1)])
def test_any_shape(grid, network, likelihood, shape):
    model = build(config(network=network, likelihood=likelihood), grid(*shape))
    data = pixels(5, *shape)
    model.loss("vae", data, noise(), fresh=True).value.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    samples = model.sample(3, seed=0)
    assert samples.shape == (3, *shape)
    assert samples.dtype == torch.uint8
    assert model.encode(data).shape == (5, 3)


# Every remedy with each of the others that it goes with.
REMEDIES = [
    {"prior": "vamp", "pseudo_inputs": 7},
    {"second_level": {"latent": 2, "hidden": (5,)}, "free_bits": 0.1, "norm": "batch"},
    {"prior": "vamp", "second_level": {"latent": 2}, "importance_samples": 3, "norm": "layer"},
    {"network": "residual", "norm": "group", "attention": True, "importance_samples": 2},
    {"likelihood": "discretised-logistic-mixture", "mixtures": 2, "kl_warmup": {"steps": 1}},
    {"likelihood": "gaussian", "network": "conv", "prior": "vamp", "attention": True},
]


@pytest.mark.parametrize("changes", REMEDIES, ids=lambda changes: ",".join(changes))
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14)])
def test_remedies_take_any_shape(grid, changes, shape):
    model = build(config(**changes), grid(*shape))
    model.begin(1)
    data = pixels(5, *shape)
    model.loss("vae", data, noise(), fresh=True).value.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    samples = model.sample(3, seed=0)
    assert (samples.shape, samples.dtype) == ((3, *shape), torch.uint8)
    assert len(model.encode(data)) == 5
    assert all(math.isfinite(v) for v in model.health(data, seed=0).values())
    scores = model.validation(data, seed=0, batch_size=2)
    assert all(math.isfinite(v) for v in scores.values())


@pytest.mark.parametrize("changes", REMEDIES, ids=lambda changes: ",".join(changes))
def test_what_training_descends_with_remedies_is_what_validation_measures(grid, changes):
    model = build(config(**{**changes, "free_bits": 0.0, "norm": "none"}), grid(1, 4, 4))
    model.begin(1)
    data = (pixels(4000, 1, 4, 4) > 127).to(torch.uint8) * 255
    loss = model.loss("vae", data, noise(), fresh=True)
    measured = model.validation(data, seed=0, batch_size=8)
    assert float(loss.value.detach()) == pytest.approx(measured["loss"], rel=1e-2)


@pytest.mark.parametrize(
    "changes",
    [*({"network": network} for network in ("mlp", "conv", "residual")), *REMEDIES],
    ids=lambda changes: ",".join(map(str, changes.values())),
)
def test_nothing_depends_on_the_batch_size(grid, changes):
    model = build(config(**changes), grid(1, 8, 8))
    data = pixels(150, 1, 8, 8)
    for call in (
        lambda b: model.sample(150, seed=4, batch_size=b),
        lambda b: model.elbo(data, seed=4, batch_size=b)["elbo"],
        lambda b: model.importance_weighted(data, k=3, seed=4, batch_size=b),
        lambda b: model.encode(data, batch_size=b),
    ):
        assert torch.equal(call(1), call(7))
        assert torch.equal(call(7), call(1000))
    assert torch.equal(model.sample(150, seed=4)[:70], model.sample(70, seed=4))


def test_items_do_not_depend_on_their_neighbours(grid):
    model = build(config(), grid(1, 8, 8))
    data = pixels(130, 1, 8, 8)
    alone = model.elbo(data[:64], seed=4)["elbo"]
    assert torch.equal(alone, model.elbo(data, seed=4)["elbo"][:64])
