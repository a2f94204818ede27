import pytest
import torch

from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.interpretability.attention import enlarged, grid_maps, past_map
from genmint.models.shared.networks import SelfAttention
from genmint.models.shared.store import build

GRID = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 12, 8))
VOCABULARY = ("<unk>", "<s>", *"abcd")
TEXT = DataSpec(
    dataset="d", kind="text", view="sequence", shape=(), symbols=6, vocabulary=VOCABULARY
)


def vae(**more):
    block = {"family": "vae", "dataset": "d", "steps": 1, "network": "conv", "hidden": [8, 8]}
    return build(parse_model({**block, **more}), GRID)


def rnn(**more):
    block = {"family": "rnn", "dataset": "d", "steps": 1, "hidden": 8, "embedding": 4}
    return build(parse_model({**block, **more}), TEXT)


def test_maps_are_of_the_places_asked_for():
    model = vae(attention=True)
    (attention,) = (m for m in model.encoder.modules() if isinstance(m, SelfAttention))
    with torch.no_grad():
        # Every place looks at what has its own value in the first channel.
        attention.query.weight.fill_(30.0)
        attention.key.weight.fill_(30.0)
    items = torch.randint(0, 256, (3, 1, 12, 8), dtype=torch.uint8)
    maps = grid_maps(model, items, [(0.0, 0.0), (0.99, 0.99)])
    # 12×8 halved once.
    assert maps.shape == (3, 2, 6, 4)
    assert torch.allclose(maps.sum((2, 3)), torch.ones(3, 2), atol=1e-5)
    attention.keep = True
    model.encode(items)
    whole = attention.weights
    assert torch.equal(maps[:, 0].flatten(1), whole[:, 0])
    assert torch.equal(maps[:, 1].flatten(1), whole[:, 23])


def test_nothing_is_kept_afterwards():
    model = vae(attention=True)
    grid_maps(model, torch.zeros(1, 1, 12, 8, dtype=torch.uint8), [(0.5, 0.5)])
    found = [m for m in model.modules() if isinstance(m, SelfAttention)]
    assert found
    assert all(not m.keep and m.weights is None for m in found)


def test_without_attention_there_is_no_map():
    assert grid_maps(vae(), torch.zeros(1, 1, 12, 8, dtype=torch.uint8), [(0.5, 0.5)]) is None
    assert past_map(rnn(), torch.tensor([2, 3, 4])) is None


def test_an_rnn_looks_at_the_past_only():
    weights = past_map(rnn(attention=4), torch.tensor([2, 3, 4, 5, 2, 3, 4]))
    assert weights.shape == (7, 7)
    assert torch.allclose(weights.sum(1), torch.ones(7), atol=1e-5)
    assert torch.equal(weights.triu(1), torch.zeros(7, 7))
    # Nor further back than its window.
    assert torch.equal(weights.tril(-4), torch.zeros(7, 7))
    assert weights.tril(-1).sum() > 0


@pytest.mark.parametrize("sides", [(12, 8), (6, 4), (13, 9)])
def test_enlarged_maps_have_the_items_sides_and_1_at_their_strongest(sides):
    maps = torch.rand(2, 3, 6, 4)
    large = enlarged(maps, *sides)
    assert large.shape == (2, 3, *sides)
    assert torch.equal(large.amax((2, 3)), torch.ones(2, 3))
