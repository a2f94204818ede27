"""A model's score under the protocol of its data set: the same code for evaluate and promote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np

from genmint.data import views
from genmint.data.prepared import Prepared, Split
from genmint.errors import DataError, GenmintError
from genmint.files import sha256_file
from genmint.metrics.code import code_sha256
from genmint.metrics.judge import Metrics
from genmint.metrics.likelihood import (
    Floats,
    bits_per_character,
    bits_per_symbol,
    character_blocks,
    mean_and_stderr,
    perplexity,
)
from genmint.metrics.reference import REFERENCE, Observation, Reference, read_reference
from genmint.metrics.samples import SampleJudge, Samples, draw
from genmint.models.family import Family
from genmint.models.record import ModelRecord
from genmint.models.rnn import RNN
from genmint.models.vae import VAE


@dataclass(frozen=True)
class Score:
    """How a model does under a protocol.

    Attributes:
        metrics: finite values by name.
        protocol: what two scores must share to be compared.
        baselines: by metric and baseline, those that fit this model.
        noise_floor: by metric.
        left_out: by metric that has no meaning for the data set: why.
        reference: sha256 of reference.json.
        items: log-likelihood of each held-out item in nats (text: of each block of 1,000
            characters), float64, by what gives it: elbo and importance_weighted_bound of a VAE,
            log_likelihood of an RNN; empty for a family without a likelihood.
        resamples: metrics of samples in each of the independent sets that the protocol asks for,
            by name; the first set is `samples`.
        samples: that were judged.
    """

    metrics: Metrics
    protocol: dict[str, Any]
    baselines: dict[str, dict[str, float]]
    noise_floor: Metrics
    left_out: dict[str, str]
    reference: str
    items: dict[str, Floats]
    resamples: dict[str, list[float]]
    samples: Samples


def score(model: Family, record: ModelRecord, prepared: Prepared, reference: Path) -> Score:
    """Score a model on the test split and by its samples.

    The same weights, data and reference give the same numbers, whatever the batch size. The model
    may have been trained on an earlier version of the data; it must fit their shape.

    Args:
        model: on its device.
        record: its config.json.
        prepared: the data set to score on.
        reference: folder of that data set's reference.

    Raises:
        DataError: the reference is of other data or damaged, or the model does not fit the data.
        GenmintError: a metric is not finite; the message names it.
    """
    known = read_reference(reference)
    _check_fit(record, prepared, known, reference)
    observation = observation_of(model)
    metrics, items = _likelihoods(model, prepared, known, "test")
    refuse_nonfinite(record.name, metrics)
    samples = draw(model, known)
    judge = SampleJudge(prepared, known, reference)
    metrics |= judge.metrics(samples)
    refuse_nonfinite(record.name, metrics)
    resamples = _resamples(model, known, judge, first=metrics)
    for name, values in resamples.items():
        metrics.setdefault(f"{name}_stderr", stdev(values))
    refuse_nonfinite(record.name, metrics)
    return Score(
        metrics=metrics,
        protocol=_protocol(record, known, observation),
        baselines={
            metric: {name: entry.value for name, entry in entries.items()}
            for metric, entries in known.baselines_for(metrics, observation).items()
        },
        noise_floor=known.noise_floors_for(metrics, observation),
        left_out=known.left_out,
        reference=sha256_file(reference / REFERENCE),
        items=items,
        resamples=resamples,
        samples=samples,
    )


def score_on(
    split: Split,
    model: Family,
    record: ModelRecord,
    prepared: Prepared,
    reference: Path,
    wanted: Sequence[str],
) -> tuple[Metrics, dict[str, Floats], dict[str, list[float]]]:
    """Score a model on another split than test, in no more than what is wanted.

    Args:
        split: that is held out.
        model: on its device.
        record: its config.json.
        prepared: the data set to score on.
        reference: folder of that data set's reference.
        wanted: names of metrics; samples are drawn only if one of them is of samples.

    Returns:
        Metrics, items and resamples as in `Score`; metrics of samples are those of the first set.

    Raises:
        DataError: the reference is of other data or damaged, or the model does not fit the data.
        GenmintError: a metric is not finite; the message names it.
    """
    known = read_reference(reference)
    _check_fit(record, prepared, known, reference)
    metrics, items = _likelihoods(model, prepared, known, split)
    resamples: dict[str, list[float]] = {}
    if not set(wanted) <= set(metrics):
        resamples = _resamples(model, known, SampleJudge(prepared, known, reference, split))
        metrics |= {name: values[0] for name, values in resamples.items()}
    refuse_nonfinite(record.name, metrics)
    return metrics, items, resamples


def _resamples(
    model: Family, reference: Reference, judge: SampleJudge, first: Metrics | None = None
) -> dict[str, list[float]]:
    """Metrics of samples in independent sets, without those that are too slow to repeat.

    `first` are the metrics of the first set, where it was drawn and judged already.
    """
    sets = [] if first is None else [first]
    while len(sets) < reference.protocol.resamples:
        samples = draw(model, reference, number=len(sets))
        sets.append(judge.metrics(samples, repeat=True))
    names = [name for name in sets[-1] if not name.endswith("_stderr")]
    return {name: [one[name] for one in sets] for name in names}


def observation_of(model: Family) -> Observation | None:
    """What the model's likelihood is of, where there is more than one kind."""
    if isinstance(model, VAE):
        return model.observation
    return "8bit" if isinstance(model, RNN) and model.spec.kind == "image" else None


def refuse_nonfinite(name: str, metrics: Metrics) -> None:
    """Fail on the first metric that is NaN or infinite.

    Raises:
        GenmintError: names the model and the metric.
    """
    for metric, value in metrics.items():
        if not math.isfinite(value):
            raise GenmintError(
                f"models.{name}: the metric {metric} is {value}; nothing was written. Lower its "
                f"learning rate and train it again: `dvc repro -f train@{name}`."
            )


def _check_fit(record: ModelRecord, prepared: Prepared, reference: Reference, folder: Path) -> None:
    dataset = prepared.path.name
    if reference.data != prepared.sha256:
        raise DataError(
            f"{folder / REFERENCE}: is of other data than {prepared.path}. "
            f"Run `dvc repro reference@{dataset}`."
        )
    expected = prepared.spec(record.model.family)
    fields = ["kind", "shape", "symbols", "vocabulary", "sample_rate", "spectrogram"]
    for field in [*fields, *(["labels"] if record.model.conditional else [])]:
        if getattr(record.data, field) != getattr(expected, field):
            named = "set of labels" if field == "labels" else field
            raise DataError(
                f"models.{record.name}: was trained on data of another {named} than "
                f"{prepared.path} has now. Train it again: `dvc repro train@{record.name}`."
            )


def _likelihoods(
    model: Family, prepared: Prepared, reference: Reference, split: Split
) -> tuple[Metrics, dict[str, Floats]]:
    """Metrics of held-out likelihood, and the log-likelihood of each item."""
    if isinstance(model, VAE):
        return _vae(model, prepared, reference, split)
    if isinstance(model, RNN):
        return _rnn(model, prepared, reference, split)
    return {}, {}


def _vae(
    model: VAE, prepared: Prepared, reference: Reference, split: Split
) -> tuple[Metrics, dict[str, Floats]]:
    protocol = reference.protocol
    test = views.load(prepared, split, prepared.spec("vae"))
    labels = views.labels_for(model.config, prepared, split)
    how: dict[str, Any] = {"batch_size": protocol.batch_size, "labels": labels}
    elbo = model.elbo(test, seed=protocol.seed, **how)["elbo"].numpy()
    bound = model.importance_weighted(
        test, k=protocol.importance_samples, seed=protocol.seed, **how
    ).numpy()
    metrics: Metrics = {}
    metrics["elbo"], metrics["elbo_stderr"] = mean_and_stderr(elbo)
    name = "importance_weighted_bound"
    metrics[name], metrics[f"{name}_stderr"] = mean_and_stderr(bound)
    bits, stderr = bits_per_symbol(-elbo, math.prod(test.shape[1:]))
    metrics["bits_per_dim"], metrics["bits_per_dim_stderr"] = bits, stderr
    metrics["active_units"] = float(model.active_units(test, **how))
    return metrics, {"elbo": elbo, "importance_weighted_bound": bound}


def _rnn(
    model: RNN, prepared: Prepared, reference: Reference, split: Split
) -> tuple[Metrics, dict[str, Floats]]:
    test = views.load(prepared, split, prepared.spec("rnn"))
    labels = views.labels_for(model.config, prepared, split)
    nats = model.nats(test, batch_size=reference.protocol.batch_size, labels=labels).numpy()
    metrics: Metrics = {}
    if model.spec.kind == "text":
        nats, characters = character_blocks(nats, test[1:].numpy().astype(np.int64))
        name, (value, stderr) = "bits_per_character", bits_per_character(nats, characters)
        metrics["perplexity"], metrics["perplexity_stderr"] = perplexity(value, stderr)
    else:
        name = "bits_per_sample" if model.spec.kind == "audio" else "bits_per_dim"
        value, stderr = bits_per_symbol(nats, test.shape[1])
    return {name: value, f"{name}_stderr": stderr} | metrics, {"log_likelihood": -nats}


def _protocol(
    record: ModelRecord, reference: Reference, observation: Observation | None
) -> dict[str, Any]:
    protocol, extractor = reference.protocol, reference.extractor
    return {
        "data": reference.data,
        "extractor": None if extractor is None else extractor.sha256,
        "samples": protocol.samples,
        "resamples": protocol.resamples,
        "sample_length": protocol.sample_length,
        "seed": protocol.seed,
        "importance_samples": protocol.importance_samples,
        "batch_size": protocol.batch_size,
        "dtype": "float32",
        "code": code_sha256(record.model.family),
        "observation": observation,
        **_sampling(record),
        # Figures of p(x|y) and of p(x) do not compare. Left out of others, as of older records.
        **({"conditional": True} if record.model.conditional else {}),
    }


def _sampling(record: ModelRecord) -> dict[str, Any]:
    """How symbols were drawn; a limit only where there is one, as records before it have none."""
    if record.model.family != "rnn":
        return {"temperature": None}
    limits = record.model.sampling.model_dump(exclude_defaults=True, include={"top_k", "top_p"})
    return {"temperature": record.model.sampling.temperature, **limits}
