import math

import pytest
import torch
from torch import nn

from genmint.config import Optimiser
from genmint.training.optimisers import Descent, factor


def descend(settings, gradients, steps=10):
    """A weight of 1 after descending value·gradient for each gradient."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    descent = Descent(settings, [weight], steps)
    for step, gradient in enumerate(gradients):
        descent.step((weight * gradient).sum(), step)
    return float(weight.detach())


def test_sgd_is_the_formula():
    assert descend(Optimiser(name="sgd", lr=0.1), [2.0, 3.0]) == pytest.approx(1 - 0.2 - 0.3)


def test_sgd_with_momentum_is_the_formula():
    found = descend(Optimiser(name="sgd", lr=0.1, momentum=0.5), [2.0, 3.0])
    assert found == pytest.approx(1 - 0.1 * 2 - 0.1 * (0.5 * 2 + 3))


def test_adam_is_the_formula():
    b1, b2, lr = 0.9, 0.999, 0.01
    weight, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate([2.0, -3.0, 0.5], start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        weight -= lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + 1e-8)
    found = descend(Optimiser(name="adam", lr=lr), [2.0, -3.0, 0.5])
    assert found == pytest.approx(weight, abs=1e-9)


def test_adamw_decays_the_weight_apart_from_the_gradient():
    found = descend(Optimiser(name="adamw", lr=0.1, weight_decay=0.5), [0.0])
    assert found == pytest.approx(1 - 0.1 * 0.5)


def test_clipping_limits_the_norm_of_all_gradients_together():
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    descent = Descent(Optimiser(name="sgd", lr=1.0, clip_norm=1.0), [a, b], 1)
    descent.step((a * 30 + b * 40).sum(), 0)
    assert (float(a.detach()), float(b.detach())) == (
        pytest.approx(-0.6, 1e-4),
        pytest.approx(-0.8, 1e-4),
    )


def test_cosine_falls_from_one_to_zero():
    assert factor("cosine", 0, 100) == 1.0
    assert factor("cosine", 50, 100) == pytest.approx(0.5)
    assert factor("cosine", 99, 100) < 0.001
    assert factor("constant", 99, 100) == 1.0


def test_the_schedule_is_applied():
    constant = descend(Optimiser(name="sgd", lr=0.1), [1.0] * 10)
    cosine = descend(Optimiser(name="sgd", lr=0.1, schedule="cosine"), [1.0] * 10)
    rates = [0.1 * 0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    assert cosine == pytest.approx(1 - sum(rates))
    assert constant == pytest.approx(0.0)
