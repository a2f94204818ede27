"""Ctrl-C and SIGTERM end a training between two steps; asked twice, at once."""

import os
import signal
import threading

import pytest
from safetensors.torch import save

from genmint.models.shared.store import build
from genmint.training import loop
from genmint.training.checkpoints import Checkpoint
from genmint.training.interruption import Interrupted, Interruption
from genmint.training.loop import TrainingOptions, fit
from genmint.training.stepper import Stepper


@pytest.fixture
def signalled(monkeypatch):
    """Signals that arrive in the middle of a step, by its number."""

    def at(steps):
        usual = Stepper.step

        def step(self, number, **arguments):
            for wanted in steps.get(number, ()):
                os.kill(os.getpid(), wanted)
            return usual(self, number, **arguments)

        monkeypatch.setattr(Stepper, "step", step)

    return at


def run(case, checkpoint=None, **changes):
    config, spec, train, validation = case("vae", **changes)
    model = build(config, spec)
    options = TrainingOptions(checkpoint=checkpoint)
    outcome = fit("tiny", model, config, train, validation, options=options)
    return save(model.state_dict()), outcome.history


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_saves_and_says_how_to_go_on(case, signalled, tmp_path, number):
    wanted = run(case)
    checkpoint = Checkpoint(tmp_path, {})
    signalled({6: [number]})
    with pytest.raises(Interrupted) as raised:
        run(case, checkpoint)
    assert str(raised.value) == "stopped after step 7. The same command resumes from here."
    assert isinstance(raised.value, KeyboardInterrupt)
    assert checkpoint.load()["now"]["training"]["step"] == 7
    assert run(case, checkpoint) == wanted


def test_without_a_checkpoint_it_does_not_promise_one(case, signalled):
    signalled({6: [signal.SIGINT]})
    with pytest.raises(Interrupted, match=r"stopped after step 7\. There is no checkpoint"):
        run(case)


def test_a_second_signal_ends_at_once(case, signalled, tmp_path):
    checkpoint = Checkpoint(tmp_path, {})
    signalled({6: [signal.SIGINT, signal.SIGINT]})
    with pytest.raises(KeyboardInterrupt) as raised:
        run(case, checkpoint)
    assert not isinstance(raised.value, Interrupted)
    assert checkpoint.load() is None


def test_a_signal_in_the_last_step_is_heard(case, signalled, tmp_path):
    """Or the next seed would be trained by a user who asked to end."""
    wanted = run(case)
    signalled({11: [signal.SIGINT]})
    with pytest.raises(Interrupted, match="stopped after step 12"):
        run(case, Checkpoint(tmp_path, {}))
    assert run(case, Checkpoint(tmp_path, {})) == wanted


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(case, signalled):
    """As under nohup, or in a job that a script put into the background."""
    wanted = run(case)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signalled({6: [signal.SIGINT, signal.SIGINT]})
        assert run(case) == wanted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_signal_handlers_are_restored(case):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption() as interruption:
        assert signal.getsignal(signal.SIGTERM) != before[1]
        assert not interruption.requested
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_in_another_thread_nothing_changes(case):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(case)))
    thread.start()
    thread.join()
    assert found == [run(case)]


def test_several_processes_end_in_the_same_step(case, signalled, tmp_path, monkeypatch):
    """Only where they look at each other: one would wait for ever for the others otherwise."""
    monkeypatch.setattr(loop, "CHECK_EVERY", 4)
    asked = []

    class Two(loop.Ranks):
        def any(self, mine, device):
            asked.append(mine)
            return mine

    # Alone, but the loop takes it for one of two.
    ranks = Two()
    usual = Stepper.__init__

    def init(self, *arguments, **named):
        usual(self, *arguments, **named)
        ranks.world = 2

    monkeypatch.setattr(Stepper, "__init__", init)
    for method in ("mean", "same"):
        monkeypatch.setattr(Two, method, lambda self, value, *_: value)
    monkeypatch.setattr(Two, "gather", lambda self, mine: [mine])
    signalled({5: [signal.SIGINT]})
    config, spec, train, validation = case("vae")
    options = TrainingOptions(ranks=ranks, checkpoint=Checkpoint(tmp_path, {}))
    with pytest.raises(Interrupted, match="stopped after step 8"):
        fit("tiny", build(config, spec), config, train, validation, options=options)
    # After steps 4, 5 (a validation) and 8.
    assert asked == [False, False, True]
