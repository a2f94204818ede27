"""A NaN or an explosion: named, rolled back with a lower learning rate, recorded, or given up."""

import io
import math

import pytest
import torch
from safetensors.torch import save

from genmint.common.errors import GenmintError
from genmint.models.shared.store import build
from genmint.training import loop
from genmint.training.checkpoints import Checkpoint
from genmint.training.loop import TrainingOptions, fit
from genmint.training.progress import TrainingProgress
from genmint.training.stepper import Stepper

# A layer of each family in the middle of it, and what the message says of it.
LAYERS = {
    "vae": ("decoder.0", "the output of decoder.0 (Linear)"),
    "vae-hierarchical": (
        "decoder.levels.2.0.body.5",
        "the output of decoder.levels.2.0.body.5 (Conv2d)",
    ),
    "vae-vq": ("decoder.0", "the output of decoder.0 (Conv2d)"),
    "gan": ("generator.3", "the output of generator.3 (Linear)"),
    "rnn-stream": ("layers.1", "the output of layers.1 (LSTM)"),
    "rnn-items": ("layers.0", "the output of layers.0 (GRU)"),
}
# Validations after 5, 10 and 12 steps: this one is in the second window.
STEP = 8


class Killed(BaseException):
    """In the place of SIGKILL: nothing may catch it."""


class Mortal(Checkpoint):
    def save(self, state):
        super().save(state)
        raise Killed


@pytest.fixture
def poison(monkeypatch):
    """Make a layer's output NaN in step STEP while learning rates are above `until`."""
    now = {"step": -1, "factor": 1.0}
    usual = Stepper.step

    def step(self, step, **arguments):
        now.update(step=step, factor=self.lr_factor)
        try:
            return usual(self, step, **arguments)
        finally:
            now["step"] = -1

    monkeypatch.setattr(Stepper, "step", step)

    def into(model, layer, until):
        def hook(module, _, output):
            if now["step"] != STEP - 1 or now["factor"] <= until:
                return output
            if isinstance(output, tuple):
                return output[0] * math.nan, output[1]
            return output * math.nan

        model.get_submodule(layer).register_forward_hook(hook)

    return into


def poisoned(case, poison, name, until, *, checkpoint=None, **changes):
    config, spec, train, validation = case(name, **changes)
    model = build(config, spec)
    poison(model, LAYERS[name][0], until)
    options = TrainingOptions(checkpoint=checkpoint)
    outcome = fit("tiny", model, config, train, validation, options=options)
    return save(model.state_dict()), outcome


@pytest.mark.parametrize("name", LAYERS)
def test_a_nan_in_a_layer_is_named_rolled_back_and_recorded(case, poison, name, capsys):
    _, outcome = poisoned(case, poison, name, until=0.3)
    assert [(r.step, r.began_in, r.back_to, r.lr_factor) for r in outcome.recoveries] == [
        (STEP, LAYERS[name][1], 5, 0.5),
        (STEP, LAYERS[name][1], 5, 0.25),
    ]
    assert [row["step"] for row in outcome.history] == [5, 10, 12]
    assert [row["recoveries"] for row in outcome.history] == [0, 2, 2]
    lost = [row["nonfinite"] for row in outcome.history]
    assert lost[0] == lost[2] == 0
    assert lost[1] >= 2
    assert all(math.isfinite(row["validation_loss"]) for row in outcome.history)
    said = capsys.readouterr().out
    assert f"tiny: at step {STEP} the loss of the " in said
    assert f"became nan; it began in {LAYERS[name][1]}. Back to step 5" in said
    assert "learning rates times 0.25" in said


@pytest.mark.parametrize("name", LAYERS)
def test_a_training_run_that_does_not_recover_fails_clearly(case, poison, name, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c", {})
    with pytest.raises(GenmintError) as raised, checkpoint.locked():
        poisoned(case, poison, name, 0.0, checkpoint=checkpoint, recovery={"attempts": 2})
    message = str(raised.value)
    assert message.startswith("models.tiny: the loss of the ")
    assert f"at step {STEP} of 12 after 2 recoveries with lower learning rates" in message
    assert f"it began in {LAYERS[name][1]}" in message
    assert "Lower the learning rate in models.tiny" in message
    # It would fail again in the same way: nothing is left to go on from.
    assert not (tmp_path / "c").exists()


def test_without_attempts_the_first_nan_ends_it(case, poison):
    with pytest.raises(GenmintError, match=rf"at step {STEP} of 12; it began in") as raised:
        poisoned(case, poison, "vae", 0.0, recovery={"attempts": 0})
    assert "recoveries" not in str(raised.value)


@pytest.mark.parametrize("name", LAYERS)
def test_after_two_returns_to_one_state_it_is_still_that_state(case, poison, name):
    """Twice back at a quarter of the rate in all is once back at a quarter of it."""
    twice, one = poisoned(case, poison, name, until=0.3)
    once, other = poisoned(case, poison, name, until=0.3, recovery={"lr_factor": 0.25})
    assert [r.lr_factor for r in one.recoveries] == [0.5, 0.25]
    assert [r.lr_factor for r in other.recoveries] == [0.25]
    assert twice == once


@pytest.mark.parametrize("name", LAYERS)
def test_recovery_is_the_same_whenever_the_training_run_is_killed(
    case, poison, name, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "CHECK_EVERY", 3)
    undisturbed = poisoned(case, poison, name, until=0.3)
    monkeypatch.setenv("GENMINT_CHECKPOINT_SECONDS", "0")
    saved = poisoned(case, poison, name, until=0.3, checkpoint=Checkpoint(tmp_path / "a", {}))
    # The steps, what two returns do again, and the end.
    for _ in range(12 + 2 * (9 - 5) + 1):
        with pytest.raises(Killed):
            poisoned(case, poison, name, 0.3, checkpoint=Mortal(tmp_path / "b", {}))
    killed = poisoned(case, poison, name, until=0.3, checkpoint=Checkpoint(tmp_path / "b", {}))
    for weights, outcome in (saved, killed):
        assert weights == undisturbed[0]
        assert outcome.history == undisturbed[1].history
        assert outcome.recoveries == undisturbed[1].recoveries


def test_the_window_between_validations_is_counted_right(case, poison):
    _, outcome = poisoned(case, poison, "gan", 0.3, steps=15, validate_every=15)
    assert [(r.step, r.back_to) for r in outcome.recoveries] == [(STEP, 0), (STEP, 0)]


def test_a_gradient_that_is_not_finite_is_named(case, monkeypatch):
    """The loss is finite, its gradient is not: sqrt at zero."""
    config, spec, train, validation = case("vae", validate_every=4)
    model = build(config, spec)
    usual = type(model).loss

    def steep(self, group, batch, noise, **named):
        loss = usual(self, group, batch, noise, **named)
        zero = self.decoder[-2].bias.sum() * 0
        return type(loss)(loss.value + zero.sqrt(), loss.scalars)

    monkeypatch.setattr(type(model), "loss", steep)
    with pytest.raises(GenmintError) as raised:
        fit("tiny", model, config, train, validation)
    # Of the weights it has destroyed, the next loss is NaN: that is noticed where losses are read.
    assert "it began in the gradient of decoder.2.bias" in str(raised.value)


class Boom:
    """Multiplies the loss, and so its gradient, in one step until learning rates are lowered."""

    def __init__(self, monkeypatch, factor, step):
        self.factor = factor
        self.now = -1
        usual = Stepper._loss
        usual_step = Stepper.step

        def do(stepper, number, **arguments):
            self.now = number
            return usual_step(stepper, number, **arguments)

        def loss(stepper, group, batch):
            value, scalars = usual(stepper, group, batch)
            if self.now == step - 1 and stepper.lr_factor == 1:
                value = value * self.factor
            return value, scalars

        monkeypatch.setattr(Stepper, "step", do)
        monkeypatch.setattr(Stepper, "_loss", loss)


def exploding(case, monkeypatch, checkpoint=None, **changes):
    with monkeypatch.context() as patched:
        Boom(patched, 1e6, step=35)
        return trained_for_long(case, checkpoint, **changes)


def trained_for_long(case, checkpoint, **changes):
    changes = {"steps": 40, "validate_every": 5, **changes}
    config, spec, train, validation = case("vae", **changes)
    options = TrainingOptions(checkpoint=checkpoint)
    return fit("tiny", build(config, spec), config, train, validation, options=options)


def test_an_exploding_gradient_is_rolled_back(case, monkeypatch):
    (found,) = exploding(case, monkeypatch).recoveries
    assert (found.step, found.back_to, found.lr_factor) == (35, 30, 0.5)
    assert "the gradient's norm became " in found.what
    assert "above " in found.what
    assert found.began_in == "the gradient of decoder.2"


def test_what_gradients_usually_are_is_not_forgotten_by_a_kill(case, monkeypatch, tmp_path):
    class Dying(Checkpoint):
        def save(self, state):
            super().save(state)
            if state["now"]["training"]["step"] == 32:
                raise Killed

    wanted = exploding(case, monkeypatch)
    monkeypatch.setenv("GENMINT_CHECKPOINT_SECONDS", "0")
    with pytest.raises(Killed):
        exploding(case, monkeypatch, Dying(tmp_path, {}))
    found = exploding(case, monkeypatch, Checkpoint(tmp_path, {}))
    assert found.recoveries == wanted.recoveries
    assert found.history == wanted.history


def test_a_gradient_that_is_clipped_does_no_harm(case, monkeypatch):
    outcome = exploding(case, monkeypatch, optimiser={"lr": 1e-3, "clip_norm": 1.0})
    assert outcome.recoveries == []


def test_a_gradient_whose_step_is_left_out_does_no_harm(case, monkeypatch):
    outcome = exploding(case, monkeypatch, optimiser={"lr": 1e-3, "skip_norm": 1e5})
    assert outcome.recoveries == []
    assert [row["skipped"] for row in outcome.history] == [0, 0, 0, 0, 0, 0, 1, 0]


def test_a_gradient_that_explodes_below_the_limit_of_steps_left_out_is_rolled_back(
    case, monkeypatch
):
    outcome = exploding(case, monkeypatch, optimiser={"lr": 1e-3, "skip_norm": 1e12})
    assert [found.step for found in outcome.recoveries] == [35]


def test_a_training_run_that_leaves_every_step_out_fails(case, tmp_path):
    changes = {"steps": 100, "optimiser": {"lr": 1e-3, "skip_norm": 1e-6}}
    checkpoint = Checkpoint(tmp_path / "c", {})
    with pytest.raises(GenmintError) as raised, checkpoint.locked():
        trained_for_long(case, checkpoint, **changes)
    message = str(raised.value)
    assert "models.tiny: the gradients of the vae have been above skip_norm" in message
    assert "that of step 50 has the norm " in message
    assert "Raise skip_norm in models.tiny" in message
    assert not (tmp_path / "c").exists()


def test_how_far_a_gradient_may_grow_is_asked_of_the_configuration(case, monkeypatch):
    assert exploding(case, monkeypatch, recovery={"explosion": 1e9}).recoveries == []


def test_a_validation_loss_that_is_not_finite_is_rolled_back(case, monkeypatch):
    config, spec, train, validation = case("vae")
    model = build(config, spec)
    usual = type(model).validation
    calls = []

    def once(self, data, **named):
        calls.append(1)
        found = usual(self, data, **named)
        return {**found, "loss": math.inf} if len(calls) == 2 else found

    monkeypatch.setattr(type(model), "validation", once)
    outcome = fit("tiny", model, config, train, validation)
    (found,) = outcome.recoveries
    assert (found.step, found.back_to) == (10, 5)
    assert found.what == "the validation loss became inf"
    assert found.began_in == "no layer: all values were finite when the same steps were repeated"
    assert [row["step"] for row in outcome.history] == [5, 10, 12]


def test_learning_rates_are_lowered_in_every_group(case, poison, monkeypatch):
    rates = []
    usual = Stepper._phase

    def phase(self, phase, step, *rest):
        amount = usual(self, phase, step, *rest)
        rates.append(
            (step, phase.group, self._descents[phase.group].optimiser.param_groups[0]["lr"])
        )
        return amount

    monkeypatch.setattr(Stepper, "_phase", phase)
    rate = {"lr": 1e-2}
    poisoned(case, poison, "gan", 0.3, generator=rate, discriminator=rate)
    last = [(group, lr) for step, group, lr in rates if step == 11]
    assert last == [("discriminator", 2.5e-3), ("generator", 2.5e-3)]


def test_a_seed_of_several_is_named(case, poison):
    with pytest.raises(GenmintError, match=r"models\.tiny, seed 4: ") as raised:
        poisoned(case, poison, "vae", 0.0, recovery={"attempts": 0}, seeds=3, seed=4)
    assert "Lower the learning rate in models.tiny," in str(raised.value)


def test_progress_is_told_after_a_return_behind_where_this_process_began():
    stream = io.StringIO()
    with TrainingProgress("tiny", 100, "items", stream, begin=50) as progress:
        for step in (50, 41):
            progress.due(8)
            progress.show(step, 1.0)
    assert [line.split(",")[0] for line in stream.getvalue().splitlines()] == [
        "tiny: step 50/100",
        "tiny: step 41/100",
    ]
    assert "-" not in stream.getvalue()


def test_fp16_may_lose_a_step_to_its_range(case):
    """Gradients that float16 cannot hold are the scale's fault: skipped, and no recovery."""
    config, spec, train, validation = case(
        "vae", steps=60, validate_every=1, likelihood="bernoulli"
    )
    model = build(config, spec)
    with torch.no_grad():
        model.decoder[-2].weight.mul_(30)
    options = TrainingOptions(precision="fp16")
    outcome = fit("tiny", model, config, train, validation, options=options)
    assert outcome.recoveries == []
