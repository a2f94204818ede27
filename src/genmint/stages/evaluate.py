"""Stage evaluate: metrics with standard errors, costs, samples and probe set of a trained model."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.common.errors import DataError, GenmintError
from genmint.common.files import (
    all_or_none,
    atomic_dir,
    atomic_path,
    read_json,
    sha256_file,
    write_json,
    write_text,
)
from genmint.common.layout import CONFIG, HEALTH, HISTORY, SHEET, STRIP, TEXT, WEIGHTS
from genmint.common.project import Project
from genmint.config import Params, Spectrogram
from genmint.data import agreement
from genmint.data.prepared import Prepared
from genmint.data.views.spectrogram import to_grid
from genmint.evaluation import sheets
from genmint.evaluation.cost import model_cost
from genmint.evaluation.probe import draw_probe, write_probe
from genmint.evaluation.probe_sheet import write_sheet
from genmint.evaluation.reference import REFERENCE, read_reference
from genmint.evaluation.samples import Samples
from genmint.evaluation.score import Score, refuse_nonfinite, score
from genmint.models.shared import store
from genmint.models.shared.record import ModelRecord
from genmint.training.history import read_history

__all__ = ["Score", "run", "score"]
_RULE = "\n" + "─" * 72 + "\n"


def run(project: Project, params: Params, name: str) -> None:
    """Measure models/NAME and write metrics/NAME*.json, samples/NAME and samples/NAME.png.

    All files except metrics/NAME.cost.json are deterministic for the same model.

    Raises:
        DataError: the model was trained on other data than the prepared data; or model, data or
            reference were made with settings other than those of params.yaml.
        GenmintError: a file is missing or damaged, or a metric is not finite.
    """
    dataset = params.models[name].dataset
    prepared = Prepared(project.prepared(dataset))
    model, record = store.load(project.model(name))
    check_settings(project, params, name, record)
    check_same_data(record, prepared)
    prepared.check()
    reference = project.reference(dataset)
    result = score(model, record, prepared, reference)
    metrics = dict(result.metrics)
    metrics |= _training_health(project.model(name))
    refuse_nonfinite(name, metrics)
    weights = project.model(name) / WEIGHTS
    cost = model_cost(
        model, weights.stat().st_size, read_reference(reference).protocol, result.samples.seconds
    )
    cost |= _train_seconds(project, sha256_file(weights))
    probe = draw_probe(model, prepared)
    with all_or_none(project.samples(name), project.sheet(name), *_tables(project, name)):
        with atomic_dir(project.samples(name)) as folder:
            write_samples(folder, result.samples, prepared)
            write_probe(folder, probe)
            write_sheet(folder, "probe", [(name, probe)])
            _write_items(folder / project.items(name).name, result.items)
            write_json(folder / project.resamples(name).name, result.resamples)
        with atomic_path(project.sheet(name)) as picture:
            shutil.copyfile(project.samples(name) / SHEET, picture)
        _write(project, name, record, result, metrics, cost)
    shown = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items() if not k.endswith("_stderr"))
    print(f"{name}: {shown}")  # noqa: T201 - result of the stage


def check_settings(project: Project, params: Params, name: str, record: ModelRecord) -> None:
    """Reject a model, prepared data or a reference whose settings differ from params.yaml.

    Raises:
        DataError: the message names the setting and the command to run.
    """
    config = params.models[name]
    dataset, block = config.dataset, params.datasets[config.dataset]
    agreement.check_prepared(Prepared(project.prepared(dataset)), dataset, block)
    agreement.refuse_difference(
        project.model(name) / CONFIG,
        record.model.model_dump(mode="json"),
        config.model_dump(mode="json"),
        f"models.{name}",
        f"Run `dvc repro -f train@{name}`.",
    )
    reference = read_reference(project.reference(dataset))
    recorded: dict[str, Any] = {"protocol": reference.protocol.model_dump(mode="json")}
    wanted: dict[str, Any] = {"protocol": block.protocol.model_dump(mode="json")}
    if reference.settings is not None:
        recorded["reference"] = reference.settings.model_dump(mode="json")
        wanted["reference"] = block.reference.model_dump(mode="json")
    path = project.reference(dataset) / REFERENCE
    way_out = f"Run `dvc repro -f reference@{dataset}`."
    agreement.refuse_difference(path, recorded, wanted, f"datasets.{dataset}", way_out)


def check_same_data(record: ModelRecord, prepared: Prepared) -> None:
    """Reject a model that was trained on other data than the prepared data.

    Raises:
        DataError: the message names the model and the remedy.
    """
    if record.prepared != prepared.sha256:
        raise DataError(
            f"models/{record.name}: trained on other data than what {prepared.path} holds now. "
            f"Run `dvc repro train@{record.name}`."
        )


def write_samples(folder: Path, samples: Samples, prepared: Prepared) -> None:
    """Write the samples of a model of `prepared` into `folder`.

    samples.npy (uint8 N×C×H×W or int16 N×T) or, for text, text.txt and symbols.npy (int64 N×T);
    sheet.png; strip.wav for audio; grids.npy if the model generated spectrograms of audio clips.
    For a conditional model also labels.npy (int64 N), and the sheet shows the labels' names.
    """
    if samples.texts is not None:
        write_text(folder / TEXT, _RULE.join(samples.texts) + "\n")
        np.save(folder / "symbols.npy", samples.drawn.numpy())
        sheets.text_sheet(samples.texts).save(folder / SHEET)
        return
    captions: list[str] = []
    if samples.labels is not None:
        np.save(folder / "labels.npy", samples.labels.numpy())
        captions = [(prepared.meta.labels or ())[i] for i in samples.labels.tolist()]
    if samples.clips is None:
        assert samples.grids is not None
        np.save(folder / "samples.npy", samples.grids.numpy())
        sheets.image_sheet(samples.grids.numpy(), captions=captions).save(folder / SHEET)
        return
    rate = prepared.meta.sample_rate
    assert rate is not None
    clips = samples.clips.numpy()
    np.save(folder / "samples.npy", clips)
    grids = samples.grids
    if grids is None:
        grids = to_grid(samples.clips, prepared.meta.spectrogram or Spectrogram(), rate)
    else:
        np.save(folder / "grids.npy", grids.numpy())
    sheet = sheets.sound_sheet(clips, grids.numpy(), rate, captions=captions)
    sheet.save(folder / SHEET)
    sheets.write_strip(folder / STRIP, clips, rate)


def _write_items(path: Path, items: dict[str, npt.NDArray[np.float64]]) -> None:
    """Write the log-likelihoods of single items as a table, one column per estimator, if any."""
    if items:
        table = np.empty(
            len(next(iter(items.values()))), dtype=[(column, "<f8") for column in items]
        )
        for column, values in items.items():
            table[column] = values
        np.save(path, table)


def _training_health(folder: Path) -> dict[str, float]:
    """Return what the gate needs to know about the training run.

    nonfinite: number of NaN and infinite values, both those that the run counted and those in its
    history; recoveries: number of times that it returned to an earlier state; seed_spread: only if
    several seeds were trained.
    """
    rows = read_history(folder / HISTORY)
    counted = sum(row.get("nonfinite", 0.0) for row in rows)
    way_out = f"Run `dvc repro -f train@{folder.name}`."
    health = read_json(folder / HEALTH, way_out)
    signals = {
        "nonfinite": counted + sum(not math.isfinite(v) for row in rows for v in row.values())
    }
    try:
        signals["recoveries"] = float(len(health["recoveries"]))
        if len(health["seeds"]) > 1:
            signals["seed_spread"] = float(health["seed_spread"])
    except (KeyError, TypeError, ValueError):
        raise GenmintError(
            f"{folder / HEALTH}: not the health of a training run. {way_out}"
        ) from None
    return signals


def _train_seconds(project: Project, weights: str) -> dict[str, float]:
    path = project.train_seconds(weights)
    return {"train_seconds": float(read_json(path)["train_seconds"])} if path.is_file() else {}


def _tables(project: Project, name: str) -> tuple[Path, Path, Path]:
    """Return the paths of the metrics, the costs and the protocol."""
    return project.metrics(name), project.cost(name), project.protocol(name)


def _write(
    project: Project,
    name: str,
    record: ModelRecord,
    result: Score,
    metrics: dict[str, float],
    cost: dict[str, float],
) -> None:
    path, costs, protocol = _tables(project, name)
    items = project.items(name)
    write_json(path, metrics)
    write_json(costs, cost)
    write_json(
        protocol,
        {
            "model": name,
            "weights": record.weights,
            "config": sha256_file(project.model(name) / CONFIG),
            "dataset": record.data.dataset,
            "metrics": sha256_file(path),
            "items": sha256_file(items) if items.is_file() else None,
            "resamples": sha256_file(project.resamples(name)),
            "reference": result.reference,
            "protocol": result.protocol,
            "baselines": result.baselines,
            "noise_floor": result.noise_floor,
            "real": result.real,
            "left_out": result.left_out,
        },
    )
