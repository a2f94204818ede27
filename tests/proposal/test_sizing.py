"""Sizes from timed steps: the budget is kept, and a large network is only taken if it learns."""

from functools import partial

import pytest

from genmint.config import ImageDataset, TextDataset
from genmint.config.datasets import ReferenceConfig
from genmint.proposal import sizing
from genmint.proposal.models import candidates
from genmint.proposal.sizing import Amounts, model_seconds, size, spec_of
from genmint.training.idle_clock import IdleClock
from genmint.training.options import SpeedOptions
from genmint.training.speed import Timing

IMAGES = ImageDataset(path="x", kind="image", resolution=16, mode="grey")
TEXT = TextDataset(path="x", kind="text", protocol={"samples": 4, "sample_length": 32})
AMOUNTS = Amounts(train=400, validation=60, test=60)


class Ticking:
    """A clock on which drawing samples takes no time."""

    def __call__(self):
        return 0.0


@pytest.fixture
def speed(monkeypatch):
    """Steps a second that every network is measured at; the widths of those that were timed."""
    timed = []

    def at(steps):
        def measure(config, spec, train, options, device, timer):
            timed.append(config.hidden)
            rate = steps * config.batch_size
            return {options[0]: Timing(rate=rate, start=1.0, steps=steps)}

        monkeypatch.setattr(sizing, "measure", measure)
        plain = SpeedOptions("fp32", False, False)
        monkeypatch.setattr(sizing, "fastest", lambda bench, folder: plain)
        return timed

    return at


def sized(family, dataset, amounts, seconds):
    options = candidates(family, dataset, amounts.train)
    specs = partial(spec_of, "mine", dataset, symbols=30)
    return size(options, "mine", specs, dataset, amounts, seconds, Ticking())


def test_the_steps_fill_the_budget_and_no_more(speed):
    speed(10.0)
    one = sized("gan", IMAGES, AMOUNTS, 200.0)
    assert one.steps == pytest.approx(10 * (200 * 0.85 - 1), rel=0.25)
    assert one.train_seconds + one.evaluate_seconds <= 200
    assert 2 * one.steps > sized("gan", IMAGES, AMOUNTS, 400.0).steps / 1.3


def test_a_slow_machine_gets_the_smaller_network(speed):
    fast = speed(100.0)
    large = sized("gan", IMAGES, AMOUNTS, 200.0)
    assert len(fast) == 1
    slow = speed(2.0)
    small = sized("gan", IMAGES, AMOUNTS, 200.0)
    assert len(slow) == 3  # one of the fast machine, and both candidates
    assert small.candidate.config("mine", 1).hidden < large.candidate.config("mine", 1).hidden


def test_a_small_set_is_not_passed_without_end(speed):
    speed(1000.0)
    one = sized("vae", IMAGES, Amounts(40, 6, 6), 3600.0)
    assert one.passes <= one.candidate.most_passes


def test_no_time_is_left_for_steps(speed):
    speed(1.0)
    assert sized("vae", IMAGES, AMOUNTS, 1.0).steps == 20


@pytest.mark.parametrize(("family", "dataset"), [("vae", IMAGES), ("gan", IMAGES), ("rnn", TEXT)])
def test_real_steps_are_timed(monkeypatch, family, dataset):
    monkeypatch.setattr(sizing, "_SECONDS", 0.05)
    amounts = Amounts(5000, 500, 500)
    options = candidates(family, dataset, amounts.train)[-1:]
    specs = partial(spec_of, "mine", dataset, symbols=30)
    one = size(options, "mine", specs, dataset, amounts, 60.0, IdleClock())
    assert one.steps_per_second > 0.1
    assert one.evaluate_seconds > 0
    assert one.steps >= 20


def test_the_extractor_gets_fewer_passes_on_a_large_set_and_never_more_than_usual():
    def epochs(items, minutes):
        return sizing.extractor_epochs(IMAGES, items, minutes)

    usual = ReferenceConfig().epochs
    assert epochs(50, 10.0) == usual
    assert 2 < epochs(20_000, 10.0) < usual
    assert epochs(20_000, 5.0) < epochs(20_000, 10.0)
    assert epochs(10_000_000, 10.0) == 2


def test_all_stages_share_the_budget():
    assert model_seconds(10, 3) < model_seconds(10, 1) < 600
    assert model_seconds(0.1, 3) == 1.0
