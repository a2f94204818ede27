"""Remedies of the VAE, on scikit-learn's digits where something is trained."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from genmint.data.spec import DataSpec
from genmint.models.networks import SelfAttention, attentions
from genmint.models.noise import Noise
from genmint.models.store import build
from genmint.models.vae.latents import Mixture, kl_weight
from genmint.models.vae.likelihoods import DiscretisedLogistic, likelihood_of
from genmint.training.loop import fit

SEEDS = range(3)
# Deep for so little data: the KL pushes the latents away before the decoder has a use for them.
DEEP = {"hidden": (128, 128, 128), "latent": 12, "steps": 400, "optimiser": {"lr": 2e-3}}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
