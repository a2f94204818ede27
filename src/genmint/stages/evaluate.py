"""evaluate: metrics with their uncertainty, costs, samples and probe set of a trained model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.config import Params, Spectrogram
from genmint.data import agreement
from genmint.data.prepared import Prepared
from genmint.data.spectrogram import to_grid
from genmint.errors import DataError, GenmintError
from genmint.files import all_or_none, atomic_dir, read_json, sha256_file, write_json, write_text
from genmint.metrics import sheets
from genmint.metrics.cost import model_cost
from genmint.metrics.probe import draw_probe, write_probe
from genmint.metrics.probe_sheet import write_sheet
from genmint.metrics.reference import REFERENCE, read_reference
from genmint.metrics.samples import Samples
from genmint.metrics.score import Score, refuse_nonfinite, score
from genmint.models import store
from genmint.models.record import CONFIG, WEIGHTS, ModelRecord
from genmint.project import Project
from genmint.training.history import read_history

__all__ = ["Score", "run", "score"]
_RULE = "\n" + "─" * 72 + "\n"


def run(project: Project, params: Params, name: str) -> None:
    """Measure models/NAME and write metrics/NAME*.json and samples/NAME.

    All but metrics/NAME.cost.json is the same whenever the same model is measured.

    Raises:
        DataError: the model was trained on other data than what is prepared now; or model, data
            or reference were made with other settings than params.yaml has now.
        GenmintError: a file is missing or damaged, or a metric is not finite.
    """
    dataset = params.models[name].dataset
    prepared = Prepared(project.prepared(dataset))
    model, record = store.load(project.model(name))
    check_settings(project, params, name, record)
    check_data(record, prepared)
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
    with all_or_none(project.samples(name), *_tables(project, name)):
        with atomic_dir(project.samples(name)) as folder:
            write_samples(folder, result.samples, prepared)
            write_probe(folder, probe)
            write_sheet(folder, "probe", [(name, probe)])
            _write_items(folder / project.items(name).name, result.items)
            write_json(folder / project.resamples(name).name, result.resamples)
        _write(project, name, record, result, metrics, cost)
    shown = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items() if not k.endswith("_stderr"))
    print(f"{name}: {shown}")  # noqa: T201 - a stage says what it did


def check_settings(project: Project, params: Params, name: str, record: ModelRecord) -> None:
    """Refuse a model, prepared data or a reference of other settings than params.yaml has now.

    Raises:
        DataError: names the setting and the command that helps.
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
    made: dict[str, Any] = {"protocol": reference.protocol.model_dump(mode="json")}
    wanted: dict[str, Any] = {"protocol": block.protocol.model_dump(mode="json")}
    if reference.settings is not None:
        made["reference"] = reference.settings.model_dump(mode="json")
        wanted["reference"] = block.reference.model_dump(mode="json")
    path = project.reference(dataset) / REFERENCE
    way_out = f"Run `dvc repro -f reference@{dataset}`."
    agreement.refuse_difference(path, made, wanted, f"datasets.{dataset}", way_out)


def check_data(record: ModelRecord, prepared: Prepared) -> None:
    """Refuse a model that was trained on other data than what is prepared now.

    Raises:
        DataError: names the model and the way out.
    """
    if record.prepared != prepared.sha256:
        raise DataError(
            f"models/{record.name}: trained on other data than what {prepared.path} holds now. "
            f"Run `dvc repro train@{record.name}`."
        )


def write_samples(folder: Path, samples: Samples, prepared: Prepared) -> None:
    """Write what a model of `prepared` drew into `folder`.

    samples.npy (uint8 N×C×H×W or int16 N×T) or, for text, text.txt and symbols.npy (int64 N×T);
    sheet.png; strip.wav for sound; grids.npy where sound was drawn as a picture. Of a conditional
    model labels.npy (int64 N) as well, and the labels' names stand on the sheet.
    """
    if samples.texts is not None:
        write_text(folder / "text.txt", _RULE.join(samples.texts) + "\n")
        np.save(folder / "symbols.npy", samples.drawn.numpy())
        sheets.text_sheet(samples.texts).save(folder / "sheet.png")
        return
    captions: list[str] = []
    if samples.labels is not None:
        np.save(folder / "labels.npy", samples.labels.numpy())
        captions = [(prepared.meta.labels or ())[i] for i in samples.labels.tolist()]
    if samples.clips is None:
        assert samples.grids is not None
        np.save(folder / "samples.npy", samples.grids.numpy())
        sheets.image_sheet(samples.grids.numpy(), captions=captions).save(folder / "sheet.png")
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
    sheet.save(folder / "sheet.png")
    sheets.write_strip(folder / "strip.wav", clips, rate)


def _write_items(path: Path, items: dict[str, npt.NDArray[np.float64]]) -> None:
    """Write the likelihoods of single items as a table, a column each, if there are any."""
    if items:
        table = np.empty(
            len(next(iter(items.values()))), dtype=[(column, "<f8") for column in items]
        )
        for column, values in items.items():
            table[column] = values
        np.save(path, table)


def _training_health(folder: Path) -> dict[str, float]:
    """What the training of a model says about it, for its gate.

    nonfinite: NaN and infinite values that it met, those it counted and those in its table;
    recoveries: how often it went back; seed_spread: only where several seeds were trained.
    """
    rows = read_history(folder / "history.csv")
    counted = sum(row.get("nonfinite", 0.0) for row in rows)
    way_out = f"Run `dvc repro -f train@{folder.name}`."
    health = read_json(folder / "health.json", way_out)
    found = {"nonfinite": counted + sum(not math.isfinite(v) for row in rows for v in row.values())}
    try:
        found["recoveries"] = float(len(health["recoveries"]))
        if len(health["seeds"]) > 1:
            found["seed_spread"] = float(health["seed_spread"])
    except (KeyError, TypeError, ValueError):
        raise GenmintError(
            f"{folder / 'health.json'}: not the health of a training run. {way_out}"
        ) from None
    return found


def _train_seconds(project: Project, weights: str) -> dict[str, float]:
    path = project.state / "cost" / f"{weights}.json"
    return {"train_seconds": float(read_json(path)["train_seconds"])} if path.is_file() else {}


def _tables(project: Project, name: str) -> tuple[Path, Path, Path]:
    """Files of the metrics, of the costs and of the protocol."""
    metrics = project.metrics(name)
    return metrics, project.cost(name), metrics.with_name(f"{name}.protocol.json")


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
            "left_out": result.left_out,
        },
    )
