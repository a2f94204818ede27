"""Labels: their shares, their draws, and what a conditional model of any family does with them."""

import pytest
import torch

from genmint.common.errors import ConfigError
from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.models.shared.conditioning import Classes, labels_of_class, one_hot
from genmint.models.shared.noise import Noise

NAMES = ("one", "two", "three")
COMMON = {"dataset": "d", "steps": 1, "conditional": True}
BLOCKS = {
    "vae": {"family": "vae", "hidden": [6], "latent": 2},
    "conv-vae": {"family": "vae", "network": "conv", "hidden": [4, 4], "latent": 2,
                 "importance_samples": 3, "second_level": {"latent": 2}},
    "gan": {"family": "gan", "hidden": [6], "latent": 2, "minibatch_stddev": 4},
    "dcgan": {"family": "gan", "network": "dcgan", "hidden": [4, 4], "latent": 2,
              "spectral_norm": True, "penalty": {"name": "r1"}},
    "r3gan": {"family": "gan", "network": "r3", "hidden": [4, 4], "group_width": 4, "latent": 2,
              "loss": "relativistic", "penalty": {"name": "r1r2"}, "ada": {}},
    "rnn": {"family": "rnn", "hidden": 6, "embedding": 4, "context": 3, "tie_weights": True},
}  # fmt: skip


def config(name):
    return parse_model({**COMMON, **BLOCKS[name]})


@pytest.fixture(params=BLOCKS)
def model(request, grid, items):
    spec = items(12) if request.param == "rnn" else grid(1, 8, 8)
    torch.manual_seed(0)
    return store.build(config(request.param), spec.model_copy(update={"labels": NAMES}))


def data(model, n):
    generator = torch.Generator().manual_seed(0)
    top = 256 if model.spec.view == "grid" else model.spec.symbols
    found = torch.randint(0, top, (n, *model.spec.shape), generator=generator, dtype=torch.uint8)
    return found, torch.randint(0, len(NAMES), (n,), generator=generator)


def batch(model, n):
    found, labels = data(model, n)
    if model.spec.view == "sequence":
        start = torch.full((n, 1), model.start)
        found = torch.cat([start, found.long()], dim=1)
    return found, labels


def noise():
    return Noise(torch.Generator().manual_seed(0))


def test_labels_are_drawn_with_the_shares_of_the_training_run_split():
    classes = Classes((*NAMES, "never"))
    classes.note(torch.tensor([0] * 50 + [1] * 30 + [2] * 20))
    assert classes.seen.tolist() == [50, 30, 20, 0]
    drawn = classes.drawn(20_000, seed=3)
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2, 0.0]), atol=0.015, rtol=0)
    assert shares[3] == 0
    for n in (1, 63, 64, 65, 1000):
        assert torch.equal(classes.drawn(n, seed=3), drawn[:n])
    assert not torch.equal(classes.drawn(64, seed=4), drawn[:64])


def test_a_label_as_an_input():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_class_is_asked_for_by_name():
    classes = Classes(NAMES)
    assert labels_of_class(classes, "two", 3).tolist() == [1, 1, 1]
    assert labels_of_class(classes, None, 3) is None
    assert labels_of_class(None, None, 3) is None
    with pytest.raises(ConfigError, match="label 'four': there is none; known: one, two, three"):
        labels_of_class(classes, "four", 3)
    with pytest.raises(ConfigError, match="label 'two': only a model with conditional: true"):
        labels_of_class(None, "two", 3)


def test_without_labels_there_is_nothing_to_be_conditional_on(grid, text):
    with pytest.raises(ConfigError, match=r"conditional: d has no labels; .*datasets\.d\.labels"):
        store.build(config("vae"), grid(1, 8, 8))
    with pytest.raises(ConfigError, match="conditional: d is text, one stream"):
        store.build(config("rnn"), text.model_copy(update={"labels": NAMES}))


def test_samples_without_labels_are_of_drawn_ones(model):
    model.learns_from(*data(model, 50))
    labels = model.drawn_labels(70, 5)
    drawn = model.sample(70, seed=5)
    assert torch.equal(drawn, model.sample(70, seed=5, labels=labels, batch_size=3))
    assert torch.equal(drawn[:65], model.sample(65, seed=5))
    assert not torch.equal(drawn, model.sample(70, seed=5, labels=(labels + 1) % 3))
    with pytest.raises(AssertionError, match="2 labels for 3 samples"):
        model.sample(3, seed=0, labels=torch.tensor([0, 1]))


def test_the_shares_are_stored_with_the_weights(model, tmp_path):
    model.learns_from(*data(model, 50))
    described = {
        "name": "tiny", "model": model.config, "data": model.spec, "prepared": "0" * 64,
        "resolved": {},
    }  # fmt: skip
    store.save(tmp_path, model, described)
    loaded, _ = store.load(tmp_path)
    assert torch.equal(loaded.classes.seen, model.classes.seen)
    assert torch.equal(loaded.sample(9, seed=1), model.sample(9, seed=1))


def test_the_label_reaches_every_network_and_learns(model):
    items, labels = batch(model, 8)
    for phase in model.phases():
        model.zero_grad(set_to_none=True)
        before = model.loss(phase.group, items, noise(), fresh=True, labels=labels).value.detach()
        loss = model.loss(phase.group, items, noise(), fresh=True, labels=(labels + 1) % 3)
        assert loss.value.detach() != before
        loss.value.backward()
        reached = model.optimisers()[phase.group][1]
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in reached)
    found, labels = data(model, 70)
    scores = model.validation(found, seed=0, batch_size=8, labels=labels)
    assert scores == model.validation(found, seed=0, batch_size=64, labels=labels)
    assert scores != model.validation(found, seed=0, batch_size=8, labels=(labels + 1) % 3)
    assert model.health(found, seed=0, labels=labels)


def test_labels_go_where_their_rows_go(model):
    """What is computed in blocks, or in parts on several cores, is what is computed row by row."""
    found, labels = data(model, 70)
    compute = {"vae": "encode", "gan": "decode", "rnn": "nats"}[model.config.family]
    if compute == "decode":
        found = torch.randn(70, model.config.latent)
    compute = getattr(model, compute)
    one = compute(found[66:67], labels=labels[66:67])
    torch.testing.assert_close(compute(found, labels=labels)[66:67], one, rtol=1e-4, atol=1e-5)


def test_an_unconditional_model_knows_no_labels(grid):
    block = {**COMMON, **BLOCKS["vae"], "conditional": False}
    labelled = grid(1, 8, 8).model_copy(update={"labels": NAMES})
    model, plain = (store.build(parse_model(block), spec) for spec in (labelled, grid(1, 8, 8)))
    assert model.classes is None
    assert model.drawn_labels(3, 0) is None
    assert list(model.state_dict()) == list(plain.state_dict())
    with pytest.raises(AssertionError, match="only a conditional model"):
        model.sample(2, seed=0, labels=torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"family": "vae", "prior": "vamp"}, ["conditional", "prior: vamp", "prior: standard"]),
        ({"family": "gan", "pack": 2}, ["conditional", "pack of 2", "minibatch_stddev"]),
    ],
)
def test_what_does_not_go_with_labels_is_refused_by_name(said, words):
    with pytest.raises(ConfigError) as caught:
        parse_model({**COMMON, **said})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_spectrograms_and_colours_have_labels_too():
    spec = DataSpec(dataset="d", kind="image", view="grid", shape=(3, 9, 8), labels=NAMES)
    block = {**COMMON, **BLOCKS["conv-vae"], "likelihood": "discretised-logistic-mixture"}
    model = store.build(parse_model(block), spec)
    found, labels = data(model, 5)
    assert model.reconstruct(found, labels=labels).shape == found.shape
    assert len(model.elbo(found, seed=0, labels=labels)["elbo"]) == 5
