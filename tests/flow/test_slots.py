"""Threads that wait for a core."""

import threading

import pytest

from genmint.flow.slots import Slots


def start(slots, name, weight, order, go):
    def work():
        with slots.taken(weight):
            order.append(name)
            go.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(condition):
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came about")


def test_of_those_that_wait_the_heaviest_goes_first_and_of_equals_the_first():
    slots, order, go = Slots(1), [], threading.Event()
    threads = [start(slots, "first", 0, order, go)]
    until(lambda: order == ["first"])
    for number, (name, weight) in enumerate([("light", 1), ("a", 5), ("b", 5), ("heavy", 9)], 1):
        threads.append(start(slots, name, weight, order, go))
        until(lambda number=number: len(slots._waiting) == number)
    go.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "heavy", "a", "b", "light"]


def test_no_more_than_so_many_hold_one_at_a_time():
    slots, order, go = Slots(2), [], threading.Event()
    threads = [start(slots, number, 0, order, go) for number in range(5)]
    until(lambda: len(order) == 2 and len(slots._waiting) == 3)
    assert len(order) == 2
    go.set()
    for thread in threads:
        thread.join(10)
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_a_slot_is_free_again_after_a_failure():
    slots = Slots(1)
    with pytest.raises(ZeroDivisionError), slots.taken():
        1 / 0  # noqa: B018
    with slots.taken():
        pass
