import math

import pytest
import torch

from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.interpretability.surprise import surprise
from genmint.models.shared.store import build

VOCABULARY = ("<unk>", "<s>", *"abcdef")
TEXT = DataSpec(
    dataset="d", kind="text", view="sequence", shape=(), symbols=8, vocabulary=VOCABULARY
)


@pytest.fixture
def model():
    block = {"family": "rnn", "dataset": "d", "steps": 1, "hidden": 8, "embedding": 4}
    return build(parse_model(block), TEXT)


def test_characters_are_shown_with_what_they_cost(model):
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.tensor([0.0, 0, math.log(10), 0, 0, 0, 0, 0]))
    found = surprise(model, torch.tensor([3, 2, 4, 1, 0, 2]))
    assert [character for character, _ in found] == ["a", "c", "\n", "\ufffd", "a"]
    likely, unlikely = math.log2(17 / 10), math.log2(17)
    assert [bits for _, bits in found] == pytest.approx(
        [likely, unlikely, unlikely, unlikely, likely], abs=1e-5
    )


def test_it_adds_up_to_the_likelihood(model):
    symbols = torch.randint(2, 8, (300,))
    bits = sum(cost for _, cost in surprise(model, symbols))
    assert bits == pytest.approx(float(model.nats(symbols).sum()) / math.log(2))
