"""Variation between training runs of one model entry that differ by seed alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from genmint.common.console import table_console
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import read_json, scratch_dir, sha256_file, sha256_json, write_json
from genmint.common.project import Project
from genmint.config import ModelConfig, Params
from genmint.data.prepared import Prepared
from genmint.decision.comparison import FEWEST_TRAININGS, Spread, block_hash
from genmint.decision.intervals import seed_margin
from genmint.evaluation.reference import REFERENCE
from genmint.evaluation.score import score
from genmint.models.shared import store
from genmint.stages.train import train_apart
from genmint.training.checkpoints import source_hash


@dataclass(frozen=True)
class Measured:
    """One training run: its values by metric, and the protocol they were measured under."""

    values: dict[str, float]
    protocol: dict[str, Any]


def measure_spread(project: Project, params: Params, name: str, trainings: int) -> Spread:
    """Train models.NAME with several seeds, and write and show results/seed_spread/NAME.json.

    The result of each training run is kept under `.genmint/spread` until the file is written. An
    interrupted command resumes after the last finished training run.

    Args:
        project: project with the prepared data and the reference of the model's data set.
        params: settings with the model entry.
        name: name of the model entry.
        trainings: number of training runs, 5 or more.

    Raises:
        ConfigError: too few training runs.
        GenmintError: a training run failed, or data or reference are missing.
        Interrupted: the process was asked to stop.
    """
    if trainings < FEWEST_TRAININGS:
        raise ConfigError(f"--trainings {trainings}: {FEWEST_TRAININGS} or more")
    config = params.models[name]
    kept = _kept(project, name, config)
    # A model entry that keeps the best of several seeds needs that many seeds per training run.
    seeds = range(config.seed, config.seed + trainings * config.seeds, config.seeds)
    measured = []
    for number, seed in enumerate(seeds, start=1):
        path = kept / f"{seed}.json"
        if not path.is_file():
            print(f"{name}: training run {number} of {trainings}, seed {seed}")  # noqa: T201
            scores = measure_seed(project, name, config.model_copy(update={"seed": seed}))
            write_json(path, {"values": scores.values, "protocol": scores.protocol})
        measured.append(Measured(**read_json(path)))
    spread = _spread(name, config, tuple(seeds), measured)
    write_json(project.spread(name), spread.model_dump(mode="json"))
    for seed in seeds:
        (kept / f"{seed}.json").unlink()
    kept.rmdir()
    confidence = params.gates[name].champion.confidence if name in params.gates else 0.95
    _show(spread, confidence)
    print(f"wrote {project.spread(name)}; commit it")  # noqa: T201
    return spread


def measure_seed(project: Project, name: str, config: ModelConfig) -> Measured:
    """Train a model entry in a folder of its own, and score it as the evaluate stage would.

    A sample-based metric is the mean over the protocol's sets, as in comparisons of champions.
    """
    with scratch_dir() as scratch:
        folder = scratch / name
        train_apart(project, name, config, folder)
        model, record = store.load(folder)
        prepared = Prepared(project.prepared(config.dataset))
        scored = score(model, record, prepared, project.reference(config.dataset))
    values = {key: value for key, value in scored.metrics.items() if not key.endswith("_stderr")}
    values |= {key: fmean(sets) for key, sets in scored.resamples.items()}
    return Measured(values, scored.protocol)


def _kept(project: Project, name: str, config: ModelConfig) -> Path:
    """Return the folder of results for exactly this model entry, data, reference and code."""
    reference = project.reference(config.dataset) / REFERENCE
    if not reference.is_file():
        raise GenmintError(
            f"{reference}: no such file. Run `dvc repro reference@{config.dataset}`."
        )
    about = {
        "block": block_hash(config),
        "prepared": Prepared(project.prepared(config.dataset)).sha256,
        "reference": sha256_file(reference),
        "code": source_hash(),
    }
    folder = project.state / "spread" / name / sha256_json(about)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _spread(
    name: str, config: ModelConfig, seeds: tuple[int, ...], measured: list[Measured]
) -> Spread:
    values = {
        metric: tuple(one.values[metric] for one in measured) for metric in measured[0].values
    }
    return Spread(
        model=name,
        block=block_hash(config),
        seeds=seeds,
        protocol=measured[0].protocol,
        values=values,
        standard_deviation={metric: stdev(column) for metric, column in values.items()},
    )


def _show(spread: Spread, confidence: float) -> None:
    table = Table(
        "metric",
        "mean",
        "standard deviation",
        f"margin at {confidence:.0%}",
        title=f"{spread.model}: {len(spread.seeds)} training runs",
        box=SIMPLE,
    )
    for metric, values in spread.values.items():
        deviation = spread.standard_deviation[metric]
        margin = seed_margin(deviation, len(spread.seeds), confidence)
        table.add_row(metric, f"{fmean(values):.5g}", f"{deviation:.3g}", f"{margin:.3g}")
    table_console().print(table)
