import math

import pytest
import torch
from torch import nn

from genmint.training.health import Explosions, NonFiniteFinder, layer_norms


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def test_the_norm_of_a_layer_is_that_of_its_gradients_together():
    """x = (1, 2), loss = the sum of two outputs: each row of the weight has x for its gradient."""
    layer = nn.Linear(2, 2)
    model = nn.Sequential(nn.Flatten(), layer)
    model(torch.tensor([[1.0, 2.0]])).sum().backward()
    found = layer_norms(model, list(model.parameters()))
    assert found == {"1": pytest.approx(math.sqrt(2 * (1 + 4) + 2 * 1))}


def test_layers_together_have_the_norm_of_the_whole_gradient():
    model = network()
    model(torch.randn(5, 3)).square().sum().backward()
    found = layer_norms(model, list(model.parameters()))
    assert list(found) == ["0", "2"]
    whole = torch.cat([p.grad.flatten() for p in model.parameters()]).double().norm()
    assert math.hypot(*found.values()) == pytest.approx(float(whole))


def test_layers_that_were_not_asked_for_or_have_no_gradient_are_left_out():
    model = network()
    model(torch.randn(5, 3)).sum().backward()
    assert list(layer_norms(model, list(model[0].parameters()))) == ["0"]
    model[0].zero_grad()
    assert list(layer_norms(model, list(model.parameters()))) == ["2"]
    model.zero_grad()
    assert layer_norms(model, list(model.parameters())) == {}


def test_the_norm_of_large_gradients_does_not_overflow():
    model = network()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e30)
    assert layer_norms(model, list(model.parameters()))["0"] == pytest.approx(4e30)


def test_a_gradient_explodes_when_it_exceeds_the_median_by_the_factor():
    explosions = Explosions(10.0)
    for norm in (1.0, 2.0, 3.0, 4.0, 100.0):
        assert not explosions.add(norm)
    assert explosions.limit() == 30
    assert not explosions.add(30.0)
    # The median of those six is 3.5.
    assert explosions.add(35.1)


def test_what_exploded_is_not_taken_for_usual():
    explosions = Explosions(10.0)
    explosions.norms = [1.0] * 5
    for _ in range(10):
        assert explosions.add(11.0)
    assert explosions.norms == [1.0] * 5


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_explodes_whenever_it_comes(norm):
    explosions = Explosions(10.0)
    assert explosions.limit() == math.inf
    assert explosions.add(norm)
    assert explosions.norms == []


def test_a_gradient_after_none_at_all_is_no_explosion():
    explosions = Explosions(10.0)
    explosions.norms = [0.0] * 20
    assert not explosions.add(1e-3)


def test_what_is_usual_changes_with_the_training_run():
    explosions = Explosions(10.0)
    explosions.norms = [1.0] * 100
    for _ in range(100):
        assert not explosions.add(9.0)
    assert explosions.norms == [9.0] * 100
    assert explosions.limit() == 90


def seen(model, *inputs):
    probe = NonFiniteFinder(model)
    with probe.watching():
        model(*inputs)
    return probe.location


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_layer_with_a_bad_output_is_named(bad):
    model = network()
    assert seen(model, torch.ones(1, 3)) is None
    with torch.no_grad():
        model[2].bias[0] = bad
    assert seen(model, torch.ones(1, 3)) == "the output of 2 (Linear)"
    with torch.no_grad():
        model[0].bias[:] = bad
    assert seen(model, torch.ones(1, 3)) == "the output of 0 (Linear)"


def test_layers_within_layers_and_outputs_in_tuples_are_looked_into():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(4, 3)
            self.layers = nn.ModuleList([nn.LSTM(3, 2, batch_first=True)])

        def forward(self, symbols):
            return self.layers[0](self.embedding(symbols))[0]

    model = Model()
    assert seen(model, torch.zeros(1, 2, dtype=torch.int64)) is None
    with torch.no_grad():
        model.layers[0].bias_hh_l0[0] = math.nan
    assert seen(model, torch.zeros(1, 2, dtype=torch.int64)) == "the output of layers.0 (LSTM)"
    with torch.no_grad():
        model.embedding.weight[0] = math.inf
    found = seen(model, torch.zeros(1, 2, dtype=torch.int64))
    assert found == "the output of embedding (Embedding)"


def test_nothing_is_watched_after_the_block():
    model = network()
    probe = NonFiniteFinder(model)
    with pytest.raises(KeyError), probe.watching():
        raise KeyError
    with torch.no_grad():
        model[0].bias[:] = math.nan
    model(torch.ones(1, 3))
    assert probe.location is None


def test_of_the_gradients_the_one_nearest_to_the_loss_is_named():
    model = network()
    model(torch.ones(1, 3)).sum().backward()
    probe = NonFiniteFinder(model)
    probe.check_gradients()
    assert probe.location is None
    model[0].weight.grad[0, 0] = math.inf
    model[2].weight.grad[0, 0] = math.nan
    probe.check_gradients()
    assert probe.location == "the gradient of 2.weight"


def test_of_the_weights_the_first_is_named():
    model = network()
    probe = NonFiniteFinder(model)
    probe.check_weights()
    assert probe.location is None
    with torch.no_grad():
        model[0].bias[1] = model[2].weight[0, 0] = math.inf
    probe.check_weights()
    assert probe.location == "the weights of 0.bias"


def test_what_was_found_first_is_what_is_said():
    model = network()
    probe = NonFiniteFinder(model)
    with torch.no_grad():
        model[2].bias[0] = math.inf
    probe.check_weights()
    model[0].weight.grad = torch.full_like(model[0].weight, math.nan)
    probe.check_gradients()
    with probe.watching():
        model(torch.full((1, 3), math.nan))
    assert probe.location == "the weights of 2.bias"
