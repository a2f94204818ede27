"""Score of a model under the protocol of its data set; `evaluate` and `promote` share this code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
from torch import Tensor

from genmint.common.array_types import Floats
from genmint.common.errors import DataError, GenmintError, MismatchError
from genmint.common.files import sha256_file
from genmint.data.prepared import Prepared, Split
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec, Observation
from genmint.evaluation.code_hash import code_sha256
from genmint.evaluation.judge import Metrics
from genmint.evaluation.reference import REFERENCE, Reference, read_reference
from genmint.evaluation.samples import SampleJudge, Samples, draw
from genmint.metrics.likelihood import (
    bits_per_character,
    bits_per_symbol,
    character_blocks,
    mean_and_stderr,
    perplexity,
    with_unknown,
)
from genmint.models.shared.family import Family
from genmint.models.shared.record import ModelRecord


@dataclass(frozen=True)
class Score:
    """Metrics of a model under a protocol.

    Attributes:
        metrics: finite values by name.
        protocol: conditions that two scores must share to be comparable.
        baselines: by metric and baseline, those that apply to this model.
        noise_floor: noise floor by metric.
        real: scores of real data by metric, with their standard errors.
        left_out: by metric that does not apply to the data set, the reason.
        reference: sha256 of reference.json.
        items: log-likelihood of each held-out item in nats (text: of each passage of 1,000
            characters), float64, by estimator: bounds such as elbo, or log_likelihood. Empty for a
            family without a likelihood.
        resamples: by name, metrics of samples in each of the independent sets that the protocol
            requires; the first set is `samples`.
        samples: the samples that were measured.
    """

    metrics: Metrics
    protocol: dict[str, Any]
    baselines: dict[str, dict[str, float]]
    noise_floor: Metrics
    real: Metrics
    left_out: dict[str, str]
    reference: str
    items: dict[str, Floats]
    resamples: dict[str, list[float]]
    samples: Samples


def score(model: Family, record: ModelRecord, prepared: Prepared, reference: Path) -> Score:
    """Return the score of a model on the test split and of its samples.

    The same weights, data and reference give the same numbers, regardless of the batch size. The
    model may have been trained on an earlier version of the data, but it must fit their shape.

    Args:
        model: the model, on its device.
        record: content of its config.json.
        prepared: data set to score on.
        reference: folder of that data set's reference.

    Raises:
        DataError: the reference belongs to other data or is damaged.
        MismatchError: the model does not fit the data.
        GenmintError: a metric is not finite; the message names it.
    """
    known = read_reference(reference)
    _check_fit(record, prepared, known, reference)
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
        protocol=_protocol(record, known, model.observation),
        baselines={
            metric: {name: entry.value for name, entry in entries.items()}
            for metric, entries in known.baselines_for(metrics, model.observation).items()
        },
        noise_floor=known.noise_floors_for(metrics, model.observation),
        real=known.real_for(metrics),
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
    """Return selected metrics of a model on a split other than the test split.

    Args:
        split: held-out split.
        model: the model, on its device.
        record: content of its config.json.
        prepared: data set to score on.
        reference: folder of that data set's reference.
        wanted: names of metrics; samples are drawn only if one of them is a metric of samples.

    Returns:
        Metrics, items and resamples as in `Score`; metrics of samples are those of the first set.

    Raises:
        DataError: the reference belongs to other data or is damaged.
        MismatchError: the model does not fit the data.
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
    """Return metrics of samples in independent sets, except those that are too slow to repeat.

    `first` are the metrics of the first set, if they have been computed already.
    """
    sets = [] if first is None else [first]
    while len(sets) < reference.protocol.resamples:
        samples = draw(model, reference, number=len(sets))
        sets.append(judge.metrics(samples, repeat=True))
    names = [name for name in sets[-1] if not name.endswith("_stderr")]
    return {name: [one[name] for one in sets] for name in names}


def refuse_nonfinite(name: str, metrics: Metrics) -> None:
    """Raise an error for the first metric that is NaN or infinite.

    Raises:
        GenmintError: the message names the model and the metric.
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
            f"{folder / REFERENCE}: was made from other data than {prepared.path}. "
            f"Run `dvc repro reference@{dataset}`."
        )
    expected = prepared.spec(record.model.view)
    fields = ["kind", "shape", "sample_rate", "spectrogram"]
    # Texts are comparable in any vocabulary: characters that a model does not know cost bits.
    for field in [*fields, *([] if expected.kind == "text" else ["symbols"])]:
        if getattr(record.data, field) != getattr(expected, field):
            raise MismatchError(
                f"models.{record.name}: was trained on data of another {field} than "
                f"{prepared.path} has now. Train it again: `dvc repro train@{record.name}`."
            )


def _likelihoods(
    model: Family, prepared: Prepared, reference: Reference, split: Split
) -> tuple[Metrics, dict[str, Floats]]:
    """Return metrics of held-out likelihood, and the log-likelihood of each item."""
    if not model.config.likelihood_metrics(model.spec.kind):
        return {}, {}
    protocol = reference.protocol
    data = tensors.load(prepared, split, model.spec)
    likelihoods = model.likelihoods(
        data,
        seed=protocol.seed,
        draws=protocol.importance_samples,
        batch_size=protocol.batch_size,
        labels=tensors.labels_for(model.config, prepared, split, model.spec.labels),
    )
    items = {name: values.numpy() for name, values in likelihoods.items.items()}
    metrics: Metrics = {}
    for name in likelihoods.means:
        metrics[name], metrics[f"{name}_stderr"] = mean_and_stderr(items[name])
    coded = next(iter(items))
    if model.spec.kind == "text":
        assert list(items) == [coded], "the blocks of a text have one likelihood"
        lengths, items[coded] = _text_lengths(-items[coded], data, model.spec)
    else:
        lengths = _item_lengths(-items[coded], math.prod(data.shape[1:]), model.spec)
    return metrics | lengths | dict(likelihoods.figures), items


def _item_lengths(nats: Floats, symbols: int, spec: DataSpec) -> Metrics:
    """Return the code length per audio sample, per pixel value, or per value of a spectrogram.

    Args:
        nats: negative log-likelihood of each item, float64 N.
        symbols: number of symbols of an item.
        spec: shape of the model's data.
    """
    samples = spec.kind == "audio" and spec.view == "sequence"
    name = "bits_per_sample" if samples else "bits_per_dim"
    value, stderr = bits_per_symbol(nats, symbols)
    return {name: value, f"{name}_stderr": stderr}


def _text_lengths(nats: Floats, stream: Tensor, spec: DataSpec) -> tuple[Metrics, Floats]:
    """Return the code length per character, and the log-likelihood of each 1,000 characters.

    Args:
        nats: negative log-likelihood of each token but the first, float64 T−1.
        stream: token ids, int64 T.
        spec: shape of the model's data.
    """
    targets = stream[1:].numpy().astype(np.int64)
    assert spec.symbols is not None
    blocks, characters = character_blocks(with_unknown(nats, targets, spec.symbols), targets)
    value, stderr = bits_per_character(blocks, characters)
    metrics = {"bits_per_character": value, "bits_per_character_stderr": stderr}
    metrics["perplexity"], metrics["perplexity_stderr"] = perplexity(value, stderr)
    return metrics, -blocks


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
        **record.model.drawing,
        # Values of p(x|y) and of p(x) are not comparable. The key is omitted for unconditional
        # models, as in older records.
        **({"conditional": True} if record.model.conditional else {}),
    }
