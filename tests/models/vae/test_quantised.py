"""A VQ-VAE as a model: bound, codes, prior, samples, labels."""

import copy

import pytest
import torch
from pydantic import ValidationError
from tests.models.vae.small import check_training_and_use, noise, pixels

from genmint.common.errors import ConfigError
from genmint.config import VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.blocks import to_bytes
from genmint.models.shared.store import build
from genmint.models.vae.quantised import QuantisedVAE

LIKELIHOODS = ["bernoulli", "discretised-logistic", "discretised-logistic-mixture", "gaussian"]
SHAPES = [(1, 8, 8), (3, 9, 14), (2, 5, 1)]


def config(**changes):
    entry = {
        "family": "vae", "dataset": "d", "steps": 1, "network": "vq", "mixtures": 2,
        "hidden": (6, 6), "codes": 7, "code_width": 3, "activation": "silu",
    }  # fmt: skip
    return VAEConfig(**{**entry, **changes})


def grid(*shape, **named):
    return DataSpec(dataset="d", kind="image", view="grid", shape=shape, **named)


def trained_like(model, seed=0):
    """Weights that are nowhere 0, and codes that the encoder's vectors lie between."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        data = pixels(16, *model.spec.shape, seed=seed)
        x = model.likelihood.encoded(data.float() / 255)
        flat = model.encoder(x).flatten(2).transpose(1, 2).flatten(0, 1)
        rows = torch.randperm(len(flat), generator=generator)[: model.config.codes]
        model.codebook.codes.copy_(flat[rows])
    return model


def of_shape(*shape, **changes):
    return trained_like(build(config(**changes), grid(*shape)))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_and_likelihood(likelihood, shape):
    model = of_shape(*shape, likelihood=likelihood)
    assert isinstance(model, QuantisedVAE)
    check_training_and_use(model)


def test_each_width_halves_the_grid():
    assert build(config(), grid(3, 32, 32)).latent == 64
    assert build(config(hidden=(4,)), grid(3, 32, 32)).latent == 256
    assert build(config(hidden=(4, 4)), grid(1, 9, 14)).size == (3, 4)


def test_loss_is_the_reconstruction_and_the_weighted_distance():
    data = pixels(16, 1, 8, 8)
    model = of_shape(1, 8, 8, likelihood="gaussian")
    vectors = model.encoder(model.likelihood.encoded(data.float() / 255))
    codes = model.codebook.vectors(model.encode(data).long(), model.size)
    distance = float((vectors - codes).detach().square().flatten(1).sum(1).mean())
    reconstruction = float(model.elbo(data, seed=0)["reconstruction"].mean())
    for weight in (0.0, 1.0, 4.0):
        other = of_shape(1, 8, 8, likelihood="gaussian", commitment=weight)
        loss = other.loss("vae", data, noise(), fresh=True)
        assert float(loss.scalars["commitment"]) == pytest.approx(weight * distance, rel=1e-4)
        assert float(loss.scalars["reconstruction"]) == pytest.approx(reconstruction, rel=1e-5)
        expected = weight * distance - reconstruction
        assert float(loss.value.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_prior_counts_the_codes_of_the_training_split():
    model, train = of_shape(1, 8, 8), pixels(150, 1, 8, 8, seed=3)
    assert not model.counts.any()
    torch.testing.assert_close(model._prior().exp(), torch.full((1, 4, 7), 1 / 7))
    model.finish(train)
    z = model.encode(train).long()
    for position in range(4):
        counts = torch.bincount(z[:, position], minlength=7)
        assert torch.equal(model.counts[0, position], counts)
        smoothed = (counts + 1) / (150 + 7)
        torch.testing.assert_close(model._prior()[0, position].exp(), smoothed)
    assert (model.counts.amax(2) > 30).all()


def test_the_bound_is_the_likelihood_of_the_codes_and_of_the_pixels_given_them():
    model = of_shape(1, 8, 8, likelihood="discretised-logistic")
    model.finish(pixels(150, 1, 8, 8, seed=3))
    data = pixels(70, 1, 8, 8)
    z, x = model.encode(data).long(), data.float() / 255
    with torch.no_grad():
        parameters = model.decoder(model.codebook.codes[z].transpose(1, 2).unflatten(2, (2, 2)))
        exact = model.likelihood.log_prob(parameters, x)
        for position in range(4):
            exact += model._prior()[0, position, z[:, position]]
    bound = model.elbo(data, seed=1)
    torch.testing.assert_close(bound["elbo"].float(), exact, rtol=1e-5, atol=1e-3)
    # More draws of a posterior without randomness change nothing.
    weighted = model.importance_weighted(data, k=5, seed=1)
    torch.testing.assert_close(weighted, bound["elbo"], rtol=1e-6, atol=0)
    assert float(model.latent_kl(data, seed=1).sum()) == pytest.approx(float(bound["kl"].mean()))


def test_validation_counts_items_of_the_training_split():
    model, train = of_shape(1, 8, 8), pixels(150, 1, 8, 8, seed=3)
    model.learns_from(train)
    before = model.validation(pixels(20, 1, 8, 8), seed=0, batch_size=8)
    assert model.counts.sum() == 150 * 4
    model.finish(train)
    assert model.validation(pixels(20, 1, 8, 8), seed=0, batch_size=8) == before
    # An average of the weights is a copy of the model, not of the data.
    assert copy.deepcopy(model)._training is model._training


def test_nothing_depends_on_the_batch_size():
    model = of_shape(1, 8, 8, likelihood="bernoulli")
    data = pixels(150, 1, 8, 8)
    for call in (
        lambda b: model.sample(150, seed=4, batch_size=b),
        lambda b: model.elbo(data, seed=4, batch_size=b)["elbo"],
        lambda b: model.encode(data, batch_size=b),
    ):
        assert torch.equal(call(1), call(1000))
    assert torch.equal(model.sample(150, seed=4)[:70], model.sample(70, seed=4))


def test_samples_have_the_codes_of_the_prior():
    model = of_shape(1, 8, 8)
    train = pixels(200, 1, 8, 8, seed=3)
    model.finish(train)
    assert model.noise_name == "u4"
    drawn = []
    original = model.decode
    model.decode = lambda z: (drawn.append(z), original(z))[1]
    assert len(model.sample(20_000, seed=0)) == 20_000
    shares = torch.nn.functional.one_hot(drawn[0], 7).double().mean(0)
    torch.testing.assert_close(shares, model._prior()[0].double().exp(), rtol=0, atol=0.015)


def test_codes_go_in_and_out():
    model, data = of_shape(1, 8, 8), pixels(70, 1, 8, 8)
    z = model.encode(data)
    assert not model.continuous
    assert len(z.unique()) == 7
    with torch.no_grad():
        parameters = model.decoder(model.codebook(model.encoder(data.float() / 255)).vectors)
    expected = to_bytes(model.likelihood.mean(parameters))
    assert int((model.reconstruct(data).int() - expected.int()).abs().max()) <= 1
    assert torch.equal(model.decode(z), model.reconstruct(data))
    for wrong in (z + 0.5, z + 7, z - 7):
        with pytest.raises(ConfigError, match="this model has codes, whole numbers 0…6"):
            model.decode(wrong)


def test_use_of_the_codebook_is_measured():
    model, data = of_shape(1, 8, 8), pixels(100, 1, 8, 8)
    usual = model.health(data, seed=0)
    assert usual["codes_used"] == 1
    assert 1 < usual["code_perplexity"] <= 7
    assert model.active_units(data) == 7
    # All vectors are nearest to one of two codes.
    with torch.no_grad():
        model.codebook.codes[2:] = 1e3
    few = model.health(data, seed=0)
    assert few["codes_used"] == pytest.approx(2 / 7)
    assert few["code_perplexity"] <= 2
    assert model.active_units(data) == 2


def test_labels_choose_the_prior():
    """p(x|y) = Σ p(x|z) p(z|y): the codes of an item do not depend on its label."""
    spec = grid(1, 8, 8, labels=("a", "b"))
    model = trained_like(build(config(conditional=True), spec))
    train = torch.cat([pixels(60, 1, 8, 8) // 4, 192 + pixels(60, 1, 8, 8) // 4])
    labels = torch.arange(120) // 60
    model.learns_from(train, labels)
    model.finish(train, labels)
    assert model.counts.sum((1, 2)).tolist() == [240, 240]
    z = model.encode(train, labels=labels).long()
    assert torch.equal(model.counts[1, 0], torch.bincount(z[60:, 0], minlength=7))
    dark = train[:60]
    own, other = (
        float(model.elbo(dark, seed=0, labels=torch.full((60,), y))["kl"].mean()) for y in (0, 1)
    )
    assert own < other - 1
    for y in (0, 1):
        drawn = model.sample(300, seed=1, labels=torch.full((300,), y))
        assert drawn.shape == (300, 1, 8, 8)
    mixed = model.sample(70, seed=1)
    assert torch.equal(mixed, model.sample(70, seed=1, labels=model.drawn_labels(70, 1)))
    assert torch.equal(mixed[:1], model.sample(1, seed=1, labels=model.drawn_labels(70, 1)[:1]))


def test_nothing_of_the_global_generator_is_used_and_the_mode_is_restored():
    model = of_shape(1, 8, 8).train()
    before = torch.get_rng_state()
    model.sample(3, seed=0)
    model.elbo(pixels(3, 1, 8, 8), seed=0)
    model.health(pixels(3, 1, 8, 8), seed=0)
    model.loss("vae", pixels(8, 1, 8, 8), noise(), fresh=True)
    model.end(0, lambda value: value)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())


REFUSED = [
    *(({key: value}, f"{key} has no effect with network: vq: leave it out")
      for key, value in [("latent", 3), ("second_level", {"latent": 2}), ("prior", "vamp"),
                         ("attention", True), ("beta", 2.0), ("kl_warmup", {"steps": 1}),
                         ("free_bits", 0.1), ("importance_samples", 2),
                         ("sampler", {"name": "gmm"})]),
    *(({"network": "conv", key: value}, f"{key} has no effect with network: conv: it needs "
       "network: vq") for key, value in [("codes", 8), ("code_width", 8), ("codebook_decay", 0.9),
                                            ("commitment", 1.0), ("restart_codes", 0.5)]),
    ({"hierarchy": {"groups": (1, 1)}}, "hierarchy has no effect with network: vq"),
    ({"codes": 1}, "greater than or equal to 2"),
    ({"codebook_decay": 1.0}, "less than 1"),
    ({"restart_codes": 1.5}, "less than or equal to 1"),
    ({"commitment": -1.0}, "greater than or equal to 0"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_has_no_effect_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        VAEConfig(**{"family": "vae", "dataset": "d", "steps": 1, "network": "vq", **changes})


def test_a_grid_that_cannot_be_halved_so_often_is_refused():
    with pytest.raises(ConfigError, match="hidden halves the grid 2 times"):
        build(config(), grid(1, 2, 2))
