"""How good models are after equal time or equal epochs; writes benchmarks/results/quality.md.

    python benchmarks/quality.py precision   fp32 and bf16 over 5 seeds each, some 20 minutes
    python benchmarks/quality.py mnist       5 minutes of ours, 5 of pythae's, by the python of
                                             .venv-bench (`make .venv-bench/.installed`)
    python benchmarks/quality.py text        5 minutes on tiny-shakespeare

It needs the prepared data of the recipes, and an idle machine wherever minutes are compared:

    genmint add mnist-vae && genmint add tiny-shakespeare
    dvc repro prepare@mnist prepare@tiny-shakespeare
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from genmint.common.fast_defaults import FAST_DEFAULTS

# As `python -m genmint` has it; before torch is imported.
os.environ.update({**FAST_DEFAULTS, **os.environ})

import torch
from run import processor
from torch import Tensor, nn

from genmint.common.files import write_text
from genmint.common.project import Project
from genmint.config import ModelConfig, load_params, parse_model
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.models.vae.model import VAE
from genmint.training.devices import keep_memory, resolve_compile, resolve_precision, share_cores
from genmint.training.loop import TrainingOptions, fit
from genmint.training.stepper import Stepper

_HERE = Path(__file__).parent
_PAGE = _HERE / "results" / "quality.md"
_CPU = torch.device("cpu")
_SECONDS = 300.0
_SEEDS = range(5)
# What is spent on finding out how many steps fit into the time.
_PROBE = 10.0
_DIGITS, _DRAWS, _SEED = 1000, 100, 1234

_DCGAN = {"name": "adam", "lr": 2e-4, "betas": [0.5, 0.999]}
# Small enough for ten trainings each, long enough to be past the first rough shape.
PRECISION: dict[str, dict[str, Any]] = {
    "vae": {
        "family": "vae", "dataset": "mnist", "hidden": [512], "latent": 16, "steps": 3000,
        "batch_size": 128, "optimiser": {"name": "adam", "lr": 1e-3},
    },
    "residual-vae": {
        "family": "vae", "dataset": "mnist", "network": "residual", "hidden": [32, 64],
        "latent": 16, "steps": 900, "batch_size": 64, "channels_last": True,
        "optimiser": {"name": "adam", "lr": 1e-3},
    },
    "dcgan": {
        "family": "gan", "dataset": "mnist", "network": "dcgan", "hidden": [64, 128],
        "latent": 64, "steps": 450, "batch_size": 64, "channels_last": True,
        "generator": _DCGAN, "discriminator": _DCGAN,
    },
    "lstm": {
        "family": "rnn", "dataset": "tiny-shakespeare", "hidden": 256, "layers": 2,
        "embedding": 64, "bptt": 64, "steps": 232, "batch_size": 64,
        "optimiser": {"name": "adam", "lr": 1e-3, "clip_norm": 1.0},
    },
}  # fmt: skip


def loaded(project: Project, config: ModelConfig) -> tuple[DataSpec, Tensor, Tensor, Tensor]:
    """Specification, training, validation and test split of a model's data."""
    prepared = Prepared(project.prepared(config.dataset))
    spec = prepared.spec(config.view)
    train, validation, test = (
        tensors.load(prepared, split, spec) for split in ("train", "validation", "test")
    )
    return spec, train, validation, test


def precision(project: Project) -> list[str]:
    """Whether bf16 costs quality: best validation loss after equal epochs, five seeds each."""
    lines = [
        "## bf16 against fp32 after equal epochs", "",
        "Best validation loss, mean ± standard deviation over 5 seeds (nats an image, sliced "
        "Wasserstein distance, nats a character); `difference` in standard errors.", "",
        "| | fp32 | bf16 | difference |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    for name, block in PRECISION.items():
        by_precision: dict[str, list[float]] = {"fp32": [], "bf16": []}
        for seed in _SEEDS:
            config = parse_model({**block, "validate_every": block["steps"] // 3, "seed": seed})
            spec, train, validation, _ = loaded(project, config)
            for kind, losses in by_precision.items():
                model = store.build(config, spec)
                options = TrainingOptions(precision=kind)
                outcome = fit(name, model, config, train, validation, options=options)
                losses.append(outcome.best_loss)
        (a, sa), (b, sb) = (
            (statistics.mean(v), statistics.stdev(v)) for v in by_precision.values()
        )
        errors = (b - a) / math.sqrt((sa**2 + sb**2) / len(_SEEDS))
        lines.append(f"| {name} | {a:.4g} ± {sa:.2g} | {b:.4g} ± {sb:.2g} | {errors:+.1f} |")
        print(lines[-1], flush=True)
    return [*lines, ""]


def mnist(project: Project) -> list[str]:
    """Ours and pythae's VAE of the same network after five minutes each."""
    config = load_params(project.params).models["mnist-vae"]
    spec, train, validation, test = loaded(project, config)
    model, seconds, steps = timed(config, spec, train, validation)
    assert isinstance(model, VAE)
    ours = judged(model, test)
    theirs, epochs, their_seconds = pythae(config, spec, train)
    return [
        "## MNIST after five minutes", "",
        f"Importance-weighted bound (k = {_DRAWS}) on the first {_DIGITS:,} test digits, "
        "binarised once by seed, both by the same estimate.", "",
        "| | bound, nats | test ELBO, nats | trained |", "|---|---:|---:|---|",
        f"| genmint, recipe `mnist-vae` | {ours[0]:.2f} | {ours[1]:.2f} | {steps:,} steps in "
        f"{seconds:.0f} s |",
        f"| pythae 0.1.2, its trainer, the same network, BCE | {theirs[0]:.2f} | {theirs[1]:.2f} | "
        f"{epochs} epochs in {their_seconds:.0f} s |", "",
    ]  # fmt: skip


def text(project: Project) -> list[str]:
    """The recipe on tiny-shakespeare after five minutes."""
    config = load_params(project.params).models["tiny-shakespeare"]
    spec, train, validation, test = loaded(project, config)
    model, seconds, steps = timed(config, spec, train, validation)
    nats = float(model.nats(test).mean())  # type: ignore[operator]
    return [
        "## tiny-shakespeare after five minutes", "",
        f"{nats:.4f} nats ({nats / math.log(2):.3f} bits) a character over the whole last 10 %, "
        f"recipe `tiny-shakespeare`, {steps:,} steps in {seconds:.0f} s.", "",
    ]  # fmt: skip


def timed(
    config: ModelConfig, spec: DataSpec, train: Tensor, validation: Tensor
) -> tuple[nn.Module, float, int]:
    """A model trained for as many steps as fit into the time; the seconds and steps it took."""
    kind, compiled = resolve_precision(config, _CPU), resolve_compile(config, _CPU)
    torch.set_flush_denormal(True)
    keep_memory()
    stepper = Stepper(store.build(config, spec).train(), config, train, kind, compiled=compiled)
    for _ in range(20):
        stepper.step(0)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < _PROBE:
        stepper.step(0)
        done += 1
        stepper.window.clear()
    rate = done / (time.perf_counter() - began)
    # Validations and checks take their share.
    steps = int(rate * _SECONDS * 0.96)
    config = config.model_copy(update={"steps": steps, "validate_every": steps // 10})
    model = store.build(config, spec)
    began = time.perf_counter()
    options = TrainingOptions(precision=kind, compiled=compiled)
    fit("timed", model, config, train, validation, options=options)
    return model, time.perf_counter() - began, steps


def judged(model: VAE, test: Tensor) -> tuple[float, float]:
    """The importance-weighted bound on the first digits, and the ELBO on all."""
    bound = model.importance_weighted(test[:_DIGITS], k=_DRAWS, seed=_SEED)
    return float(bound.mean()), float(model.elbo(test, seed=_SEED)["elbo"].mean())


def pythae(
    config: ModelConfig, spec: DataSpec, train: Tensor
) -> tuple[tuple[float, float], int, float]:
    """Pythae's VAE and BaseTrainer on the same network, an epoch at a time until time is up."""
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    ours = store.build(config, spec)
    assert isinstance(ours, VAE)
    model = pythae_model(config, spec, ours)
    images = train.float() / 255
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        how = BaseTrainerConfig(
            output_dir=folder, num_epochs=1, per_device_train_batch_size=config.batch_size,
            learning_rate=1e-3,
        )  # fmt: skip
        trainer = BaseTrainer(
            model, BaseDataset(images, torch.ones(len(images))), training_config=how
        )
        with contextlib.redirect_stderr(io.StringIO()):
            trainer.prepare_training()
            began, epochs = time.perf_counter(), 0
            while time.perf_counter() - began < _SECONDS:
                epochs += 1
                trainer.train_step(epochs)
        seconds = time.perf_counter() - began
    _, _, _, test = loaded(Project.find(), config)
    return judged(ours.eval(), test), epochs, seconds


def pythae_model(config: ModelConfig, spec: DataSpec, ours: VAE) -> Any:
    """Pythae's VAE that shares encoder and decoder with ours."""
    from pythae import models
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class PythaeEncoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = ours.encoder

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.network(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class PythaeDecoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = ours.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    settings = models.VAEConfig(
        input_dim=spec.shape, latent_dim=config.latent, reconstruction_loss="bce"
    )
    return models.VAE(settings, encoder=PythaeEncoder(), decoder=PythaeDecoder())


PARTS = {"precision": precision, "mnist": mnist, "text": text}


def main(names: list[str]) -> None:
    """Measure the parts that are asked for, and put them in their places on the page."""
    threads = share_cores()
    project = Project.find()
    rows = {}
    if _PAGE.exists():
        for section in _PAGE.read_text().split("\n## ")[1:]:
            rows[section.splitlines()[0]] = section
    for name in names or list(PARTS):
        lines = PARTS[name](project)
        print("\n".join(lines), flush=True)
        lines.insert(
            2, f"Measured {time.strftime('%Y-%m-%d')} on {processor()}, {threads} threads.\n"
        )
        section = "\n".join(lines).removeprefix("## ")
        rows[section.splitlines()[0]] = section
    page = "# Quality\n\nWritten by `benchmarks/quality.py`.\n\n## " + "\n## ".join(
        section.rstrip() + "\n" for section in rows.values()
    )
    write_text(_PAGE, page)


if __name__ == "__main__":
    main(sys.argv[1:])
