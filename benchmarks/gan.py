"""The GAN recipe against a plain DCGAN on MNIST after equal time; writes benchmarks/gan.md.

    genmint add mnist-gan && dvc repro reference@mnist
    python benchmarks/gan.py            5 minutes each, 3 ways, 3 seeds: 25 minutes on 2 cores

As many train side by side as there are cores, a thread each. Judged are the last weights (of the
recipe, their average) by the Fréchet distance of 5,000 samples to the test digits in the features
of the data set's own CNN.
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
from quality import loaded
from recipes import block_of
from run import processor

from genmint.config import parse_model
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
_SECONDS, _SEEDS, _SAMPLES, _SEED = 300.0, range(3), 5000, 1234
# What a DCGAN is without any remedy, in the recipe's network and precision.
PLAIN: dict[str, Any] = {
    "penalty": {"name": "none"}, "pack": 1, "minibatch_stddev": 0, "ema": 0.0,
    "spectral_norm": False, "diffaug": [], "label_smoothing": 0.0, "loss": "non-saturating",
    "discriminator_norm": "auto",
}  # fmt: skip
# Radford et al. 2016, section 4.
_PUBLISHED = {"name": "adam", "lr": 2e-4, "betas": [0.5, 0.999]}
WAYS: dict[str, dict[str, Any]] = {
    "plain DCGAN, its paper's rates": {
        **PLAIN, "generator": _PUBLISHED, "discriminator": _PUBLISHED
    },
    "plain DCGAN, the recipe's rates": PLAIN,
    f"recipe {_NAME}": {},
}  # fmt: skip


def trained(changes: dict[str, Any], seed: int, seconds: float) -> dict[str, float]:
    """Train the recipe with changes for so long in this process, and judge it."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_memory()
    project = Project.find()
    config = parse_model({**block_of(_NAME), **changes, "seed": seed, "steps": 10**9})
    spec, train, _, test = loaded(project, config)
    model = store.build(config, spec).train()
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


def side_by_side(seconds: float) -> dict[str, list[dict[str, float]]]:
    """All ways with all seeds, each in a process and on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    jobs = [(seed, way) for seed in _SEEDS for way in WAYS]
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for start in range(0, len(jobs), len(cores)):
        batch = jobs[start : start + len(cores)]
        processes = [
            subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, __file__,
                 json.dumps(WAYS[way]), str(seed), str(seconds)],
                stdout=subprocess.PIPE, text=True,
            )
            for core, (seed, way) in zip(cores, batch, strict=False)
        ]  # fmt: skip
        for process, (seed, way) in zip(processes, batch, strict=True):
            said, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"{way} failed")
            found[way].append(json.loads(said))
            print(f"seed {seed}, {way}: {said.strip()}", flush=True)
    return found


def main() -> None:
    """Train all, and write the page."""
    runs = side_by_side(_SECONDS)
    lines = [
        "# GAN remedies on MNIST after equal time", "",
        f"{time.strftime('%Y-%m-%d')}, {processor()}; {_SECONDS / 60:.0f} minutes of training a "
        f"model on a core of its own. Fréchet distance of {_SAMPLES:,} "
        "samples to the 10,000 test digits in the features of the data set's own CNN; written by "
        "`benchmarks/gan.py`.", "",
        "| | " + " | ".join(f"seed {seed}" for seed in _SEEDS) + " | mean ± s.d. | steps |",
        "|---|" + "---:|" * (len(_SEEDS) + 2),
    ]  # fmt: skip
    for way in WAYS:
        distances = [run["frechet"] for run in runs[way]]
        spread = statistics.stdev(distances) if len(distances) > 1 else math.nan
        lines.append(
            f"| {way} | " + " | ".join(f"{value:.3f}" for value in distances)
            + f" | {statistics.mean(distances):.3f} ± {spread:.3f} | "
            f"{statistics.mean(run['steps'] for run in runs[way]):,.0f} |"
        )  # fmt: skip
    print("\n".join(lines))
    write_text(_HERE / "gan.md", "\n".join([*lines, ""]))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(trained(json.loads(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
    else:
        main()
