import pytest
import torch
from torch import nn

from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.interpretability.latents import (
    analogies,
    effects,
    interpolate,
    kept_levels,
    traversal,
)
from genmint.models.shared.blocks import prior
from genmint.models.shared.store import build

SPEC = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 4, 4))


class Only(nn.Module):
    """Logits of all pixels are one of the latents."""

    def __init__(self, latent):
        super().__init__()
        self.latent = latent

    def forward(self, z):
        return z[:, self.latent, None, None, None].expand(-1, 1, 4, 4)


@pytest.fixture
def vae():
    config = parse_model({"family": "vae", "dataset": "d", "steps": 1, "hidden": [6], "latent": 3})
    model = build(config, SPEC)
    model.decoder = Only(1)
    return model


@pytest.fixture
def gan():
    config = parse_model({"family": "gan", "dataset": "d", "steps": 1, "hidden": [6], "latent": 3})
    return build(config, SPEC)


def items(n):
    return torch.randint(0, 256, (n, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )


def test_a_traversal_moves_one_latent_and_leaves_the_others(vae):
    values = torch.tensor([-3.0, 0.0, 3.0])
    moved = traversal(vae, items(1)[0], 1, values)
    expected = (values.sigmoid() * 255).round()
    assert torch.equal(moved[:, 0, 0, 0].float(), expected)
    still = traversal(vae, items(1)[0], 0, values)
    assert torch.equal(still, still[:1].expand_as(still))


def test_the_change_of_a_latent_is_what_its_spread_does_to_pixels(vae):
    data = items(40)
    found = {effect.latent: effect for effect in effects(vae, data, seed=0, most=9)}
    means = vae.encode(data)[:, 1]
    spread = means.std(correction=0)
    change = ((means + spread).sigmoid() - (means - spread).sigmoid()).mean() * 255 / 2
    assert found[1].spread == pytest.approx(float(spread), rel=1e-5)
    # Grey levels are rounded.
    assert found[1].change == pytest.approx(float(change), abs=0.5)
    assert found[0].change == found[2].change == 0.0


def test_latents_that_tell_most_come_first(vae):
    with torch.no_grad():
        last = vae.encoder[-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 2.0, 1.0, 0.0, 0.0, 0.0]))
    found = effects(vae, items(9), seed=0, most=9)
    assert [effect.latent for effect in found] == [1, 2, 0]
    assert [effect.kl for effect in found] == pytest.approx([2.0, 0.5, 0.0], abs=1e-6)
    assert not any(effect.active for effect in found)


def test_of_many_latents_those_that_tell_most_are_shown(vae):
    with torch.no_grad():
        last = vae.encoder[-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 2.0, 1.0, 0.0, 0.0, 0.0]))
    assert [effect.latent for effect in effects(vae, items(9), seed=0, most=2)] == [1, 2]


@pytest.fixture
def hierarchical():
    config = parse_model({
        "family": "vae", "dataset": "d", "steps": 1, "network": "hierarchical",
        "hierarchy": {"groups": [1, 2], "width": 4, "channels": 2},
    })  # fmt: skip
    model = build(config, SPEC)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=generator)
    return model


def test_levels_are_kept_from_the_coarsest_on(hierarchical):
    """First none, so that the item does not matter; last all, the reconstruction."""
    data = items(9)
    rows = kept_levels(hierarchical, data, seed=3)
    assert rows.shape == (3, 9, 1, 4, 4)
    drawn, latent = prior(9, hierarchical.latent, 3), 8 + 2 * 32
    assert hierarchical.levels == (8, latent)
    assert torch.equal(rows[0], hierarchical.decode(drawn))
    assert torch.equal(rows[-1], hierarchical.reconstruct(data))
    kept = torch.cat([hierarchical.encode(data)[:, :8], drawn[:, 8:]], dim=1)
    assert torch.equal(rows[1], hierarchical.decode(kept))
    assert not torch.equal(rows[1], rows[0])


def test_traversals_and_ways_of_a_hierarchy(hierarchical):
    data = items(20)
    found = effects(hierarchical, data, seed=0, most=5)
    kls = hierarchical.latent_kl(data, seed=0)
    assert [effect.kl for effect in found] == kls.sort(descending=True).values[:5].tolist()
    values = torch.linspace(-3, 3, 5)
    assert traversal(hierarchical, data[0], found[0].latent, values).shape == (5, 1, 4, 4)
    z = hierarchical.encode(data[:2])
    way = interpolate(hierarchical, z[:1], z[1:], 3)
    assert torch.equal(way[0, [0, -1]], hierarchical.decode(z))


def test_a_vaes_way_is_straight(vae):
    a, b = torch.tensor([[0.0, -1.0, 0.0]]), torch.tensor([[5.0, 3.0, 1.0]])
    way = interpolate(vae, a, b, 5)
    assert way.shape == (1, 5, 1, 4, 4)
    expected = (torch.linspace(-1, 3, 5).sigmoid() * 255).round()
    assert torch.equal(way[0, :, 0, 0, 0].float(), expected)


def test_a_gans_way_stays_on_the_sphere(gan, monkeypatch):
    seen = []
    monkeypatch.setattr(
        gan, "decode", lambda z, **_: seen.append(z) or torch.zeros(len(z), 1, 4, 4)
    )
    a, b = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    interpolate(gan, a, b, 7)
    (way,) = seen
    assert torch.allclose(way.norm(dim=1), torch.full((7,), 2.0), atol=1e-4)
    assert torch.allclose(way[[0, -1]], torch.cat([a, b]), atol=1e-4)
    # Equal steps of the angle.
    angles = torch.atan2(way[:, 1], way[:, 0])
    assert torch.allclose(angles.diff(), angles.diff()[:1].expand(6), atol=1e-4)


def test_ends_in_the_same_direction_are_no_trouble(gan):
    a = torch.tensor([[1.0, 0.0, 0.0]])
    assert interpolate(gan, a, a, 3).shape == (1, 3, 1, 4, 4)


class OfLabel(nn.Module):
    """Logits of all pixels are −2 for the first class and 2 for the second."""

    def forward(self, begun):
        return (4 * begun[:, -1] - 2)[:, None, None, None].expand(-1, 1, 4, 4)


def test_items_and_ways_keep_their_label_and_analogies_take_every_one(vae, gan):
    for model in (vae, gan):
        spec = SPEC.model_copy(update={"labels": ("dark", "bright")})
        told = build(model.config.model_copy(update={"conditional": True}), spec)
        told.decoder = told.generator = OfLabel()
        a, b = torch.ones(2, 3), torch.tensor([[-1.0, 2.0, 0.0], [1.0, 0.0, -3.0]])
        way = interpolate(told, a, b, 5, labels=torch.tensor([0, 1]))
        assert [row.unique().numel() for row in way] == [1, 1]
        assert int(way[0].max()) < 128 < int(way[1].min())
        grid = analogies(told, torch.zeros(3, 3))
        assert grid.shape == (3, 2, 1, 4, 4)
        assert int(grid[:, 0].max()) < 128 < int(grid[:, 1].min())
    told = build(vae.config.model_copy(update={"conditional": True}), spec)
    data, labels = items(9), torch.arange(9) % 2
    moved = traversal(told, data[1], 0, torch.zeros(1), label=labels[1])
    z = told.encode(data[1:2], labels=labels[1:2])
    z[:, 0] = 0
    assert torch.equal(moved, told.decode(z, labels=labels[1:2]))
    assert len(effects(told, data, seed=0, most=9, labels=labels)) == 3
