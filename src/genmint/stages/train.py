"""Stage train: from prepared data to weights, configuration and history, with an MLflow run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genmint import tracking
from genmint.common.errors import ConfigError, DataError, GenmintError
from genmint.common.files import atomic_dir, sha256_json, write_json
from genmint.common.layout import CONFIG, HEALTH, HISTORY, META
from genmint.common.project import Project
from genmint.config import ModelConfig, Params
from genmint.data import agreement
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.models.shared.record import ModelRecord
from genmint.tracking.reporter import RunReporter
from genmint.training.checkpoints import Checkpoint, source_hash, unfinished
from genmint.training.device_lock import lock_devices
from genmint.training.devices import choose_device, share_cores
from genmint.training.distributed import Ranks, join, leave
from genmint.training.fastest import Bench, fastest
from genmint.training.hardware import describe_device, unused_gpu
from genmint.training.history import write_history
from genmint.training.launch import end_with_first, end_with_parent, first_of, process_count, speaks
from genmint.training.loop import TrainingOptions, fit
from genmint.training.options import SpeedOptions
from genmint.training.seeds import Trained, best_of, loss_deviation
from genmint.training.speed_records import speed_folder


@dataclass(frozen=True)
class _Job:
    """Settings that all seeds of one training run share.

    Attributes:
        folder: target folder of the model.
        reports: whether its runs are reported to MLflow.
    """

    project: Project
    name: str
    config: ModelConfig
    prepared: Prepared
    spec: DataSpec
    resolved: dict[str, str]
    device: torch.device
    ranks: Ranks
    folder: Path
    reports: bool


def run(project: Project, params: Params, name: str) -> None:
    """Train models.NAME and write models/NAME, atomically.

    Raises:
        ConfigError: the entry is missing or does not fit the data.
        DataError: the prepared data are missing, changed, not of the entry's data set, or made
            with other settings than it has now.
        GenmintError: the training run failed.
        Interrupted: the process was asked to stop; the same command resumes.
    """
    if name not in params.models:
        raise ConfigError(f"{project.params}: models has no entry {name!r}")
    end_with_parent()
    try:
        dataset = params.models[name].dataset
        agreement.check_prepared(
            Prepared(project.prepared(dataset)), dataset, params.datasets[dataset]
        )
        with first_of(process_count(), ["-m", "genmint", "train", name]):
            _run_as_one(project, name, params.models[name], project.model(name), reports=True)
    except (GenmintError, KeyboardInterrupt):
        if speaks():
            raise
        # The first process gets the same error and reports it.
        sys.exit(0)
    except RuntimeError:
        end_with_first()
        raise


def train_apart(project: Project, name: str, config: ModelConfig, folder: Path) -> None:
    """Train a model entry into `folder` in this process.

    No run is reported, and models/NAME is not changed.

    Raises:
        DataError: the prepared data are missing, changed, or not of the entry's data set.
        GenmintError: the training run failed.
        Interrupted: the process was asked to stop; the same call resumes.
    """
    _run_as_one(project, name, config, folder, reports=False)


def _run_as_one(
    project: Project, name: str, config: ModelConfig, folder: Path, *, reports: bool
) -> None:
    """Run the part of one process in a training run."""
    prepared = Prepared(project.prepared(config.dataset))
    if prepared.meta.dataset != config.dataset:
        raise DataError(
            f"{prepared.path / META}: belongs to {prepared.meta.dataset!r}. "
            f"Run `dvc repro -f prepare@{config.dataset}`."
        )
    prepared.check()
    share_cores()
    device = choose_device()
    if speaks():
        _say_device(name, device)
    with lock_devices(device, name):
        ranks = join(device)
        try:
            spec = prepared.spec(config.view)
            options = _options(project, name, config, prepared, spec, device, ranks)
            resolved = {
                "precision": options.precision,
                "compile": "yes" if options.compile else "no",
                "channels_last": "yes" if options.channels_last else "no",
                "device": device.type,
                "processes": str(ranks.world),
            }
            _train(
                _Job(
                    project, name, config, prepared, spec, resolved, device, ranks, folder, reports
                )
            )
        finally:
            leave(ranks)


def _options(
    project: Project,
    name: str,
    config: ModelConfig,
    prepared: Prepared,
    spec: DataSpec,
    device: torch.device,
    ranks: Ranks,
) -> SpeedOptions:
    """The settings that `auto` takes; the first process measures them, if it is worthwhile."""
    chosen: SpeedOptions | GenmintError | None = None
    if ranks.leads:
        share = {"batch_size": max(1, config.batch_size // ranks.world)}
        bench = Bench(
            config.model_copy(update=share),
            spec,
            device,
            train=lambda: tensors.load(prepared, "train", spec),
            labels=lambda: tensors.labels_for(config, prepared, "train"),
            tell=lambda line: print(f"{name}: {line}", flush=True),  # noqa: T201 - takes seconds
        )
        try:
            chosen = fastest(bench, speed_folder(project), ranks.world)
        except GenmintError as error:
            # The other processes wait for the result.
            chosen = error
    first = ranks.gather(chosen)[0]
    if isinstance(first, GenmintError):
        raise first
    options: SpeedOptions = first
    return options


def _say_device(name: str, device: torch.device) -> None:
    """Print the device of a training run before its first step."""
    print(f"{name}: trains on {describe_device(device)}", flush=True)  # noqa: T201 - names the device
    unused = unused_gpu()
    if unused is not None:
        print(f"{name}: {unused}", file=sys.stderr, flush=True)  # noqa: T201 - may cost hours


def _train(job: _Job) -> None:
    """Train all seeds, keep the best model, and finish all their runs."""
    trained: list[Trained] = []
    checkpoints: list[Checkpoint] = []
    with contextlib.ExitStack() as open_runs:
        runs: list[RunReporter | None] = []
        for seed in _seeds(job.config):
            checkpoint = _checkpoint(job, seed)
            open_runs.enter_context(checkpoint.locked())
            runs.append(_run(job, seed, checkpoint, open_runs))
            checkpoints.append(checkpoint)
            trained.append(_one_seed(job, seed, checkpoint, runs[-1]))
        best = best_of(trained)
        if not job.ranks.leads:
            return
        record = _write(job, best, trained)
        files = [job.folder / name for name in (CONFIG, HISTORY, HEALTH)]
        for one, reported in zip(trained, runs, strict=True):
            if reported is not None and one is not best:
                reported.finish()
            elif reported is not None:
                reported.finish(record.weights, files)
        for checkpoint in checkpoints:
            checkpoint.delete()
    parameters = sum(value.numel() for value in best.model.parameters())
    outcome = best.outcome
    chosen = f"seed {best.seed} is the best of {len(trained)}; " if len(trained) > 1 else ""
    print(  # noqa: T201 - result of the stage
        f"{job.name}: {chosen}{parameters:,} parameters, {outcome.steps} steps in "
        f"{outcome.seconds:.1f} s; best validation loss {outcome.best_loss:.4f} at step "
        f"{outcome.best_step}"
    )


def _seeds(config: ModelConfig) -> range:
    return range(config.seed, config.seed + config.seeds)


def _checkpoint(job: _Job, seed: int) -> Checkpoint:
    """Return the checkpoint of one seed.

    Prints which unfinished checkpoints of this model cannot be resumed.
    """
    about: dict[str, Any] = {
        "model": job.config.model_dump(mode="json", exclude={"seed", "seeds"}),
        "data": job.spec.model_dump(mode="json"),
        "prepared": job.prepared.sha256,
        "resolved": job.resolved,
        "code": source_hash(),
        "torch": torch.__version__,
    }
    # Checkpoints are in the main repository, where a flow restarted in another checkout finds them.
    kind = job.name if job.reports else f"{job.name}.spread"
    parent = Project(job.project.home).state / "checkpoints" / kind
    if job.ranks.leads and seed == job.config.seed:
        for folder, key, before, now in unfinished(parent, about, _seeds(job.config)):
            print(  # noqa: T201 - warns before hours of training are discarded
                f"{job.name}: does not resume from {folder}: {key} was {before!r} and is {now!r}. "
                "Restore that value to resume, or delete the folder.",
                file=sys.stderr,
            )
    about["seed"] = seed
    folder = parent / sha256_json(about)[:16]
    return Checkpoint(folder, about, writes=job.ranks.leads)


def _run(
    job: _Job, seed: int, checkpoint: Checkpoint, open_runs: contextlib.ExitStack
) -> RunReporter | None:
    if not job.ranks.leads or not job.reports:
        return None
    about = tracking.DatasetInfo(
        name=job.config.dataset,
        kind=job.prepared.meta.kind,
        sha256=job.prepared.sha256,
        source=os.path.relpath(job.prepared.path, job.project.root),
        items=job.prepared.meta.items,
    )
    logged = {**job.config.model_dump(mode="json"), "seed": seed, "resolved": job.resolved}
    reported = tracking.start_run(job.project, job.name, logged, about, token=checkpoint.token())
    return open_runs.enter_context(reported)


def _one_seed(
    job: _Job, seed: int, checkpoint: Checkpoint, reported: RunReporter | None
) -> Trained:
    config = job.config.model_copy(update={"seed": seed})
    model = store.build(config, job.spec).to(job.device)
    of_train = tensors.labels_for(config, job.prepared, "train")
    of_validation = tensors.labels_for(config, job.prepared, "validation")
    outcome = fit(
        job.name,
        model,
        config,
        tensors.load(job.prepared, "train", job.spec),
        tensors.load(job.prepared, "validation", job.spec),
        labels=None if of_train is None or of_validation is None else (of_train, of_validation),
        options=TrainingOptions(
            precision=job.resolved["precision"],
            compiled=job.resolved["compile"] == "yes",
            channels_last=job.resolved["channels_last"] == "yes",
            reporter=reported,
            checkpoint=checkpoint,
            ranks=job.ranks,
        ),
    )
    return Trained(seed, model, outcome)


def _write(job: _Job, best: Trained, trained: list[Trained]) -> ModelRecord:
    health = {
        "recoveries": [dataclasses.asdict(event) for event in best.outcome.recoveries],
        "steps": best.outcome.steps,
        "seeds": [
            {"seed": one.seed, "best_step": one.outcome.best_step, "loss": one.outcome.best_loss}
            for one in trained
        ],
        "seed_spread": loss_deviation(trained),
    }
    described: dict[str, Any] = {
        "name": job.name,
        "model": job.config,
        "data": job.spec,
        "prepared": job.prepared.sha256,
        "resolved": {**job.resolved, "seed": str(best.seed)},
    }
    target = job.folder
    with atomic_dir(target) as folder:
        record = store.save(folder, best.model, described)
        write_history(folder / HISTORY, best.outcome.history)
        write_json(folder / HEALTH, health)
    # Outputs of a stage must be deterministic and times are not. They are stored outside of the
    # outputs, under the hash of the weights, where evaluate finds them.
    if job.reports:
        seconds = sum(one.outcome.seconds for one in trained)
        write_json(job.project.train_seconds(record.weights), {"train_seconds": seconds})
    return record
