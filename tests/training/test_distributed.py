"""Two gloo processes that share each batch are as one process that has it all."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from genmint.common.errors import ConfigError
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build
from genmint.training import loop
from genmint.training.distributed import Ranks
from genmint.training.loop import TrainingOptions, fit

# Adam divides by the gradient, and so makes much of a rounding where there is hardly one.
SGD = {"name": "sgd", "lr": 0.02, "momentum": 0.9}
BOTH = {"generator": SGD, "discriminator": SGD}
CASES = {
    "vae": ("vae", {"optimiser": {**SGD, "lr": 1e-3}}),
    "vae, accumulated": ("vae", {"optimiser": {**SGD, "lr": 1e-3}, "accumulate": 2, "ema": 0.8}),
    "hierarchical vae": ("vae-hierarchical", {
        "optimiser": {**SGD, "lr": 1e-3, "skip_norm": 60.0}, "conditional": True, "ema": 0.8,
    }),
    "vq-vae": ("vae-vq", {
        "optimiser": {**SGD, "lr": 1e-4}, "conditional": True, "ema": 0.8, "accumulate": 2,
    }),
    "vae with a sampler": ("vae", {
        "optimiser": {**SGD, "lr": 1e-3}, "sampler": {"name": "gmm", "components": 1},
    }),
    "gan with batch norm": ("gan", BOTH),
    "gan, accumulated": ("gan", {**BOTH, "accumulate": 2}),
    "gan, several turns": ("gan", {**BOTH, "discriminator_steps": 2}),
    "dcgan with batch norm": ("gan", {**BOTH, "network": "dcgan", "hidden": [4, 8, 8]}),
    "gan with every remedy": ("gan", {
        **BOTH, "loss": "hinge", "penalty": {"name": "r1", "weight": 0.1, "every": 2}, "pack": 2,
        "spectral_norm": True, "minibatch_stddev": 2, "diffaug": ["colour", "cutout"],
        "network": "residual", "attention": True, "hidden": [4, 8], "generator_norm": "group",
    }),
    "wgan-gp": ("gan", {
        **BOTH, "loss": "wasserstein", "penalty": {"name": "wgan-gp"}, "network": "dcgan",
        "hidden": [4, 8], "discriminator_steps": 2,
    }),
    "r3gan with every schedule": ("gan", {
        **BOTH, "network": "r3", "hidden": [4, 8], "group_width": 4, "loss": "relativistic",
        "penalty": {"name": "r1r2", "weight": 0.1, "weight_schedule": {"end": 0.01}},
        "ema_schedule": {"end": 0.8}, "ada": {"every": 2, "rise": 8, "target": 0.1},
        "conditional": True,
    }),
    "rnn of a stream with dropout": ("rnn-stream", {"optimiser": {**SGD, "clip_norm": 0.1}}),
    "rnn of a stream, accumulated": ("rnn-stream", {"optimiser": SGD, "accumulate": 2}),
    "rnn of items": ("rnn-items", {"optimiser": SGD}),
    "rnn of items with dropout": ("rnn-items", {"optimiser": SGD, "layers": 2, "dropout": 0.4,
                                                "context": 3, "accumulate": 2}),
    "rnn with every remedy": ("rnn-stream", {"optimiser": SGD, "residual": True, "ema": 0.8,
                                             "layer_norm": True, "attention": 10, "context": 3,
                                             "tie_weights": True, "variational_dropout": True,
                                             "recurrent_dropout": 0.2, "weight_noise": 0.02}),
    "conditional vae": ("vae", {"optimiser": {**SGD, "lr": 1e-3}, "conditional": True}),
    "conditional gan": ("gan", {**BOTH, "conditional": True, "spectral_norm": True}),
    "conditional rnn": ("rnn-items", {"optimiser": SGD, "conditional": True, "ema": 0.8}),
}  # fmt: skip
RESUMED = {"vae, accumulated", "hierarchical vae", "vq-vae", "conditional rnn",
           "gan with batch norm", "gan with every remedy", "r3gan with every schedule",
           "rnn of a stream with dropout", "rnn of items", "rnn with every remedy"}  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def pair(case, labels, tmp_path_factory):
    """What two processes made of each case, by its name: of the first and of the second."""
    folder = tmp_path_factory.mktemp("pair")
    cases = {**CASES, "poisoned": CASES["vae"]}
    for number, (name, (family, changes)) in enumerate(cases.items()):
        config, spec, train, validation = case(family, **changes)
        held = {
            "config": config.model_dump(mode="json"),
            "spec": spec.model_dump_json(),
            "train": train,
            "validation": validation,
            "labels": labels(config, train, validation),
            "poisoned": name == "poisoned",
            "resumed": name in RESUMED,
        }
        torch.save(held, folder / f"{number:02d}.case")
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("pair.py")), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, rank, port], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    try:
        said = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said

    def made(name, suffix=""):
        number = list(cases).index(name)
        return [torch.load(folder / f"{number:02d}.{rank}{suffix}") for rank in "01"]

    return made


def alone(case, labels, name, monkeypatch):
    monkeypatch.setattr(loop, "CHECK_EVERY", 3)
    family, changes = CASES[name]
    config, spec, train, validation = case(family, **changes)
    model = build(config, spec)
    held = labels(config, train, validation)
    outcome = fit("tiny", model, config, train, validation, labels=held)
    return model.state_dict(), outcome.history


def assert_close(found, wanted):
    torch.testing.assert_close(found[0], dict(wanted[0]), rtol=1e-4, atol=1e-5)
    assert len(found[1]) == len(wanted[1])
    for row, other in zip(found[1], wanted[1], strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_the_same_model_as_one(case, labels, pair, name, monkeypatch):
    found, other = pair(name)
    assert_close(found, alone(case, labels, name, monkeypatch))
    # All processes decide alike, to the last digit.
    torch.testing.assert_close(found[0], other[0], rtol=0, atol=0)
    assert found[1] == other[1]


@pytest.mark.parametrize("name", sorted(RESUMED))
def test_two_processes_that_were_killed_end_as_undisturbed_ones(pair, name):
    for found, again in zip(pair(name), pair(name, ".resumed"), strict=True):
        torch.testing.assert_close(again[0], found[0], rtol=0, atol=0)
        assert again[1] == found[1]


def test_a_nan_in_the_second_process_sends_both_back(pair):
    found, other = pair("poisoned")
    assert found[2] == other[2]
    (recovery,) = found[2]
    assert (recovery["step"], recovery["back_to"]) == (6, 5)
    # It is random here, so the search in the same steps does not meet it again.
    assert "no layer" in recovery["began_in"]
    assert [row["recoveries"] for row in found[1]] == [0, 1, 1]
    torch.testing.assert_close(found[0], other[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("vae", {"likelihood": "discretised-logistic", "optimiser": {**SGD, "lr": 1e-4}}),
        ("rnn-items", {"bptt": 24, "optimiser": SGD}),
    ],
)
def test_two_accumulated_batches_are_one_of_twice_the_size(case, monkeypatch, name, changes):
    """Where nothing is drawn: two draws of four are not one of eight."""
    monkeypatch.setattr(Noise, "normal", lambda self, *shape: torch.zeros(shape))
    made = []
    for sizes in ({"batch_size": 8}, {"batch_size": 4, "accumulate": 2}):
        config, spec, train, validation = case(name, **changes, **sizes)
        model = build(config, spec)
        made.append((model.state_dict(), fit("tiny", model, config, train, validation).history))
    assert_close(*made)


def test_a_batch_that_cannot_be_shared_is_refused(case):
    config, spec, train, validation = case("vae", batch_size=9)
    options = TrainingOptions(ranks=Ranks(0, 2))
    with pytest.raises(ConfigError, match="batch_size 9 cannot be shared by 2 processes"):
        fit("tiny", build(config, spec), config, train, validation, options=options)


def test_a_single_process_keeps_the_layers_of_torch(case):
    config, spec, train, validation = case("gan")
    model = build(config, spec)
    fit("tiny", model, config, train, validation)
    assert type(model.generator[1]) is nn.BatchNorm1d
