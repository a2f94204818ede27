import math

import pytest
import torch

from genmint.training.distributed import Ranks
from genmint.training.window import Bad, LossWindow

CPU = torch.device("cpu")


def window(size=4, **phases):
    return LossWindow(phases or {"d": 2, "g": 1}, size, CPU)


def add(target, group, *values):
    for value in values:
        target.add(group, torch.tensor(value))


def count(target, **values):
    for i in range(len(next(iter(values.values())))):
        target.count({name: torch.tensor(each[i]) for name, each in values.items()})


def test_scalars_are_averaged_over_what_was_counted():
    held = window()
    count(held, loss=[1.0, 2.0, 6.0])
    count(held, accuracy=[0.5, 1.0])
    assert held.means(Ranks()) == {"loss": 3.0, "accuracy": 0.75}


def test_means_do_not_lose_what_is_small():
    held = window()
    count(held, loss=[2.0**24, 1.0, 1.0])
    assert held.means(Ranks())["loss"] == (2.0**24 + 2) / 3


def test_finite_losses_are_not_bad_however_large():
    held = window()
    add(held, "d", 3e38, 3e38, -1.0, 0.0)
    add(held, "g", 3e38, 3e38)
    assert held.first_bad(Ranks()) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_earliest_bad_loss_is_told_with_its_step(value):
    held = window()
    # Two turns of d in a step: its sixth is in the third.
    add(held, "d", 1.0, 1.0, 1.0, 1.0, 1.0, value)
    add(held, "g", 1.0, 1.0, 1.0)
    found = held.first_bad(Ranks())
    assert (found.group, found.step, found.count) == ("d", 3, 1)
    assert found.value == pytest.approx(value, nan_ok=True)


def test_of_two_groups_the_one_that_went_bad_in_the_earlier_step_is_told():
    held = window()
    add(held, "d", 1.0, 1.0, 1.0, 1.0, math.nan, math.nan)
    add(held, "g", 1.0, math.inf, math.inf)
    assert held.first_bad(Ranks()) == Bad("g", 2, math.inf, 4)


def test_within_a_step_the_turn_that_came_first_is_told():
    held = window()
    add(held, "d", 1.0, -math.inf)
    add(held, "g", math.inf)
    assert held.first_bad(Ranks()) == Bad("d", 1, -math.inf, 2)


def test_the_last_loss_is_that_of_the_last_turn():
    held = window()
    assert held.last_loss() == 0
    add(held, "d", 5.0, 6.0)
    add(held, "g", 2.5)
    assert held.last_loss() == 2.5


def test_a_cleared_window_remembers_nothing():
    held = window()
    add(held, "g", math.nan)
    count(held, loss=[1.0])
    held.clear()
    assert held.first_bad(Ranks()) is None
    assert held.means(Ranks()) == {}
    add(held, "g", 1.0)
    assert held.first_bad(Ranks()) is None


def test_a_window_takes_as_many_losses_as_its_steps_have_turns():
    held = window(size=2)
    add(held, "d", *[1.0] * 4)
    add(held, "g", *[1.0] * 2)
    with pytest.raises(IndexError):
        add(held, "g", 1.0)


def test_what_is_taken_up_in_another_window_goes_on_as_if_nothing_had_happened():
    first, second = window(), window()
    add(second, "g", math.nan)
    count(second, other=[1.0])
    add(first, "d", 1.0, math.inf)
    count(first, loss=[1.0, 2.0])
    state = first.state()
    held = {"losses": {k: v.clone() for k, v in state["losses"].items()}}
    second.restore({**state, **held})
    for target in (first, second):
        add(target, "d", math.nan)
        count(target, loss=[9.0])
    assert first.first_bad(Ranks()) == second.first_bad(Ranks()) == Bad("d", 1, math.inf, 2)
    assert first.means(Ranks()) == second.means(Ranks()) == {"loss": 4.0}


def test_a_state_is_not_changed_by_what_follows():
    first, second = window(), window()
    count(first, loss=[1.0])
    state = first.state()
    count(first, loss=[5.0])
    second.restore(state)
    count(second, loss=[9.0])
    third = window()
    third.restore(state)
    assert third.means(Ranks()) == {"loss": 1.0}
