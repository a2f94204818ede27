"""A training that is killed between two steps ends as an undisturbed one, whatever it uses."""

from functools import partial

import pytest
from safetensors.torch import save

from genmint.models.shared.store import build
from genmint.training import loop
from genmint.training.checkpoints import Checkpoint
from genmint.training.loop import TrainingOptions, fit
from genmint.training.stepper import Stepper

COSINE = {"lr": 1e-2, "schedule": "cosine", "warmup": 3}
GRIDS = {"network": "conv", "hidden": [4, 8], "channels_last": True}
BETAS = {"lr": 1e-2, "betas": [0.0, 0.9], "beta2_schedule": {"end": 0.99}}
R3GAN = {
    "network": "r3", "hidden": [4, 8], "group_width": 4, "blocks": 1, "loss": "relativistic",
    "penalty": {"name": "r1r2", "weight": 0.5, "weight_schedule": {"end": 0.05, "steps": 9}},
    "generator": BETAS, "discriminator": BETAS, "ema_schedule": {"end": 0.9},
    # The probability changes every third step, between the checks and the kills.
    "ada": {"every": 3, "rise": 9, "target": 0.1},
}  # fmt: skip
CASES = {
    "vae": ("vae", {}),
    "vae with everything": ("vae", {
        "likelihood": "discretised-logistic", "accumulate": 2, "ema": 0.9, "patience": 2,
        "optimiser": {"name": "adamw", "weight_decay": 0.1, "clip_norm": 0.5, **COSINE},
    }),
    "vae with momentum": ("vae", {
        "optimiser": {"name": "sgd", "momentum": 0.9, "lr": 1e-3, "clip_norm": 1.0},
    }),
    "vae in channels last": ("vae", GRIDS),
    "vae in fp16": ("vae", {"precision": "fp16", "ema": 0.5}),
    "vae in fp16, clipped": ("vae", {"precision": "fp16", "optimiser": {
        "lr": 1e-2, "clip_norm": 1.0,
    }}),
    "vae that leaves steps out": ("vae", {"optimiser": {"lr": 1e-2, "skip_norm": 5.4}}),
    "vae in fp16 that leaves steps out": ("vae", {"precision": "fp16", "optimiser": {
        "lr": 1e-2, "skip_norm": 5.4,
    }}),
    "hierarchical vae": ("vae-hierarchical", {
        "likelihood": "discretised-logistic-mixture", "mixtures": 2, "channels_last": True,
        "ema": 0.9, "free_bits": 0.1, "kl_warmup": {"steps": 8}, "accumulate": 2,
    }),
    "conditional hierarchical vae in bf16": ("vae-hierarchical", {
        "conditional": True, "precision": "bf16", "importance_samples": 2,
        "optimiser": {"lr": 1e-2, "skip_norm": 60.0, "clip_norm": 10.0},
    }),
    "vq-vae": ("vae-vq", {"accumulate": 2, "ema": 0.9, "channels_last": True}),
    "conditional vq-vae in bf16": ("vae-vq", {"conditional": True, "precision": "bf16"}),
    "gan": ("gan", {}),
    "gan with everything": ("gan", {
        "discriminator_steps": 2, "accumulate": 2, "ema": 0.9, "loss": "minimax",
        "generator": COSINE, "discriminator": {"name": "sgd", "momentum": 0.5, "lr": 1e-2},
    }),
    "dcgan in channels last": ("gan", {**GRIDS, "network": "dcgan", "ema": 0.5}),
    "gan with every remedy": ("gan", {
        "loss": "hinge", "penalty": {"name": "r1", "every": 3}, "spectral_norm": True, "pack": 2,
        "minibatch_stddev": 4, "diffaug": ["colour", "translation", "cutout"], "ema": 0.9,
        "network": "residual", "attention": True, "hidden": [4, 8],
    }),
    "wgan-gp in bf16": ("gan", {
        "loss": "wasserstein", "penalty": {"name": "wgan-gp"}, "network": "dcgan",
        "hidden": [4, 8], "discriminator_steps": 2, "precision": "bf16",
    }),
    "gan in bf16": ("gan", {"precision": "bf16"}),
    "gan in fp16": ("gan", {"precision": "fp16"}),
    "r3gan with every schedule": ("gan", {**R3GAN, "conditional": True, "channels_last": True}),
    "r3gan in bf16, accumulated": ("gan", {
        **R3GAN, "precision": "bf16", "accumulate": 2, "discriminator_steps": 2,
    }),
    "vae with schedules": ("vae", {
        "ema": 0.5, "ema_schedule": {"end": 0.9},
        "optimiser": {"lr": 1e-3, "betas": [0.9, 0.9], "beta2_schedule": {"end": 0.99, "steps": 7}},
    }),
    "rnn of a stream": ("rnn-stream", {}),
    "rnn of a stream with everything": ("rnn-stream", {
        "cell": "tanh", "accumulate": 2, "ema": 0.9, "context": 3, "optimiser": COSINE,
    }),
    "rnn of items": ("rnn-items", {}),
    "rnn of items with everything": ("rnn-items", {
        "cell": "lstm", "layers": 2, "dropout": 0.3, "accumulate": 3, "ema": 0.5, "context": 4,
        "optimiser": COSINE,
    }),
    "rnn of items in bf16": ("rnn-items", {"precision": "bf16"}),
    "conditional vae": ("vae", {"conditional": True, "network": "conv", "hidden": [4, 8],
                                "ema": 0.9, "augment": {"shift": 1}}),
    "conditional gan": ("gan", {"conditional": True, "spectral_norm": True, "ema": 0.9,
                                "penalty": {"name": "r1", "every": 3}, "minibatch_stddev": 4}),
    "conditional rnn": ("rnn-items", {"conditional": True, "accumulate": 2, "ema": 0.5}),
}  # fmt: skip


class Killed(BaseException):
    """In the place of SIGKILL: nothing may catch it."""


class Mortal(Checkpoint):
    """A checkpoint whose process dies once it has been saved so many times."""

    def __init__(self, folder, lives):
        super().__init__(folder, {"is": "the same"})
        self.left = lives

    def save(self, state):
        super().save(state)
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    monkeypatch.setenv("GENMINT_CHECKPOINT_SECONDS", "0")


@pytest.fixture
def ended(case, labels):
    return partial(end, case, labels)


def end(case, labels, name, changes, checkpoint=None, reporter=None):
    config, spec, train, validation = case(name, **changes)
    model = build(config, spec)
    precision = "fp32" if config.precision == "auto" else config.precision
    outcome = fit(
        "tiny",
        model,
        config,
        train,
        validation,
        labels=labels(config, train, validation),
        options=TrainingOptions(precision=precision, checkpoint=checkpoint, reporter=reporter),
    )
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    return save(weights), outcome.history, outcome.best_step, outcome.steps


@pytest.mark.parametrize("name", CASES)
def test_a_training_run_killed_after_every_step_ends_as_an_undisturbed_one(
    ended, tmp_path, name, monkeypatch
):
    monkeypatch.setattr(loop, "CHECK_EVERY", 3)
    family, changes = CASES[name]
    wanted = ended(family, changes)
    # Once more than there are steps: what is finished is saved, too.
    for _ in range(wanted[3] + 1):
        with pytest.raises(Killed):
            ended(family, changes, Mortal(tmp_path, lives=1))
    assert ended(family, changes, Mortal(tmp_path, lives=0)) == wanted


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_case_that_leaves_steps_out_does_so_and_counts_them(ended, precision):
    _, history, _, steps = ended(
        "vae", {"precision": precision, "optimiser": {"lr": 1e-2, "skip_norm": 5.4}}
    )
    counts = [row["skipped"] for row in history]
    assert 0 < sum(counts) < steps


def test_the_norms_of_a_step_that_float16_lost_are_those_before_also_after_a_kill(
    ended, tmp_path, monkeypatch
):
    usual = Stepper.step

    def step(self, number, **arguments):
        self.factor = 1e30 if number == 9 else 1.0
        return usual(self, number, **arguments)

    def loss(self, group, batch):
        value, scalars = usual_loss(self, group, batch)
        return value * self.factor, scalars

    usual_loss = Stepper._loss
    monkeypatch.setattr(Stepper, "step", step)
    monkeypatch.setattr(Stepper, "_loss", loss)
    wanted = ended("vae", {"precision": "fp16"})
    at_5, at_10 = ([v for k, v in row.items() if "norm" in k] for row in wanted[1][:2])
    assert at_5 == at_10
    for life in (7, 9):
        with pytest.raises(Killed):
            ended("vae", {"precision": "fp16"}, Mortal(tmp_path / str(life), lives=life))
        killed = ended("vae", {"precision": "fp16"}, Mortal(tmp_path / str(life), lives=0))
        assert killed == wanted


def test_the_tracker_hears_again_of_what_it_may_have_missed(ended, tmp_path):
    heard = []

    class Reporter:
        def metrics(self, step, values):
            heard.append(step)

    with pytest.raises(Killed):
        ended("vae", {}, Mortal(tmp_path, lives=11))
    ended("vae", {}, Mortal(tmp_path, lives=0), Reporter())
    assert heard == [5, 10, 12]


def test_a_checkpoint_holds_the_best_weights_once(ended, tmp_path):
    with pytest.raises(Killed):
        ended("vae", {}, Mortal(tmp_path, lives=7))
    held = Checkpoint(tmp_path, {"is": "the same"}).load()
    now, good = (held[state]["training"]["best"] for state in ("now", "good"))
    assert now.keys() == good.keys() != {}.keys()
    assert [v.data_ptr() for v in now.values()] == [v.data_ptr() for v in good.values()]


def test_early_stopping_counts_on_after_a_kill(ended, tmp_path):
    changes = {"steps": 60, "validate_every": 2, "patience": 3, "optimiser": {"lr": 0.5}}
    wanted = ended("vae", changes)
    assert wanted[3] < 60
    with pytest.raises(Killed):
        ended("vae", changes, Mortal(tmp_path, lives=wanted[3] - 1))
    assert ended("vae", changes, Mortal(tmp_path, lives=0)) == wanted
