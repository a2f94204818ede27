import copy
import math

import pytest
import torch
from torch import nn

from genmint.config import Optimiser
from genmint.training.optimisers import Descent, rate_factor


def descend(settings, gradients, steps=10, *, factor=1.0):
    """A weight of 1 after descending value·gradient for each gradient."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    descent = Descent(settings, [weight], steps)
    for step, gradient in enumerate(gradients):
        descent.clear()
        descent.backward((weight * gradient).sum())
        descent.step(step, factor)
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
    descent.backward((a * 30 + b * 40).sum())
    descent.step(0)
    assert (float(a.detach()), float(b.detach())) == (
        pytest.approx(-0.6, 1e-4),
        pytest.approx(-0.8, 1e-4),
    )


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("bad", [6.0, math.inf, math.nan])
def test_a_step_above_the_limit_changes_nothing_and_is_counted(bad, scaled):
    """Child 2021: neither the weights nor the averages of Adam, which would forget slowly."""
    settings = Optimiser(name="adam", lr=0.1, skip_norm=7.0)
    weights = [nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))]
    descent = Descent(settings, weights, 10, scaled=scaled)
    states = []
    # Norms of 5, above 7 or not finite, and 5.
    for gradients in ((3.0, 4.0), (5.0, bad), (3.0, 4.0)):
        descent.clear()
        descent.backward(sum(w * g for w, g in zip(weights, gradients, strict=True)).sum())
        descent.step(0)
        states.append(([float(w.detach()) for w in weights], descent.skipped, descent.skipped_last,
                       copy.deepcopy(descent.optimiser.state_dict()["state"])))  # fmt: skip
    assert [state[1:3] for state in states] == [(0, 0), (1, 1), (1, 0)]
    assert states[0][0] == states[1][0] != states[2][0]
    for key, value in states[0][3][1].items():
        assert torch.equal(value, states[1][3][1][key])


def test_a_step_is_left_out_by_its_norm_before_clipping():
    assert descend(Optimiser(name="sgd", lr=0.1, clip_norm=1.0, skip_norm=2.0), [3.0]) == 1.0
    clipped = descend(Optimiser(name="sgd", lr=0.1, clip_norm=1.0, skip_norm=4.0), [3.0])
    assert clipped == pytest.approx(0.9)


def test_gradients_add_up_until_they_are_cleared():
    weight = nn.Parameter(torch.ones(1))
    descent = Descent(Optimiser(name="sgd", lr=0.1), [weight], 10)
    descent.backward((2 * weight).sum())
    descent.backward((3 * weight).sum())
    assert float(weight.grad) == 5
    descent.clear()
    assert weight.grad is None


def rates(steps, **changes):
    settings = Optimiser(lr=1.0, **changes)
    return [rate_factor(settings, step, steps) for step in range(steps)]


def test_cosine_falls_from_one_to_zero():
    found = rates(100, schedule="cosine")
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.5)
    assert found[99] < 0.001
    assert rates(100) == [1.0] * 100


def test_warm_up_rises_in_equal_steps_and_then_is_over():
    found = rates(10, warmup=4)
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1])


def test_the_cosine_begins_where_the_warm_up_ends():
    """Its 96 steps are those of a training of 96 steps without warm-up."""
    found = rates(100, schedule="cosine", warmup=4)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert found[4:] == pytest.approx(rates(96, schedule="cosine"))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_longer_than_the_training_run_never_reaches_the_rate(schedule):
    assert rates(4, schedule=schedule, warmup=8) == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8])


def test_the_schedule_is_applied():
    constant = descend(Optimiser(name="sgd", lr=0.1), [1.0] * 10)
    cosine = descend(Optimiser(name="sgd", lr=0.1, schedule="cosine"), [1.0] * 10)
    rates = [0.1 * 0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    assert cosine == pytest.approx(1 - sum(rates))
    assert constant == pytest.approx(0.0)


def test_the_rate_of_a_recovery_multiplies_that_of_the_schedule():
    settings = Optimiser(name="sgd", lr=0.1, warmup=2)
    assert descend(settings, [1.0, 1.0], factor=0.5) == pytest.approx(1 - 0.5 * (0.05 + 0.1))


SETTINGS = {
    "sgd": Optimiser(name="sgd", lr=0.1, momentum=0.9),
    "adam": Optimiser(name="adam", lr=0.1),
    "adamw": Optimiser(name="adamw", lr=0.1, weight_decay=0.1),
    "clipped": Optimiser(name="sgd", lr=0.1, clip_norm=0.5),
    "limited": Optimiser(name="sgd", lr=0.1, skip_norm=8.0),
}


def quadratic(parameters, step):
    return sum(((p - step) ** 2).sum() for p in parameters)


def pair(settings, *, scaled=False):
    parameters = [nn.Parameter(torch.linspace(-1, 1, 5)), nn.Parameter(torch.ones(2, 2))]
    return parameters, Descent(settings, parameters, 10, scaled=scaled)


def do(parameters, descent, steps, *, looked_at=False):
    for step in steps:
        descent.clear()
        descent.backward(quadratic(parameters, step))
        if looked_at:
            descent.unscale()
        descent.step(step)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("looked_at", [False, True])
def test_scaling_the_loss_changes_no_step(settings, looked_at):
    plain, descent = pair(settings)
    do(plain, descent, range(4))
    scaled, descent = pair(settings, scaled=True)
    do(scaled, descent, range(4), looked_at=looked_at)
    for one, other in zip(plain, scaled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_unscaled_gradients_have_their_own_size():
    parameters, descent = pair(SETTINGS["sgd"], scaled=True)
    descent.backward(quadratic(parameters, 0))
    assert float(parameters[1].grad[0, 0]) > 1000
    descent.unscale()
    assert float(parameters[1].grad[0, 0]) == pytest.approx(2)
    descent.unscale()
    assert float(parameters[1].grad[0, 0]) == pytest.approx(2)


@pytest.mark.parametrize("scaled", [False, True])
def test_scaling_saves_gradients_that_float16_cannot_hold(scaled):
    weight = nn.Parameter(torch.ones(1))
    descent = Descent(Optimiser(name="sgd", lr=1e6), [weight], 1, scaled=scaled)
    descent.backward((weight.half().float() * 1e-8).sum())
    descent.step(0)
    assert float(weight.detach()) == pytest.approx(0.99 if scaled else 1.0, abs=1e-5)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_step_that_was_scaled_too_far_is_skipped_and_the_next_is_not(settings):
    parameters, descent = pair(settings, scaled=True)
    before, scale = copy.deepcopy(parameters), descent.scaler.get_scale()
    descent.backward(quadratic(parameters, 0) * math.inf)
    descent.step(0)
    assert all(torch.equal(a, b) for a, b in zip(parameters, before, strict=True))
    assert descent.scaler.get_scale() == scale / 2
    do(parameters, descent, [1])
    assert not torch.equal(parameters[0], before[0])


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_state_can_be_taken_up_again_and_again(settings, scaled):
    """What follows a restored state does not write into it."""
    parameters, descent = pair(settings, scaled=scaled)
    do(parameters, descent, range(3))
    if scaled:
        # A scale that no new training has.
        descent.backward(quadratic(parameters, 3) * math.inf)
        descent.step(3)
    weights, state = copy.deepcopy(parameters), copy.deepcopy(descent.state())
    do(parameters, descent, range(3, 7))
    for _ in range(2):
        others, again = pair(settings, scaled=scaled)
        with torch.no_grad():
            for other, weight in zip(others, weights, strict=True):
                other.copy_(weight)
        again.restore(state)
        do(others, again, range(3, 7))
        assert all(torch.equal(a, b) for a, b in zip(others, parameters, strict=True))
        assert again.state()["scaler"] == descent.state()["scaler"]
