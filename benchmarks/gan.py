"""The GAN recipe against a plain DCGAN on MNIST after equal time; writes benchmarks/gan.md.

    genmint add mnist-gan && dvc repro reference@mnist
    python benchmarks/gan.py            5 minutes each, 3 seeds: a quarter of an hour

The two train side by side, a core and a thread each, so that a slow minute of the machine is a slow
minute for both. Judged are the last weights (of the recipe, their average) by the Fréchet distance
of 5,000 samples to the test digits in the features of the data set's own CNN.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# As `python -m genmint` has it; read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import torch
from ruamel.yaml import YAML
from run import processor

from genmint.config import parse_model
from genmint.data import views
from genmint.data.prepared import Prepared
from genmint.files import write_text
from genmint.metrics.classes import classes
from genmint.metrics.extractor import load_extractor
from genmint.metrics.frechet import frechet_distance
from genmint.models import store
from genmint.project import Project
from genmint.training.devices import keep_memory, resolve_precision
from genmint.training.stepper import Stepper

_HERE = Path(__file__).parent
_NAME = "mnist-gan"
_RECIPE = _HERE.parent / "recipes" / f"{_NAME}.yaml"
_SECONDS, _SEEDS, _SAMPLES, _SEED = 300.0, range(3), 5000, 1234
# What a DCGAN is without any remedy, in the recipe's network, precision and rates.
PLAIN: dict[str, Any] = {
    "penalty": {"name": "none"}, "pack": 1, "minibatch_stddev": 0, "ema": 0.0,
    "spectral_norm": False, "diffaug": [], "label_smoothing": 0.0, "loss": "non-saturating",
    "discriminator_norm": "auto",
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {"plain DCGAN": PLAIN, f"recipe {_NAME}": {}}


def trained(changes: dict[str, Any], seed: int, seconds: float) -> dict[str, float]:
    """Train the recipe with changes for so long in this process, and judge it."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_memory()
    project = Project.find()
    block = YAML(typ="safe").load(_RECIPE)["models"][_NAME]
    config = parse_model({**block, **changes, "seed": seed, "steps": 10**9})
    prepared = Prepared(project.prepared(config.dataset))
    spec = prepared.spec("gan")
    model = store.build(config, spec).train()
    train, test = (views.load(prepared, split, spec) for split in ("train", "test"))
    stepper = Stepper(model, config, train, resolve_precision(config, torch.device("cpu")))
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        stepper.step(steps)
        steps += 1
        if steps % config.validate_every == 0:
            stepper.window.clear()
    extractor, _ = load_extractor(project.reference(config.dataset))
    samples = stepper.judged.sample(_SAMPLES, seed=_SEED)
    answers = extractor.probabilities(samples)
    distance = frechet_distance(extractor.features(samples), extractor.features(test))
    return {"frechet": distance, "steps": steps, "classes": float(classes(answers))}


def side_by_side(seed: int, seconds: float) -> dict[str, dict[str, float]]:
    """Both ways with one seed, each in a process and on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    processes = {
        way: subprocess.Popen(
            ["taskset", "-c", str(cores[i % len(cores)]), sys.executable, __file__,
             json.dumps(changes), str(seed), str(seconds)],
            stdout=subprocess.PIPE, text=True,
        )
        for i, (way, changes) in enumerate(WAYS.items())
    }  # fmt: skip
    found = {}
    for way, process in processes.items():
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{way} failed")
        found[way] = json.loads(said)
        print(f"seed {seed}, {way}: {said.strip()}", flush=True)
    return found


def main() -> None:
    """Train all, and write the page."""
    runs = [side_by_side(seed, _SECONDS) for seed in _SEEDS]
    lines = [
        "# GAN remedies on MNIST after equal time", "",
        f"{time.strftime('%Y-%m-%d')}, {processor()}; {_SECONDS / 60:.0f} minutes of training a "
        f"model on one core, the two of a seed side by side. Fréchet distance of {_SAMPLES:,} "
        "samples to the 10,000 test digits in the features of the data set's own CNN; written by "
        "`benchmarks/gan.py`.", "",
        "| | " + " | ".join(f"seed {seed}" for seed in _SEEDS) + " | mean ± s.d. | steps |",
        "|---|" + "---:|" * (len(_SEEDS) + 2),
    ]  # fmt: skip
    for way in WAYS:
        distances = [run[way]["frechet"] for run in runs]
        spread = statistics.stdev(distances) if len(distances) > 1 else math.nan
        lines.append(
            f"| {way} | " + " | ".join(f"{value:.3f}" for value in distances)
            + f" | {statistics.mean(distances):.3f} ± {spread:.3f} | "
            f"{statistics.mean(run[way]['steps'] for run in runs):,.0f} |"
        )  # fmt: skip
    print("\n".join(lines))
    write_text(_HERE / "gan.md", "\n".join([*lines, ""]))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(trained(json.loads(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
    else:
        main()
