"""Train recipes for as long as it takes, and measure them as papers do: docs/results.md.

    genmint add mnist-vae && dvc repro reference@mnist
    genmint add stacked-mnist && dvc repro reference@stacked-mnist
    genmint add tiny-shakespeare-large && dvc repro prepare@tiny-shakespeare
    python benchmarks/recipes.py mnist-iwae              one of CASES, or several
    python benchmarks/recipes.py                         what was reached so far, and its figure

A VAE is judged by its importance-weighted bound with k = 5000 on all test digits, a GAN by its
Fréchet distance to them and, on stacked MNIST, by the modes that 26,000 samples reach, a text by
the nats a character of its whole last 10 %. Each case leaves
`benchmarks/results/recipes/CASE.json`, with its curve, and its weights beside
it (not committed); docs/images/results-curves.png is of all.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As `python -m genmint` has it; read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

import torch
from quality import loaded
from ruamel.yaml import YAML
from run import processor
from safetensors.torch import save_model

from genmint.common.files import write_text
from genmint.common.project import Project
from genmint.config import parse_model
from genmint.data.prepared import Prepared
from genmint.evaluation.extractor import load_extractor
from genmint.metrics.classes import class_kl, classes, confident
from genmint.metrics.frechet import frechet_distance
from genmint.models.gan.model import GAN
from genmint.models.shared import store
from genmint.models.vae.model import VAE
from genmint.training.devices import choose_device, share_cores
from genmint.training.loop import TrainingOptions, fit
from genmint.training.options import by_rule

_HERE = Path(__file__).parent
_FOLDER = _HERE / "results" / "recipes"
_RECIPES = _HERE.parent / "config" / "recipes"
_FIGURE = _HERE.parent / "docs" / "images" / "results-curves.png"
# Burda et al. 2016 estimate log p(x) so; 26,000 samples as in PacGAN, of which distances see 5,000.
_DRAWS, _MODES, _SAMPLES, _SEED = 5000, 26_000, 5000, 1234
_AUGMENT = {"rotate": 10.0, "scale": 0.1}
_SHORT = {"steps": 15_000, "validate_every": 750}


@dataclass(frozen=True)
class Case:
    """A recipe's model, changes to its block, and the share of the training split it sees."""

    recipe: str
    changes: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0


CASES: dict[str, Case] = {
    "mnist-vae": Case("mnist-vae"),
    "mnist-vae-residual": Case("mnist-vae-residual"),
    "mnist-iwae": Case("mnist-iwae"),
    "mnist-iwae-standard-prior": Case("mnist-iwae", {"prior": "standard"}),
    "mnist-iwae-two-levels": Case(
        "mnist-iwae",
        {"prior": "standard", "second_level": {"latent": 20, "hidden": [200, 200]}},
    ),
    "mnist-gan": Case("mnist-gan"),
    "stacked-mnist": Case("stacked-mnist"),
    "tiny-shakespeare-large": Case("tiny-shakespeare-large"),
    "mnist-vae-short": Case("mnist-vae", _SHORT),
    "mnist-vae-tenth": Case("mnist-vae", _SHORT, share=0.1),
    "mnist-vae-tenth-augmented": Case("mnist-vae", {**_SHORT, "augment": _AUGMENT}, share=0.1),
    "mnist-gan-tenth": Case("mnist-gan", share=0.1),
    "mnist-gan-tenth-augmented": Case("mnist-gan", {"augment": _AUGMENT}, share=0.1),
    "mnist-gan-tenth-diffaug": Case("mnist-gan", {"diffaug": ["translation"]}, share=0.1),
}


def block_of(recipe: str) -> dict[str, Any]:
    """The model of a recipe as it is shipped, whatever params.yaml says."""
    block: dict[str, Any] = YAML(typ="safe").load(_RECIPES / f"{recipe}.yaml")["models"][recipe]
    return block


def measure(name: str, case: Case) -> dict[str, Any]:
    """Train a case from nothing, judge it, and keep what it reached."""
    config = parse_model({**block_of(case.recipe), **case.changes})
    project, device = Project.find(), choose_device()
    spec, train, validation, test = loaded(project, config)
    train = train[: round(len(train) * case.share)]
    taken = by_rule(config, device)
    model = store.build(config, spec).to(device)
    options = TrainingOptions(
        precision=taken.precision, compiled=taken.compile, channels_last=taken.channels_last
    )
    outcome = fit(name, model, config, train, validation, options=options)
    torch.set_grad_enabled(False)
    began = time.perf_counter()
    if isinstance(model, VAE):
        figures = of_vae(model, test)
    elif isinstance(model, GAN):
        figures = of_gan(model, project, test)
    else:
        figures = {"nats": float(model.nats(test).mean())}  # type: ignore[operator]
    _FOLDER.mkdir(exist_ok=True)
    save_model(model, _FOLDER / f"{name}.safetensors")
    on_gpu = device.type == "cuda"
    return {
        "case": name,
        "recipe": case.recipe,
        "changes": case.changes,
        "training_items": len(train),
        "device": torch.cuda.get_device_name() if on_gpu else processor(),
        "threads": torch.get_num_threads(),
        "precision": taken.precision,
        "compiled": taken.compile,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "best_step": outcome.best_step,
        "figures": figures,
        "judged_in": round(time.perf_counter() - began, 1),
        "curve": [[row["step"], row["validation_loss"]] for row in outcome.history],
    }


def of_vae(model: VAE, test: torch.Tensor) -> dict[str, float]:
    """Bounds on all test items in nats, binarised once by seed; active latents."""
    model.eval()
    return {
        "draws": _DRAWS,
        "importance_weighted_bound": float(
            model.importance_weighted(test, k=_DRAWS, seed=_SEED).mean()
        ),
        "elbo": float(model.elbo(test, seed=_SEED)["elbo"].mean()),
        "active_units": model.active_units(test),
    }


def of_gan(model: GAN, project: Project, test: torch.Tensor) -> dict[str, float]:
    """Distance to the test items, modes reached, and how sure the data set's own CNN is."""
    dataset = model.config.dataset
    extractor, info = load_extractor(project.reference(dataset))
    samples = model.sample(_MODES, seed=_SEED)
    answers = extractor.probabilities(samples)
    some = samples[:_SAMPLES]
    known = Prepared(project.prepared(dataset)).labels("train")
    assert known is not None
    return {
        "frechet": frechet_distance(
            extractor.features(some), extractor.features(test[: 2 * _SAMPLES])
        ),
        "classes": classes(answers),
        "of_classes": answers.shape[1],
        "class_kl": class_kl(answers, known)[0],
        "confident": confident(answers)[0],
        "extractor_accuracy": info.accuracy,
    }


def main(names: list[str]) -> None:
    """Measure the cases that are asked for, or say what was reached."""
    share_cores()
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise SystemExit(f"{', '.join(unknown)}: no such case; there are {', '.join(CASES)}")
    for name in names:
        measured = measure(name, CASES[name])
        write_text(_FOLDER / f"{name}.json", json.dumps(measured, indent=1) + "\n")
        print(name, json.dumps({k: v for k, v in measured.items() if k != "curve"}), flush=True)
    if not names:
        reached = {
            name: json.loads(file.read_text())
            for name in CASES
            if (file := _FOLDER / f"{name}.json").exists()
        }
        for name in CASES:
            print(f"{name}: {reached[name]['figures'] if name in reached else 'not measured'}")
        plot_losses(reached)


def plot_losses(reached: dict[str, dict[str, Any]]) -> None:
    """Validation losses over the training, VAEs apart from GANs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    canvas, (vaes, gans) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, run in reached.items():
        steps, losses = zip(*run["curve"], strict=True)
        if "nats" in run["figures"]:
            continue
        axes = gans if "frechet" in run["figures"] else vaes
        of_all = run["training_items"] > 10_000
        axes.plot(
            [step / run["steps"] for step in steps], losses, label=name,
            linestyle="-" if of_all else "--",
        )  # fmt: skip
    for axes in (vaes, gans):
        axes.set_xlabel("share of the training")
        axes.legend(fontsize=8, frameon=False)
        axes.grid(alpha=0.3)
    vaes.set(ylabel="validation, negative of the bound trained for, nats", ylim=(80, 110))
    gans.set(ylabel="validation, sliced Wasserstein distance", yscale="log")
    canvas.savefig(_FIGURE, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1:])
