"""The Gaussian mixture of the latents: fitted to draws, drawn from, stored."""

import math

import pytest
import torch
from pydantic import ValidationError
from tests.models.vae.small import config, noise, pixels

from genmint.common.files import sha256_json, write_json
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.models.shared.record import load_record
from genmint.models.shared.store import build
from genmint.models.vae import continuous
from genmint.models.vae.latent_mixture import LatentMixture

GMM = {"sampler": {"name": "gmm", "components": 2}}
HIERARCHICAL = {
    "network": "hierarchical", "hierarchy": {"groups": (1, 1), "width": 4, "channels": 2},
    "hidden": (512, 256), "latent": 16,
}  # fmt: skip


def grid(*shape, **named):
    return DataSpec(dataset="d", kind="image", view="grid", shape=shape, **named)


def known_mixture(n, seed=0):
    """Draws of two components, weights 0.3 and 0.7, the second one correlated."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 2, generator=generator)
    first = torch.rand(n, 1, generator=generator) < 0.3
    factor = torch.tensor([[1.0, 0.0], [0.9, 0.5]])
    return torch.where(first, torch.tensor([-4.0, 0.0]) + 0.5 * z, 2.0 + z @ factor.T)


def test_a_known_mixture_is_recovered():
    mixture = LatentMixture(2, 2)
    mixture.fit(0, known_mixture(20_000), seed=0)
    order = mixture.means[0, :, 0].argsort()
    shares, means = mixture.shares[0, order], mixture.means[0, order]
    factors = mixture.factors[0, order]
    covariances = factors @ factors.transpose(1, 2)
    torch.testing.assert_close(shares, torch.tensor([0.3, 0.7]), atol=0.01, rtol=0)
    wanted = torch.tensor([[-4.0, 0.0], [2.0, 2.0]])
    torch.testing.assert_close(means, wanted, atol=0.05, rtol=0)
    wanted = torch.tensor([[[0.25, 0.0], [0.0, 0.25]], [[1.0, 0.9], [0.9, 1.06]]])
    torch.testing.assert_close(covariances, wanted, atol=0.05, rtol=0)


def test_what_is_drawn_has_the_distribution_of_what_it_was_fitted_to():
    mixture = LatentMixture(2, 2)
    data = known_mixture(20_000)
    mixture.fit(0, data, seed=0)
    generator = torch.Generator().manual_seed(1)
    z = mixture.drawn(mixture.with_levels(torch.randn(20_000, 2, generator=generator), 5), None)
    assert float((z[:, 0] < -2).float().mean()) == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(z.mean(0), data.mean(0), atol=0.06, rtol=0)
    torch.testing.assert_close(z.T.cov(), data.T.cov(), atol=0.15, rtol=0)


def test_the_same_draws_and_seed_give_the_same_mixture():
    made = []
    for _ in range(2):
        mixture = LatentMixture(3, 2)
        mixture.fit(0, known_mixture(500), seed=4)
        made.append(mixture.state_dict())
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)


@pytest.mark.parametrize("different", [1, 2])
def test_fewer_different_draws_than_components_are_enough(different):
    mixture = LatentMixture(5, 2)
    mixture.fit(0, known_mixture(different).repeat(20, 1), seed=0)
    assert int((mixture.shares[0] > 0).sum()) == different
    assert float(mixture.shares.sum()) == pytest.approx(1)
    z = mixture.drawn(mixture.with_levels(torch.zeros(200, 2), 0), None)
    found = z.unsqueeze(1) - known_mixture(different)
    assert float(found.norm(dim=2).min(dim=1).values.max()) < 1e-3


def test_the_components_of_the_first_samples_do_not_depend_on_their_number():
    mixture = LatentMixture(2, 3)
    few, many = (mixture.with_levels(torch.zeros(n, 3), seed=2) for n in (70, 150))
    assert torch.equal(few, many[:70])
    assert not torch.equal(many, mixture.with_levels(torch.zeros(150, 3), seed=3))


@pytest.mark.parametrize(
    "changes",
    [{}, {"second_level": {"latent": 2}}, {"prior": "vamp", "pseudo_inputs": 7}, HIERARCHICAL,
     {"network": "conv", "likelihood": "gaussian"}],
    ids=["plain", "second_level", "vamp", "hierarchical", "conv"],
)  # fmt: skip
def test_every_vae_can_have_one(changes, tmp_path):
    """It changes samples, and neither losses nor likelihoods; it is stored with the weights."""
    data = pixels(60, 1, 8, 8)
    plain, mixed = (build(config(**changes, **more), grid(1, 8, 8)) for more in ({}, GMM))
    mixed.finish(data)
    assert not torch.equal(plain.sample(9, seed=0), mixed.sample(9, seed=0))
    losses = [model.loss("vae", data, noise(), fresh=True).value for model in (plain, mixed)]
    assert torch.equal(*losses)
    bound = [model.likelihoods(data, seed=0, draws=3, batch_size=8) for model in (plain, mixed)]
    for name, items in bound[0].items.items():
        assert torch.equal(items, bound[1].items[name])
    assert (plain.noise_name[0], mixed.noise_name[0]) == ("z", "g")
    described = {
        "name": "m", "model": mixed.config, "data": mixed.spec, "prepared": "d" * 64,
        "resolved": {},
    }  # fmt: skip
    store.save(tmp_path, mixed, described)
    loaded, _ = store.load(tmp_path)
    assert torch.equal(loaded.sample(70, seed=3), mixed.sample(70, seed=3))
    assert torch.equal(mixed.sample(70, seed=3, batch_size=1), mixed.sample(70, seed=3))
    assert torch.equal(mixed.sample(150, seed=3)[:70], mixed.sample(70, seed=3))


def test_a_model_that_was_saved_before_there_were_samplers_is_loaded(tmp_path):
    model = build(config(), grid(1, 8, 8))
    described = {
        "name": "m", "model": model.config, "data": model.spec, "prepared": "d" * 64,
        "resolved": {},
    }  # fmt: skip
    store.save(tmp_path, model, described)
    raw = load_record(tmp_path).model_dump(mode="json")
    del raw["model"]["sampler"]
    defining = {key: raw[key] for key in ("model", "data", "prepared", "resolved")}
    write_json(tmp_path / "config.json", {**raw, "identity": sha256_json(defining)})
    loaded, record = store.load(tmp_path)
    assert record.model.sampler.name == "prior"
    assert torch.equal(loaded.sample(9, seed=0), model.sample(9, seed=0))


def test_a_conditional_model_has_a_mixture_of_each_class(monkeypatch):
    monkeypatch.setattr(continuous, "FITTED_DRAWS", 200)
    spec = grid(1, 4, 4, labels=("dark", "bright", "absent"))
    model = build(config(conditional=True, **GMM), spec)
    data = torch.cat([pixels(40, 1, 4, 4) // 8, 255 - pixels(20, 1, 4, 4) // 8])
    labels = torch.tensor([0] * 40 + [1] * 20)
    model.finish(data, labels)
    assert model.mixture.means.shape == (3, 2, 3)
    for which in range(2):
        means = model.mixture.shares[which] @ model.mixture.means[which]
        of_class = labels == which
        posterior = model.posterior(data[of_class] / 255, labels[of_class])[0].mean(0)
        torch.testing.assert_close(means, posterior, atol=0.25, rtol=0)
    assert not torch.allclose(model.mixture.means[0], model.mixture.means[1], atol=1e-2)
    # A class without items is drawn from the mixture of all.
    assert len(model.sample(4, seed=0, labels=torch.full((4,), 2))) == 4


def test_a_large_set_is_thinned_out_and_a_small_one_drawn_several_times(monkeypatch):
    monkeypatch.setattr(continuous, "FITTED_DRAWS", 50)
    model = build(config(**GMM), grid(1, 4, 4))
    seen = []
    monkeypatch.setattr(model.mixture, "fit", lambda which, draws, seed: seen.append(draws))
    for items in (20, 120):
        model.finish(pixels(items, 1, 4, 4))
    assert [len(draws) for draws in seen] == [60, 50]
    assert all(len(draws.unique(dim=0)) == len(draws) for draws in seen)


def test_the_temperature_of_a_hierarchy_scales_the_distance_to_the_component():
    model = build(config(**HIERARCHICAL, **GMM), grid(1, 8, 8))
    model.mixture.means += 1.5
    cold = model.sample(3, seed=0, temperature=0.0)
    z = torch.zeros(1, model.latent)
    z[:, : model.mixture.latents] = 1.5
    assert torch.equal(cold, model.decode(z).expand_as(cold))


@pytest.mark.parametrize("latent", [256, 257])
def test_more_latents_than_can_be_fitted_are_refused(latent):
    if latent == 256:
        assert config(latent=latent, **GMM).latent == latent
        return
    with pytest.raises(ValidationError, match=r"latent is 257, and .* takes at most 256"):
        config(latent=latent, **GMM)
    assert config(latent=latent).latent == latent


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14), (64, 65)])
def test_the_size_of_the_coarsest_group_is_known_beforehand(height, width):
    entry = config(**HIERARCHICAL, **GMM)
    model = build(config(**HIERARCHICAL), grid(1, height, width))
    group = model.layout.ends[0]
    assert group == 2 * math.ceil(height / 2) * math.ceil(width / 2)
    problem = entry.grid_problem(height, width)
    assert (problem is None) == (group <= 256)
    assert (
        problem is None or "sampler: the coarsest group has 2 latents at each of 32×33" in problem
    )
    assert config(**HIERARCHICAL).grid_problem(height, width) is None
