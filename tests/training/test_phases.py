"""What a step makes of a family's turns: new data, accumulation, memory layout."""

import pytest
import torch

from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build
from genmint.training.distributed import Ranks
from genmint.training.stepper import Stepper

SGD = {"name": "sgd", "lr": 0.5}


def stepper(case, name, **changes):
    config, spec, train, _ = case(name, **changes)
    return Stepper(build(config, spec), config, train, "fp32")


def weights(trained):
    return torch.cat([p.detach().flatten() for p in trained.model.parameters()])


@pytest.fixture
def still(monkeypatch):
    """Noise that is the same in every row, so that rows can be dealt out in another way."""
    monkeypatch.setattr(Noise, "normal", lambda self, rows, *shape: torch.ones(rows, *shape))
    monkeypatch.setattr(Noise, "uniform", lambda self, *shape: torch.full(shape, 0.5))


@pytest.mark.parametrize("name", ["vae", "rnn-items"])
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_batches_are_one_large_batch(case, still, name, parts):
    # Whole items: the next piece of a batch is other data, not more of the same step.
    whole = {"bptt": 24} if name == "rnn-items" else {}
    plain = stepper(case, name, batch_size=8 * parts, optimiser=SGD, **whole)
    split = stepper(case, name, batch_size=8, accumulate=parts, optimiser=SGD, **whole)
    before = weights(plain)
    for step in range(3):
        assert plain.step(step) == split.step(step)
    assert (weights(plain) - before).norm() > 0.01
    torch.testing.assert_close(weights(split), weights(plain), rtol=1e-4, atol=1e-6)
    assert split.epoch == pytest.approx(plain.epoch)
    one, other = plain.window.means(Ranks()), split.window.means(Ranks())
    assert other == pytest.approx(one, rel=1e-5)
    assert split.window.last_loss() == pytest.approx(plain.window.last_loss(), rel=1e-5)


@pytest.fixture
def asked(monkeypatch):
    """Group and batch of every loss that a GAN is asked for."""
    from genmint.models.gan.model import GAN

    usual, calls = GAN.loss, []

    def loss(self, group, batch, noise, **named):
        calls.append((group, batch))
        return usual(self, group, batch, noise, **named)

    monkeypatch.setattr(GAN, "loss", loss)
    return calls


@pytest.mark.parametrize("n", [1, 3])
def test_the_discriminator_has_its_turns_on_new_data_and_the_generator_one(case, asked, n):
    trained = stepper(case, "gan", discriminator_steps=n)
    for step in range(2):
        asked.clear()
        assert trained.step(step) == 8 * n
        assert [group for group, _ in asked] == ["discriminator"] * n + ["generator"]
        batches = [batch for _, batch in asked]
        assert batches[-1] is batches[-2]
        assert len({batch.numpy().tobytes() for batch in batches}) == n
    assert trained.epoch == pytest.approx(2 * 8 * n / 120)
    descents = trained.capture()["descents"]
    done = {
        group: {int(kept["step"]) for kept in descent["optimiser"]["state"].values()}
        for group, descent in descents.items()
    }
    assert done == {"discriminator": {2 * n}, "generator": {2}}


def test_every_optimizer_phase_accumulates_its_own_batches(case, asked):
    trained = stepper(case, "gan", accumulate=2)
    assert trained.step(0) == 16
    assert [group for group, _ in asked] == ["discriminator"] * 2 + ["generator"] * 2
    first, second, third, fourth = (batch for _, batch in asked)
    assert not torch.equal(first, second)
    assert third is fourth is second


@pytest.mark.parametrize(("name", "network"), [("vae", "conv"), ("gan", "dcgan")])
def test_the_layout_of_the_channels_changes_no_number(case, name, network):
    # Adam would make steps of the rounding in a gradient that is 0, as biases before a batch
    # normalisation have it.
    groups = ["optimiser"] if name == "vae" else ["generator", "discriminator"]
    rates = {group: {"name": "sgd", "lr": 0.01} for group in groups}
    plain, innermost = (
        stepper(case, name, network=network, hidden=[6, 4], channels_last=last, **rates)
        for last in (False, True)
    )
    before = weights(plain)
    layouts = [
        p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
        for p in innermost.model.parameters()
        if p.dim() == 4
    ]
    assert any(layouts)
    for step in range(5):
        plain.step(step)
        innermost.step(step)
    assert (weights(plain) - before).norm() > 0.01
    torch.testing.assert_close(weights(innermost), weights(plain), rtol=1e-3, atol=1e-5)
    seen, other = plain.model.sample(4, seed=0), innermost.model.sample(4, seed=0)
    assert (seen.int() - other.int()).abs().max() <= 1
