"""Scores of trivial models: what a model must beat to have learnt anything."""

from __future__ import annotations

import math

from torch import Tensor

from genmint.config import Protocol
from genmint.data import views
from genmint.data.prepared import Prepared
from genmint.metrics.catalogue import frechet_name, kernel_name
from genmint.metrics.classes import classes, confident
from genmint.metrics.extractor import Extractor, Task
from genmint.metrics.frechet import frechet_distance
from genmint.metrics.kernel import kernel_distance
from genmint.metrics.likelihood import (
    Floats,
    bits_per_character,
    bits_per_symbol,
    character_blocks,
    mean_and_stderr,
)
from genmint.metrics.ngram import NGram
from genmint.metrics.pixels import mean_plus_noise, pixel_bernoulli, pixel_histogram
from genmint.metrics.reference import Baseline, Observation

Scores = dict[str, dict[str, Baseline]]


def grid_baselines(
    dataset: str,
    train: Tensor,
    test: Tensor,
    protocol: Protocol,
    extractor: Extractor,
    task: Task,
) -> Scores:
    """What trivial models of grids score.

    `pixel_bernoulli` (binary pixels) and `pixel_histogram` (8-bit ones) have exact likelihoods,
    held against both bounds; samples of `mean_plus_noise` are held against distances and classes.

    Args:
        dataset: name of the block.
        train: uint8 N×C×H×W.
        test: uint8 M×C×H×W.
        protocol: number of samples, seed.
        extractor: of the data set.
        task: what the extractor was trained to tell.

    Returns:
        Baselines by metric and name.
    """
    scores: Scores = {}
    dims = math.prod(test.shape[1:])
    likelihoods: dict[str, tuple[Observation, Floats]] = {
        "pixel_bernoulli": ("binary", pixel_bernoulli(train, test, protocol.seed)),
        "pixel_histogram": ("8bit", pixel_histogram(train, test)),
    }
    for name, (observation, nats) in likelihoods.items():
        value, stderr = mean_and_stderr(nats)
        entry = Baseline(value=value, stderr=stderr, observation=observation)
        bits, bits_stderr = bits_per_symbol(-nats, dims)
        scores.setdefault("elbo", {})[name] = entry
        scores.setdefault("importance_weighted_bound", {})[name] = entry
        scores.setdefault("bits_per_dim", {})[name] = Baseline(
            value=bits, stderr=bits_stderr, observation=observation
        )
    noise = mean_plus_noise(train, protocol.samples, protocol.seed)
    judged = sample_scores(dataset, noise, extractor.features(test), extractor, task)
    for metric, number in judged.items():
        scores.setdefault(metric, {})["mean_plus_noise"] = Baseline(value=number)
    return scores


def sample_scores(
    dataset: str,
    samples: Tensor,
    real: Floats,
    extractor: Extractor,
    task: Task,
) -> dict[str, float]:
    """Metrics of a set of grids, uint8 N×C×H×W, against features of real ones."""
    features = extractor.features(samples)
    scores = {
        frechet_name(dataset): frechet_distance(features, real),
        kernel_name(dataset): kernel_distance(features, real)[0],
    }
    if task == "labels":
        probabilities = extractor.probabilities(samples)
        scores["confident"] = confident(probabilities)
        scores["classes"] = float(classes(probabilities))
    return scores


def sequence_baselines(prepared: Prepared) -> Scores:
    """What counting symbols scores: `trigram` for text, `order_1` for clips and raster images."""
    spec = prepared.spec("rnn")
    assert spec.symbols is not None
    train = views.load(prepared, "train", spec).numpy()
    test = views.load(prepared, "test", spec).numpy()
    if spec.kind == "text":
        nats = NGram(3, spec.symbols).fit(train[None]).nats(test[None])[0, 1:]
        value, stderr = bits_per_character(*character_blocks(nats, test[1:]))
        return {"bits_per_character": {"trigram": Baseline(value=value, stderr=stderr)}}
    nats = NGram(2, spec.symbols).fit(train).nats(test).sum(axis=1)
    value, stderr = bits_per_symbol(nats, test.shape[1])
    if spec.kind == "audio":
        return {"bits_per_sample": {"order_1": Baseline(value=value, stderr=stderr)}}
    entry = Baseline(value=value, stderr=stderr, observation="8bit")
    return {"bits_per_dim": {"order_1": entry}}


def merged(*scores: Scores) -> Scores:
    """Baselines of several sources as one table."""
    result: Scores = {}
    for table in scores:
        for metric, entries in table.items():
            result.setdefault(metric, {}).update(entries)
    return result
