"""GANs on MNIST, judged by their Fréchet distance; writes benchmarks/results/gan.md or gan-data.md.

    genmint add mnist-gan && dvc repro reference@mnist
    python benchmarks/gan.py time       the recipe against a plain DCGAN after five minutes each;
                                        3 ways, 3 seeds: 25 minutes on 2 cores
    python benchmarks/gan.py data       the recipe with all digits, a tenth and a hundredth, as they
                                        are and augmented; 5 ways, 3 seeds: an hour on 2 cores

As many train side by side as there are cores, a thread each. Judged are the last weights (of the
recipe, their average) by the Fréchet distance of 5,000 samples to the test digits in the features
of the data set's own CNN.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# As `python -m genmint` has it; read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import torch
from quality import loaded
from recipes import block_of
from run import processor

from genmint.common.files import write_text
from genmint.common.project import Project
from genmint.config import Augmentation, parse_model
from genmint.evaluation.extractor import load_extractor
from genmint.metrics.classes import classes
from genmint.metrics.frechet import frechet_distance
from genmint.models.shared import store
from genmint.models.shared.noise import Noise
from genmint.training.augmentation import augmented
from genmint.training.devices import keep_memory
from genmint.training.options import by_rule
from genmint.training.stepper import Stepper

_HERE = Path(__file__).parent
_NAME = "mnist-gan"
_SEEDS, _SAMPLES, _SEED = range(3), 5000, 1234
# What a DCGAN is without any remedy, in the recipe's network and precision.
PLAIN: dict[str, Any] = {
    "penalty": {"name": "none"}, "pack": 1, "minibatch_stddev": 0, "ema": 0.0,
    "spectral_norm": False, "diffaug": [], "label_smoothing": 0.0, "loss": "non-saturating",
    "discriminator_norm": "auto",
}  # fmt: skip
# Radford et al. 2016, section 4.
_PUBLISHED = {"name": "adam", "lr": 2e-4, "betas": [0.5, 0.999]}


@dataclass(frozen=True)
class Way:
    """Changes to the recipe's block, the share of training digits, and when it is judged.

    Attributes:
        changes: of keys of the block.
        share: 0…1, the first so many of the training split.
        seconds: after which the training ends; None if `steps` say it.
        steps: at which it is judged, the last of which ends it.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0
    seconds: float | None = None
    steps: tuple[int, ...] = ()


_SECONDS, _STEPS = 300.0, (3000, 6000, 9000, 12_000)
TIME = {
    "plain DCGAN, its paper's rates": Way(
        {**PLAIN, "generator": _PUBLISHED, "discriminator": _PUBLISHED}, seconds=_SECONDS
    ),
    "plain DCGAN, the recipe's rates": Way(PLAIN, seconds=_SECONDS),
    f"recipe {_NAME}": Way({}, seconds=_SECONDS),
}
DATA = {
    "all digits": Way(steps=_STEPS),
    "a tenth": Way(share=0.1, steps=_STEPS),
    "a tenth, `augment: {shift: 1}`": Way({"augment": {"shift": 1}}, share=0.1, steps=_STEPS),
    "a hundredth": Way(share=0.01, steps=_STEPS),
    "a hundredth, `diffaug: [translation]`": Way(
        {"diffaug": ["translation"]}, share=0.01, steps=_STEPS
    ),
}
AUGMENTED: tuple[dict[str, Any], ...] = (
    {}, {"shift": 1}, {"shift": 2}, {"rotate": 3}, {"rotate": 10}, {"scale": 0.05},
    {"rotate": 10, "scale": 0.1},
)  # fmt: skip


def trained(way: Way, seed: int) -> dict[str, Any]:
    """Train the recipe in this process; `frechet` at `steps`, and `classes` at the last of them."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_memory()
    project = Project.find()
    most = max(way.steps, default=10**9)
    config = parse_model({**block_of(_NAME), **way.changes, "seed": seed, "steps": most})
    spec, train, _, test = loaded(project, config)
    train = train[: round(len(train) * way.share)]
    model = store.build(config, spec).train()
    taken = by_rule(config, torch.device("cpu"))
    stepper = Stepper(model, config, train, taken.precision, channels_last=taken.channels_last)
    extractor, _ = load_extractor(project.reference(config.dataset))
    real = extractor.features(test)
    curve: dict[str, Any] = {"steps": [], "frechet": []}
    for step in _judged_at(way, stepper, config.validate_every):
        samples = stepper.judged.sample(_SAMPLES, seed=_SEED)
        curve["steps"].append(step)
        curve["frechet"].append(frechet_distance(extractor.features(samples), real))
    return {**curve, "classes": classes(extractor.probabilities(samples))}


def _judged_at(way: Way, stepper: Stepper, every: int) -> Iterator[int]:
    """Train, and stop where the weights are to be judged."""
    began, step = time.perf_counter(), 0
    while True:
        stepper.step(step)
        step += 1
        if step % every == 0:
            stepper.window.clear()
        over = way.seconds is not None and time.perf_counter() - began >= way.seconds
        if over or step in way.steps:
            yield step
        if over or step == max(way.steps, default=0):
            return


def side_by_side(ways: dict[str, Way]) -> dict[str, list[dict[str, Any]]]:
    """All ways with all seeds, each in a process and on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    jobs = [(seed, name) for seed in _SEEDS for name in ways]
    curves: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for start in range(0, len(jobs), len(cores)):
        batch = jobs[start : start + len(cores)]
        processes = [
            subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, __file__,
                 json.dumps(asdict(ways[name])), str(seed)],
                stdout=subprocess.PIPE, text=True,
            )
            for core, (seed, name) in zip(cores, batch, strict=False)
        ]  # fmt: skip
        for process, (seed, name) in zip(processes, batch, strict=True):
            output, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"{name} failed")
            curves[name].append(json.loads(output))
            print(f"seed {seed}, {name}: {output.strip()}", flush=True)
    return curves


def _over_seeds(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def page_of_time(runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The ways after equal time, a column for each seed."""
    lines = [
        "# GAN remedies on MNIST after equal time", "",
        _measured("time", f"{_SECONDS / 60:.0f} minutes"), "",
        "| | " + " | ".join(f"seed {seed}" for seed in _SEEDS) + " | mean ± s.d. | steps |",
        "|---|" + "---:|" * (len(_SEEDS) + 2),
    ]  # fmt: skip
    for name, of in runs.items():
        distances = [run["frechet"][-1] for run in of]
        lines.append(
            f"| {name} | " + " | ".join(f"{value:.3f}" for value in distances)
            + f" | {_over_seeds(distances)} | "
            f"{statistics.mean(run['steps'][-1] for run in of):,.0f} |"
        )  # fmt: skip
    return lines


def page_of_data(runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The ways as they train, mean and deviation of the seeds."""
    lines = [
        "# GAN on small subsets of MNIST", "",
        f"{_measured('data', f'{_STEPS[-1]:,} steps')} Recipe `{_NAME}`; mean ± s.d. of "
        f"{len(_SEEDS)} seeds.", "",
        "| steps | " + " | ".join(f"{step:,}" for step in _STEPS) + " |",
        "|---|" + "---:|" * len(_STEPS),
    ]  # fmt: skip
    for name, of in runs.items():
        columns = zip(*(run["frechet"] for run in of), strict=True)
        lines.append(f"| {name} | " + " | ".join(_over_seeds(list(c)) for c in columns) + " |")
    lines += [
        "", f"Effect of `augment` alone on the distance of {_SAMPLES:,} training digits:", "",
        "| augment | distance |", "|---|---:|",
        *(f"| `{change}` | {distance:.2f} |" for change, distance in moved().items()),
    ]  # fmt: skip
    return lines


def moved() -> dict[str, float]:
    """Distance of training digits to the test digits as they are, and moved by each setting."""
    project, config = Project.find(), parse_model(block_of(_NAME))
    _, train, _, test = loaded(project, config)
    extractor, _ = load_extractor(project.reference(config.dataset))
    real = extractor.features(test)
    distances = {}
    for settings in AUGMENTED:
        noise = Noise(torch.Generator().manual_seed(_SEED))
        items = augmented(train[:_SAMPLES], Augmentation(**settings), noise, sound=False)
        change = ", ".join(f"{key}: {value}" for key, value in settings.items())
        distances[f"{{{change}}}"] = frechet_distance(extractor.features(items), real)
    return distances


def _measured(comparison: str, length: str) -> str:
    return (
        f"{time.strftime('%Y-%m-%d')}, {processor()}; a core and {length} for each training. "
        f"Fréchet distance of {_SAMPLES:,} samples to the 10,000 test digits in the features of "
        f"the data set's own CNN; written by `benchmarks/gan.py {comparison}`."
    )


def main(comparison: str) -> None:
    """Train all of a comparison, and write its page."""
    ways, page, file = {
        "time": (TIME, page_of_time, "gan.md"),
        "data": (DATA, page_of_data, "gan-data.md"),
    }[comparison]
    lines = page(side_by_side(ways))
    print("\n".join(lines))
    write_text(_HERE / "results" / file, "\n".join([*lines, ""]))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(trained(Way(**json.loads(sys.argv[1])), int(sys.argv[2]))))
    elif sys.argv[1:] in (["time"], ["data"]):
        main(sys.argv[1])
    else:
        raise SystemExit(__doc__)
