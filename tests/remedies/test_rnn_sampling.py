"""What is drawn of what the network predicts."""

import pytest
import torch

from genmint.data.views.spec import DataSpec
from genmint.models.shared.store import build

SPEC = DataSpec(
    dataset="d", kind="audio", view="sequence", shape=(1,), symbols=6, sample_rate=8000, samples=1
)
PROBABILITIES = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.15, 0.05])
DRAWS = 20_000


@pytest.fixture
def shares(block):
    """How often each symbol is drawn by a network that knows nothing but PROBABILITIES."""

    def draw(sampling, **said):
        config = block("rnn", cell="tanh", hidden=2, embedding=2, sampling=sampling)
        model = build(config, SPEC)
        with torch.no_grad():
            model.output.weight.zero_()
            model.output.bias.copy_(PROBABILITIES.log())
        drawn = model.sample(DRAWS, seed=0, **said)[:, 0]
        return torch.bincount(drawn, minlength=6) / DRAWS

    return draw


def kept(*symbols):
    """The probabilities of some, which then sum to 1."""
    mask = torch.zeros(6)
    mask[list(symbols)] = 1
    return PROBABILITIES * mask / (PROBABILITIES * mask).sum()


def same(found, expected):
    """To three standard errors and a bit; what must not be drawn never is."""
    assert torch.equal(found[expected == 0], expected[expected == 0])
    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)


@pytest.mark.switch("rnn.sampling.temperature")
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power_of_the_probabilities(shares, temperature):
    powers = PROBABILITIES ** (1 / temperature)
    same(shares({"temperature": temperature}), powers / powers.sum())


@pytest.mark.switch("rnn.sampling.top_k")
@pytest.mark.parametrize(("k", "symbols"), [(1, [1]), (3, [1, 3, 4]), (5, [0, 1, 2, 3, 4])])
def test_top_k_draws_among_the_k_likeliest(shares, k, symbols):
    same(shares({"top_k": k}), kept(*symbols))


@pytest.mark.switch("rnn.sampling.top_p")
@pytest.mark.parametrize(
    ("p", "symbols"),
    [(0.3, [1]), (0.6, [1, 3]), (0.7, [1, 3, 4]), (0.95, [0, 1, 2, 3, 4])],
)
def test_the_nucleus_is_the_smallest_set_of_that_probability(shares, p, symbols):
    same(shares({"top_p": p}), kept(*symbols))


@pytest.mark.switch("rnn.sampling.top_p")
def test_the_nucleus_is_of_what_temperature_and_top_k_leave(shares):
    """Of 0.4, 0.25 and 0.15 the first two have 0.81, of all six only 0.65."""
    same(shares({"top_k": 3, "top_p": 0.8}), kept(1, 3))
    # Squared and normalised, the likeliest alone has 0.61.
    same(shares({"temperature": 0.5, "top_p": 0.6}), kept(1))


@pytest.mark.switch("rnn.sampling.top_k")
def test_what_the_caller_says_goes_before_the_configuration(shares):
    assert torch.equal(shares({"top_k": 1}, top_k=6), shares({}))
    same(shares({"top_k": 1}), kept(1))
