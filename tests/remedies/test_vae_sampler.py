"""The sampler of a VAE: a density of the latents, fitted after training (Ghosh et al. 2020)."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from genmint.data.views.spec import DataSpec
from genmint.metrics.frechet import frechet_distance
from genmint.models.shared.store import build
from genmint.training.loop import fit

GRID = DataSpec(dataset="digits", kind="image", view="grid", shape=(1, 8, 8))
# A low β: reconstructions are good, and the latents do not fill N(0, I).
LOW_BETA = {
    "hidden": (128, 64), "latent": 8, "beta": 0.01, "steps": 600, "batch_size": 64,
    "optimiser": {"lr": 2e-3},
}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    pixels = torch.from_numpy((load_digits().images * 255 / 16).round().astype("uint8"))
    return pixels.unsqueeze(1).split([1500, 297])


def features(images):
    """The pixels themselves, 0…1, as float64 N×64."""
    return (images.flatten(1).double() / 255).numpy()


def distance(model, held_out):
    return frechet_distance(features(model.sample(1500, seed=0)), features(held_out))


@pytest.mark.switch("vae.sampler")
@pytest.mark.parametrize("seed", range(3))
def test_samples_come_closer_to_the_data_than_those_of_the_prior(block, digits, seed):
    """Ghosh et al. 2020, table 1: the same decoder, and half of the Fréchet distance."""
    train, held_out = digits
    model = build(block("vae", **LOW_BETA, sampler={"name": "gmm"}, seed=seed), GRID)
    fit("digits", model, model.config, train, held_out)
    with_sampler = distance(model, held_out)
    model.mixture = None
    assert with_sampler < 0.75 * distance(model, held_out)


@pytest.mark.switch("vae.sampler")
def test_the_coarsest_group_of_a_hierarchy_has_a_better_density(block, digits):
    """Of its held-out latents, in nats per item, in comparison with N(0, I)."""
    train, held_out = digits
    hierarchy = {"groups": (1, 0, 0), "width": 16, "channels": 4}
    model = build(
        block("vae", network="hierarchical", hierarchy=hierarchy, beta=0.001, steps=200,
              optimiser={"lr": 2e-3}, sampler={"name": "gmm"}),
        GRID,
    )  # fmt: skip
    fit("digits", model, model.config, train, held_out)
    assert model.mixture is not None
    z = model._posterior_draws(held_out, None)
    mixture = MixtureSameFamily(
        Categorical(model.mixture.shares[0]),
        MultivariateNormal(model.mixture.means[0], scale_tril=model.mixture.factors[0]),
    )
    standard = MultivariateNormal(torch.zeros(16), torch.eye(16))
    assert float((mixture.log_prob(z) - standard.log_prob(z)).mean()) > 5
