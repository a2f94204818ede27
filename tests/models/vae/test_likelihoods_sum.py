"""A likelihood is a likelihood: probabilities sum to 1, and no bound exceeds what it bounds."""

import itertools
import math

import pytest
import torch
from tests.models.vae import test_quantised as quantised
from tests.models.vae.small import pixels
from tests.models.vae.test_hierarchical import config, grid, of_shape, trained_like

from genmint.config import VAEConfig
from genmint.metrics.likelihood import bits_per_symbol
from genmint.models.shared.blocks import seeded
from genmint.models.shared.store import build
from genmint.models.vae.likelihoods import likelihood_of

FLAT = VAEConfig(family="vae", dataset="d", steps=1, hidden=(6,), latent=2)
NAMES = ["bernoulli", "discretised-logistic", "discretised-logistic-mixture", "gaussian"]
LEVELS = torch.arange(256, dtype=torch.float64) / 255


def likelihood(name, channels):
    entry = FLAT.model_copy(update={"likelihood": name, "mixtures": 3})
    return likelihood_of(entry, channels)


def parameters_of(of, channels, seed=0):
    """Of four pixels, 1×outputs×2×2, some of them with scales at the limits."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, of.outputs(channels), 2, 2)
    return 2 * torch.randn(shape, generator=generator, dtype=torch.float64)


def values(name, channels):
    """All values of a pixel, V×C."""
    levels = torch.tensor([0.0, 1.0], dtype=torch.float64) if name == "bernoulli" else LEVELS
    return torch.cartesian_prod(*[levels] * channels).view(-1, channels)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_all_values_of_four_pixels_have_probability_one(name, channels, seed):
    """The sum over all images is the product of the sums over the values of each pixel."""
    of = likelihood(name, channels)
    parameters = parameters_of(of, channels, seed)
    every = values(name, channels)
    x = every[torch.randint(len(every), (4,), generator=torch.Generator().manual_seed(1))]
    image = x.T.reshape(1, channels, 2, 2)
    alone, total = [], 1.0
    for i, j in itertools.product(range(2), range(2)):
        pixel = parameters[:, :, i, j][..., None, None]
        probabilities = of.log_prob(pixel.expand(len(every), -1, 1, 1), every[..., None, None])
        total *= float(probabilities.exp().sum())
        alone.append(of.log_prob(pixel, image[:, :, i, j][..., None, None]))
    assert total == pytest.approx(1, abs=1e-8)
    assert float(of.log_prob(parameters, image)) == pytest.approx(float(sum(alone)), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_coupled_channels_of_a_colour_pixel_have_probability_one(seed):
    """Σ_b p(r, g, b) is p(r, g), whose sum over 256² values is 1: channel by channel."""
    colour, two = (likelihood("discretised-logistic-mixture", n) for n in (3, 2))
    parameters = parameters_of(colour, 3, seed)[:, :, :1, :1]
    logits, rest = parameters[:, :3], parameters[:, 3:].unflatten(1, (3, 9))
    centres, scales, slopes = rest.split([3, 3, 3], dim=2)
    # Of red and green alone: the blue centre, its scale and both its coefficients left out.
    both = torch.cat([centres[:, :, :2], scales[:, :, :2], slopes[:, :, :1]], dim=2)
    parameters_2 = torch.cat([logits, both.flatten(1, 2)], dim=1)
    pairs = torch.cartesian_prod(LEVELS, LEVELS)
    of_pairs = two.log_prob(parameters_2.expand(len(pairs), -1, 1, 1), pairs[..., None, None])
    assert float(of_pairs.exp().sum()) == pytest.approx(1, abs=1e-8)
    chosen = torch.randint(len(pairs), (20,), generator=torch.Generator().manual_seed(seed))
    for pair in chosen.tolist():
        rgb = torch.cat([pairs[pair].expand(256, 2), LEVELS[:, None]], dim=1)
        found = colour.log_prob(parameters.expand(256, -1, 1, 1), rgb[..., None, None])
        assert float(found.logsumexp(0)) == pytest.approx(float(of_pairs[pair]), abs=1e-8)


def test_the_estimates_of_all_images_of_four_pixels_sum_to_one():
    """(1/k) Σ w estimates p(x) without bias: over the 16 binary images it sums to 1."""
    model = of_shape(1, 2, 2, likelihood="bernoulli", hierarchy={**SMALLEST, "channels": 1})
    images = torch.tensor(list(itertools.product([0, 255], repeat=4)), dtype=torch.uint8)
    data = images.view(16, 1, 2, 2)
    sums = [float(model.importance_weighted(data, k=500, seed=s).exp().sum()) for s in range(6)]
    spread = torch.tensor(sums).std() / math.sqrt(len(sums))
    assert spread < 0.01
    assert abs(sum(sums) / len(sums) - 1) < 4 * float(spread) + 1e-3


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("value", [-1e4, -90.0, 90.0, 1e4])
def test_no_parameter_of_a_pixel_makes_a_gradient_that_is_not_finite(name, value):
    """A component of a mixture that no pixel needs may drift to any scale."""
    of = likelihood(name, 3)
    for output in range(of.outputs(3)):
        parameters = torch.zeros(3, of.outputs(3), 1, 1)
        parameters[:, output] = value
        parameters.requires_grad_()
        x = (torch.tensor([0, 128, 255]) / 255).view(3, 1, 1, 1).expand(3, 3, 1, 1)
        (gradient,) = torch.autograd.grad(of.log_prob(parameters, x).sum(), parameters)
        assert gradient.isfinite().all()


SMALLEST = {"groups": (1, 1), "width": 6, "channels": 2}


@pytest.mark.parametrize("name", NAMES)
def test_no_bound_exceeds_the_importance_sampled_estimate_beyond_its_error(name):
    model = of_shape(2, 4, 4, likelihood=name)
    data = pixels(64, 2, 4, 4)
    elbo = torch.stack([model.elbo(data, seed=s)["elbo"] for s in range(40)])
    few, many = (model.importance_weighted(data, k=k, seed=7) for k in (5, 300))
    # The noise of one draw averages out over the items.
    error = float(elbo.std(0).mean() / math.sqrt(elbo.numel()))
    assert float(elbo.mean()) < float(few.mean()) + 4 * error
    assert float(elbo.mean()) < float(many.mean()) + 4 * error
    assert float(few.mean()) < float(many.mean()) + 1e-3 * abs(float(many.mean()))
    # One draw is the ELBO, on average.
    once = torch.stack([model.importance_weighted(data, k=1, seed=s) for s in range(40)])
    assert float(once.mean()) == pytest.approx(float(elbo.mean()), abs=8 * error)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("conditional", [False, True])
def test_the_bounds_of_a_vq_vae_for_all_images_sum_to_at_most_one(conditional, seed):
    """p(x|z(x)) p(z(x)) is one term of Σ_z p(x|z) p(z): the 512 images share a probability of 1."""
    spec = grid(1, 3, 3, labels=("a", "b")) if conditional else grid(1, 3, 3)
    entry = {"likelihood": "bernoulli", "conditional": conditional, "codes": 4, "hidden": (6,)}
    model = quantised.trained_like(build(quantised.config(**entry), spec), seed=seed)
    images = torch.tensor(list(itertools.product([0, 255], repeat=9)), dtype=torch.uint8)
    data = images.view(512, 1, 3, 3)
    train = data[torch.randint(300, (100,), generator=seeded(seed))]
    labels = torch.arange(512) % 2 if conditional else None
    model.finish(train, None if labels is None else labels[:100])
    for label in (0, 1) if conditional else (None,):
        of = None if label is None else torch.full((512,), label)
        total = float(model.elbo(data, seed=0, labels=of)["elbo"].exp().sum())
        assert 0 < total <= 1
        # The whole sum over the grids of four codes, of which one is in the bound, is 1.
        z = torch.cartesian_prod(*[torch.arange(4)] * 4)
        with torch.no_grad():
            parameters = model._decoded(z, None)
            prior = -model._lengths(z, None if label is None else z[:, 0] * 0 + label,
                                    model._prior()).sum(1)  # fmt: skip
            x = (data / 255.0)[:, None]
            of_pixels = -torch.nn.functional.binary_cross_entropy_with_logits(
                parameters.expand(512, -1, -1, -1, -1), x.expand(-1, 256, -1, -1, -1),
                reduction="none",
            ).flatten(2).sum(2)  # fmt: skip
            exact = (of_pixels + prior).logsumexp(1)
        assert float(exact.exp().sum()) == pytest.approx(1, abs=1e-4)
        assert (model.elbo(data, seed=0, labels=of)["elbo"] <= exact + 1e-4).all()


def planted(probabilities, **changes):
    """A model that was told the answer: pixels are on with these probabilities, whatever z."""
    model = trained_like(build(config(likelihood="bernoulli", **changes), grid(1, 2, 2)))
    with torch.no_grad():
        model.decoder.last.weight.zero_()
        model.decoder.last.bias.zero_()
        model.decoder.starts[-1].zero_()
    # Each position has its own logit.
    logits = torch.tensor(probabilities).logit().view(1, 1, 2, 2)
    model.decoder.last.register_forward_hook(lambda _, __, out: out + logits)
    return model


def without_information(model):
    """q = p, so that the KL is 0 and the bound is tight."""
    with torch.no_grad():
        for level in model.decoder.levels:
            for group in level:
                for block in (group.prior, group.posterior):
                    block[-1].weight.zero_()
                    block[-1].bias.zero_()
    return model


def test_bits_per_dimension_of_a_model_that_was_told_the_answer_are_its_entropy():
    probabilities = [0.1, 0.5, 0.9, 0.25]
    model = without_information(planted(probabilities, hierarchy=SMALLEST))
    p = torch.tensor(probabilities, dtype=torch.float64)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum()
    on = torch.rand(4000, 4, generator=seeded(0), dtype=torch.float64) < p
    data = (on * 255).to(torch.uint8).view(-1, 1, 2, 2)
    exact = torch.where(on, p.log(), (1 - p).log()).sum(1)
    for found in (model.elbo(data, seed=1)["elbo"], model.importance_weighted(data, k=3, seed=1)):
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)
        bits = bits_per_symbol(-found.numpy(), 4)[0]
        assert bits == pytest.approx(float(entropy) / 4 / math.log(2), abs=0.02)


def test_a_posterior_that_says_what_does_not_help_costs_its_kl():
    """log p(x) is the same, and the importance-weighted bound reaches it from below."""
    probabilities = [0.1, 0.5, 0.9, 0.25]
    model = planted(probabilities, hierarchy=SMALLEST)
    data = (pixels(64, 1, 2, 2) > 127).to(torch.uint8) * 255
    p = torch.tensor(probabilities, dtype=torch.float64)
    on = data.flatten(1) > 0
    exact = torch.where(on, p.log(), (1 - p).log()).sum(1)
    bound = model.elbo(data, seed=0)
    torch.testing.assert_close(bound["reconstruction"], exact, rtol=0, atol=1e-5)
    assert float(bound["kl"].mean()) > 0.01
    weighted = model.importance_weighted(data, k=2000, seed=0)
    assert float((weighted - exact).mean().abs()) < 0.02
