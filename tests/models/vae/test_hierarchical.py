"""A hierarchical VAE as a model: bounds, latents, samples, labels."""

import math

import pytest
import torch
from pydantic import ValidationError
from tests.models.vae.small import check_training_and_use, noise, pixels

from genmint.common.errors import ConfigError
from genmint.config import VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.blocks import prior
from genmint.models.shared.store import build
from genmint.models.vae.hierarchical import HierarchicalVAE

LIKELIHOODS = ["bernoulli", "discretised-logistic", "discretised-logistic-mixture", "gaussian"]
SHAPES = [(1, 8, 8), (3, 9, 14), (2, 5, 1)]


def config(**changes):
    entry = {
        "family": "vae", "dataset": "d", "steps": 1, "network": "hierarchical", "mixtures": 2,
        "hierarchy": {"groups": (1, 0, 2), "width": 6, "channels": 2}, "activation": "silu",
    }  # fmt: skip
    return VAEConfig(**{**entry, **changes})


def grid(*shape, **named):
    return DataSpec(dataset="d", kind="image", view="grid", shape=shape, **named)


def trained_like(model, scale=0.2, seed=0):
    """Weights that are nowhere 0, as those of a trained model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return model


def of_shape(*shape, seed=0, **changes):
    return trained_like(build(config(**changes), grid(*shape)), seed=seed)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_and_likelihood(likelihood, shape):
    model = build(config(likelihood=likelihood), grid(*shape))
    assert isinstance(model, HierarchicalVAE)
    check_training_and_use(model)


def test_loss_is_the_bound_with_beta_and_free_bits_per_group():
    data = pixels(16, 1, 8, 8)
    plain = of_shape(1, 8, 8).loss("vae", data, noise(), fresh=True)
    of_groups = of_shape(1, 8, 8).health(data, seed=0)
    for beta in (0.0, 1.0, 4.0):
        loss = of_shape(1, 8, 8, beta=beta).loss("vae", data, noise(), fresh=True)
        expected = beta * plain.scalars["kl"] - plain.scalars["reconstruction"]
        torch.testing.assert_close(loss.value.detach(), expected)
    free = 1e4
    assert max(of_groups.values()) < free
    loss = of_shape(1, 8, 8, free_bits=free).loss("vae", data, noise(), fresh=True)
    paid = float(loss.value.detach() + loss.scalars["reconstruction"])
    assert paid == pytest.approx(3 * free, rel=1e-5)


def test_what_training_descends_is_what_validation_measures():
    model = of_shape(1, 4, 4, likelihood="bernoulli")
    data = (pixels(3000, 1, 4, 4) > 127).to(torch.uint8) * 255
    loss = model.loss("vae", data, noise(), fresh=True)
    measured = model.validation(data, seed=0, batch_size=8)
    assert float(loss.value.detach()) == pytest.approx(measured["loss"], rel=1e-2)
    several = of_shape(1, 4, 4, likelihood="bernoulli", importance_samples=3)
    loss = several.loss("vae", data, noise(), fresh=True)
    assert float(loss.value.detach()) == pytest.approx(
        several.validation(data, seed=0, batch_size=8)["loss"], rel=1e-2
    )


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised-logistic"])
def test_the_kl_of_the_groups_adds_up_to_that_of_the_bound(likelihood):
    model = of_shape(1, 8, 8, likelihood=likelihood)
    data = pixels(150, 1, 8, 8)
    signals = model.health(data, seed=3)
    assert list(signals) == ["active_units", "kl.000", "kl.001", "kl.002"]
    total = sum(value for name, value in signals.items() if name.startswith("kl."))
    assert total == pytest.approx(float(model.elbo(data, seed=3)["kl"].mean()), rel=1e-6)
    assert float(model.latent_kl(data, seed=3).sum()) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised-logistic-mixture"])
def test_nothing_depends_on_the_batch_size(likelihood):
    model = of_shape(1, 8, 8, likelihood=likelihood)
    data = pixels(150, 1, 8, 8)
    for call in (
        lambda b: model.sample(150, seed=4, batch_size=b),
        lambda b: model.elbo(data, seed=4, batch_size=b)["elbo"],
        lambda b: model.importance_weighted(data, k=3, seed=4, batch_size=b),
        lambda b: model.encode(data, batch_size=b),
    ):
        assert torch.equal(call(1), call(1000))
    assert torch.equal(model.sample(150, seed=4)[:70], model.sample(70, seed=4))
    alone = model.elbo(data[:64], seed=4)["elbo"]
    assert torch.equal(alone, model.elbo(data, seed=4)["elbo"][:64])


def test_large_grids_go_through_in_smaller_passes(monkeypatch):
    """And give what they give in passes of 64, up to the last digits."""
    model = of_shape(1, 8, 8)
    data = pixels(70, 1, 8, 8)
    expected = (model.sample(70, seed=1), model.encode(data), model.elbo(data, seed=1)["elbo"])
    seen = []
    model.decoder.last.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    monkeypatch.setattr(type(model), "pass_rows", 20)
    found = (model.sample(70, seed=1), model.encode(data))
    assert set(seen) == {20}
    assert int((found[0].int() - expected[0].int()).abs().max()) <= 1
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_samples_are_decoded_draws_of_the_prior():
    model = of_shape(3, 8, 8, likelihood="discretised-logistic-mixture")
    assert model.noise_name == f"z{model.latent}"
    assert model.latent == 2 * (2 * 2 + 2 * 64)
    z = prior(70, model.latent, 5)
    assert torch.equal(model.sample(70, seed=5), model.decode(z))


def test_what_was_encoded_is_decoded_at_the_means_of_the_posterior():
    model = of_shape(1, 8, 8)
    data = pixels(70, 1, 8, 8)
    x = data.float() / 255
    with torch.no_grad():
        features = model.encoder(model.likelihood.encoded(x))
        parameters, draws = model.decoder(torch.zeros(70, model.latent), features)
    found = model.reconstruct(data).float() / 255
    torch.testing.assert_close(found, model.likelihood.mean(parameters), atol=0.51 / 255, rtol=0)
    first = (draws[0].posterior.mean - draws[0].prior.mean) / draws[0].prior.deviation
    torch.testing.assert_close(model.encode(data)[:, :8], first.flatten(1), rtol=1e-4, atol=1e-5)


def test_a_group_that_says_nothing_has_latents_of_zero_and_no_active_unit():
    """Its z varies all the same, with the groups above it: the mean of its prior does."""
    model = trained_like(build(config(), grid(1, 8, 8)), scale=0.6)
    last = model.decoder.levels[2][1]
    with torch.no_grad():
        # q = p: both take the prior's parameters from the state alone.
        last.posterior[1].weight.zero_()
        last.posterior[1].weight[:, :6] = last.prior[1].weight
        last.posterior[1].bias.copy_(last.prior[1].bias)
        for layer in (3, 5, 7):
            for name in ("weight", "bias"):
                source = getattr(last.prior[layer], name)
                getattr(last.posterior[layer], name).copy_(source[: 4 if layer == 7 else None])
    data = pixels(100, 1, 8, 8)
    z = model.encode(data)
    assert float(z[:, -128:].abs().max()) < 1e-5
    signals = model.health(data, seed=0)
    assert signals["kl.002"] == pytest.approx(0, abs=1e-4)
    assert signals["kl.000"] > 0.01
    with torch.no_grad():
        _, draws = model.decoder(z, None)
    assert float(draws[2].z.var(0).max()) > 1e-4


def test_a_unit_is_a_channel_that_varies_with_the_item(monkeypatch):
    model = build(config(), grid(1, 8, 8))
    means = torch.zeros(200, model.latent)
    # Channel 1 of the first group at all four positions; one position of 64 of another channel.
    means[:, 4:8] = 0.2 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    means[:, 8] = 0.2 * torch.randn(200, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(model, "_means", lambda *_: iter(means.split(64)))
    assert model.active_units(pixels(200, 1, 8, 8)) == 1


def test_a_temperature_scales_the_draws_of_its_level():
    model = of_shape(1, 8, 8)
    z = prior(9, model.latent, 2)
    assert torch.equal(model.sample(9, seed=2, temperature=0.0), model.decode(torch.zeros_like(z)))
    coarse = z.clone()
    coarse[:, 8:] *= 0.5
    levels = of_shape(1, 8, 8, sampling={"temperature": (1.0, 3.0, 0.5)})
    assert torch.equal(levels.sample(9, seed=2), model.decode(coarse))
    assert torch.equal(levels.sample(9, seed=2, temperature=1.0), model.sample(9, seed=2))
    assert levels.config.drawing == {"temperature": [1.0, 3.0, 0.5]}
    assert config(sampling={"temperature": (1.0, 1.0, 1.0)}).drawing == {"temperature": None}
    assert model.config.drawing == {"temperature": None}


def test_a_user_may_choose_the_temperature():
    model = build(config(), grid(1, 8, 8))
    assert model.sampling_arguments(1, {"temperature": 0.5}) == {"temperature": 0.5}
    assert model.sampling_arguments(1, {}) == {}
    with pytest.raises(ConfigError, match=r"temperature: .*greater than or equal to 0"):
        model.sampling_arguments(1, {"temperature": -1.0})
    with pytest.raises(ConfigError, match="top_k: only an RNN draws symbol by symbol"):
        model.sampling_arguments(1, {"temperature": 1.0, "top_k": 3})


def test_labels_reach_encoder_and_decoder():
    spec = grid(1, 8, 8, labels=("a", "b", "c"))
    model = trained_like(build(config(conditional=True), spec))
    data, labels = pixels(70, 1, 8, 8)[:1].expand(3, -1, -1, -1), torch.arange(3)
    loss = model.loss("vae", data, noise(), fresh=True, labels=labels)
    loss.value.backward()
    tables = [model.encoder.label, *model.decoder.labels]
    assert len(tables) == 4
    assert all(bool((table.weight.grad.abs().sum(1) > 0).all()) for table in tables)
    for found in (
        model.encode(data, labels=labels),
        model.decode(torch.zeros(3, model.latent), labels=labels),
        model.elbo(data, seed=0, labels=labels)["elbo"],
        model.importance_weighted(data, k=4, seed=0, labels=labels),
    ):
        assert len(found.unique(dim=0)) == 3
    drawn = model.sample(70, seed=1)
    assert torch.equal(drawn, model.sample(70, seed=1, labels=model.drawn_labels(70, 1)))
    assert all(math.isfinite(v) for v in model.health(data, seed=0, labels=labels).values())


def test_nothing_of_the_global_generator_is_used_and_the_mode_is_restored():
    model = build(config(), grid(1, 8, 8)).train()
    before = torch.get_rng_state()
    model.sample(3, seed=0)
    model.elbo(pixels(3, 1, 8, 8), seed=0)
    model.health(pixels(3, 1, 8, 8), seed=0)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())


REFUSED = [
    *(({key: value}, f"{key} has no effect with network: hierarchical: leave it out")
      for key, value in [("hidden", (5,)), ("latent", 3), ("second_level", {"latent": 2}),
                         ("prior", "vamp"), ("norm", "group"), ("attention", True)]),
    ({"network": "conv"}, "hierarchy has no effect with network: conv: it needs network: hier"),
    ({"network": "mlp", "hierarchy": {}, "sampling": {"temperature": 0.5}},
     "sampling has no effect with network: mlp: it needs network: hierarchical"),
    ({"sampling": {"temperature": (0.5, 1.0)}}, "must be one number, or 3"),
    ({"sampling": {"temperature": -0.5}}, "greater than or equal to 0"),
    ({"hierarchy": {"groups": (0, 1)}}, "groups must begin with 1 or more"),
    ({"hierarchy": {"groups": ()}}, "at least 1 item"),
    ({"hierarchy": {"bottleneck": 0.0}}, "greater than 0"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_has_no_effect_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        config(**changes)
