"""Scores of trivial baseline models, which a trained model should exceed."""

from __future__ import annotations

import math

import numpy as np

from genmint.common.array_types import Floats
from genmint.config import Protocol
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec, Observation
from genmint.evaluation.judge import GridJudge, TextJudge
from genmint.evaluation.reference import Baseline
from genmint.metrics.likelihood import (
    bits_per_character,
    bits_per_symbol,
    character_blocks,
    mean_and_stderr,
    perplexity,
    with_unknown,
)
from genmint.metrics.ngram import NGram
from genmint.metrics.pixels import mean_plus_noise, pixel_bernoulli, pixel_histogram
from genmint.metrics.words import as_text

BaselineScores = dict[str, dict[str, Baseline]]

_FIDELITY = ("words_in_held_out", "word_distance")


def grid_baselines(judge: GridJudge, protocol: Protocol) -> BaselineScores:
    """Return the scores of trivial baselines on grids.

    `pixel_bernoulli` (binary pixels) and `pixel_histogram` (8-bit pixels) have exact likelihoods.
    They serve as the baseline of both likelihood bounds. Samples of `mean_plus_noise` are the
    baseline of sample metrics.

    Args:
        judge: judge of the data set.
        protocol: number of samples, seed.

    Returns:
        Baselines by metric and name.
    """
    scores: BaselineScores = {}
    train, test = judge.train, judge.test
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
    for metric, number in judge.quality(noise).items():
        if not metric.endswith("_stderr"):
            scores.setdefault(metric, {})["mean_plus_noise"] = Baseline(value=number)
    return scores


def sequence_baselines(prepared: Prepared) -> BaselineScores:
    """Return the scores of n-gram baselines.

    `trigram` is the baseline for text, `order_1` for audio clips and for images in raster order.
    """
    spec = prepared.spec("sequence")
    assert spec.symbols is not None
    train = tensors.load(prepared, "train", spec).numpy()
    test = tensors.load(prepared, "test", spec).numpy()
    if spec.kind == "text":
        nats = NGram(3, spec.symbols).fit(train[None]).nats(test[None])[0, 1:]
        nats = with_unknown(nats, test[1:], spec.symbols)
        value, stderr = bits_per_character(*character_blocks(nats, test[1:]))
        bits = Baseline(value=value, stderr=stderr)
        value, stderr = perplexity(value, stderr)
        return {
            "bits_per_character": {"trigram": bits},
            "perplexity": {"trigram": Baseline(value=value, stderr=stderr)},
        }
    nats = NGram(2, spec.symbols).fit(train).totals(test)
    value, stderr = bits_per_symbol(nats, test.shape[1])
    if spec.kind == "audio":
        return {"bits_per_sample": {"order_1": Baseline(value=value, stderr=stderr)}}
    entry = Baseline(value=value, stderr=stderr, observation="8bit")
    return {"bits_per_dim": {"order_1": entry}}


def trigram_scores(judge: TextJudge, spec: DataSpec, protocol: Protocol) -> BaselineScores:
    """Return the scores of texts drawn from a trigram model of the training text.

    Only metrics of fidelity are returned. Random texts are more diverse than any real text, so that
    in metrics of diversity they would be a bar that no model should meet.

    Args:
        judge: judge of the data set.
        spec: specification of the text.
        protocol: number and length of the samples, seed.
    """
    assert spec.symbols is not None
    train = judge.train
    generator = np.random.default_rng(protocol.seed)
    starts = generator.integers(0, max(1, len(train) - 2), protocol.samples)
    beginnings = np.stack([train[starts], train[starts + 1]], axis=1).astype(np.int64)
    model = NGram(3, spec.symbols).fit(train[None])
    symbols = model.sample(beginnings, protocol.text_length, generator)
    scores = judge.quality([as_text(row, spec) for row in symbols])
    scores = {name: scores[name] for name in _FIDELITY if name in scores}
    scores |= judge.feature_distances(symbols)
    return {name: {"trigram": Baseline(value=value)} for name, value in scores.items()}


def merged(*scores: BaselineScores) -> BaselineScores:
    """Merge the baselines of several sources into one table."""
    result: BaselineScores = {}
    for table in scores:
        for metric, entries in table.items():
            result.setdefault(metric, {}).update(entries)
    return result
