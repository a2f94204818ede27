"""Unit, direction, range and one-line description of every value that evaluate writes."""

from __future__ import annotations

import difflib
import fnmatch
import math
from dataclasses import dataclass
from typing import Literal

from genmint.common.errors import ConfigError

Direction = Literal["higher", "lower"]

# Ending of the name of a metric's standard error.
STDERR = "_stderr"
# Baselines of likelihoods that are lossless codecs; all others are trivial models.
CODECS = frozenset({"png", "webp", "webp_mosaic", "flac", "xz"})


@dataclass(frozen=True)
class Metric:
    """One metric, or a family of metrics that differ only in the data set's name.

    Attributes:
        pattern: name of the metric; `*` stands for the data set, or for a named extractor.
        unit: unit of the value; "" for a plain count or share.
        direction: which values are better.
        description: one line for tables and pages.
        low: lowest possible value.
        high: highest possible value.
    """

    pattern: str
    unit: str
    direction: Direction
    description: str
    low: float = 0.0
    high: float = math.inf

    @property
    def sign(self) -> int:
        """1 if higher values are better, else −1."""
        return 1 if self.direction == "higher" else -1


METRICS: tuple[Metric, ...] = (
    Metric(
        "elbo", "nats", "higher", "Evidence lower bound per held-out item", low=-math.inf, high=0.0
    ),
    Metric(
        "importance_weighted_bound",
        "nats",
        "higher",
        "Importance-weighted bound on the log-likelihood per held-out item (Burda et al. 2016)",
        low=-math.inf,
        high=0.0,
    ),
    Metric("bits_per_dim", "bits", "lower", "Code length per pixel and channel, held-out items"),
    Metric("bits_per_character", "bits", "lower", "Code length per character of held-out text"),
    Metric(
        "perplexity",
        "",
        "lower",
        "Perplexity per character: 2 to the power of bits_per_character",
        low=1.0,
    ),
    Metric("bits_per_sample", "bits", "lower", "Code length per μ-law sample of held-out clips"),
    Metric(
        "frechet_*_cnn",
        "",
        "lower",
        "Fréchet distance of samples to held-out items in the features of the data set's own CNN",
    ),
    Metric(
        "frechet_*_cnn_infinite",
        "",
        "lower",
        "Fréchet distance extrapolated to infinitely many samples",
        low=-math.inf,
    ),
    Metric(
        "kernel_*_cnn",
        "",
        "lower",
        "Kernel distance (unbiased squared MMD, cubic kernel) in the features of the same CNN",
        low=-math.inf,
    ),
    Metric(
        "frechet_*_rnn",
        "",
        "lower",
        "Fréchet distance of passages to held-out ones in the states of the text's own network",
    ),
    Metric(
        "kernel_*_rnn",
        "",
        "lower",
        "Kernel distance (unbiased squared MMD, cubic kernel) in the states of the same network",
        low=-math.inf,
    ),
    Metric("fid", "", "lower", "Fréchet Inception distance to held-out items (Heusel et al. 2017)"),
    Metric(
        "kid",
        "",
        "lower",
        "Kernel Inception distance to held-out items (Bińkowski et al. 2018)",
        low=-math.inf,
    ),
    Metric(
        "fd_dinov2",
        "",
        "lower",
        "Fréchet distance to held-out items in DINOv2-L/14 features (Stein et al. 2023)",
    ),
    Metric(
        "frechet_*",
        "",
        "lower",
        "Fréchet distance of samples to held-out items in the features of a named extractor",
    ),
    Metric(
        "kernel_*",
        "",
        "lower",
        "Kernel distance in the features of a named extractor",
        low=-math.inf,
    ),
    Metric(
        "precision",
        "share",
        "higher",
        "Samples within the neighbourhood of a held-out item, in the features of the extractor",
        high=1.0,
    ),
    Metric(
        "recall",
        "share",
        "higher",
        "Held-out items within the neighbourhood of a sample, in the features of the extractor",
        high=1.0,
    ),
    Metric(
        "density",
        "",
        "higher",
        "Neighbourhoods of held-out items that a sample lies in, over 5; 1 is as dense as real",
    ),
    Metric(
        "coverage",
        "share",
        "higher",
        "Neighbourhoods of held-out items with a sample in them",
        high=1.0,
    ),
    Metric(
        "confident", "share", "higher", "Samples classified with confidence above 0.8", high=1.0
    ),
    Metric(
        "label_accuracy",
        "share",
        "higher",
        "Samples of a conditional model classified as the requested label",
        high=1.0,
    ),
    Metric("classes", "classes", "higher", "Classes that occur among the samples", low=1.0),
    Metric(
        "class_imbalance",
        "share",
        "lower",
        "Samples that would have to change class for the class shares of the held-out items",
        high=1.0,
    ),
    Metric(
        "class_kl",
        "nats",
        "lower",
        "Kullback-Leibler divergence of the samples' class shares from those of the training data",
    ),
    Metric("log_spectral_distance", "dB", "lower", "Between mean log-mel spectra, RMS over bands"),
    Metric("clipping", "share", "lower", "Share of the audio at full scale", high=1.0),
    Metric("silence", "share", "lower", "Share of the audio below -60 dB of full scale", high=1.0),
    Metric(
        "words_in_held_out",
        "share",
        "higher",
        "Generated words of three letters or more that occur in the held-out text",
        high=1.0,
    ),
    Metric(
        "distinct_1", "share", "higher", "Different words over all words, of all samples", high=1.0
    ),
    Metric(
        "distinct_2",
        "share",
        "higher",
        "Different pairs of words over all, of all samples",
        high=1.0,
    ),
    Metric(
        "distinct_3",
        "share",
        "higher",
        "Different triples of words over all, of all samples",
        high=1.0,
    ),
    Metric(
        "self_bleu",
        "",
        "lower",
        "BLEU-4 of a sample with all others as references, 0 to 1",
        high=1.0,
    ),
    Metric(
        "repetition",
        "share",
        "lower",
        "Sequences of four words that repeat an earlier one of the same sample",
        high=1.0,
    ),
    Metric(
        "novel_4grams",
        "share",
        "higher",
        "Sequences of four words that do not occur in the training text",
        high=1.0,
    ),
    Metric(
        "character_distance",
        "bits",
        "lower",
        "Jensen-Shannon divergence of character frequencies from those of the held-out text",
        high=1.0,
    ),
    Metric(
        "word_distance",
        "bits",
        "lower",
        "Jensen-Shannon divergence of word frequencies from those of the held-out text",
        high=1.0,
    ),
    Metric(
        "in_tune",
        "share",
        "higher",
        "Clips whose fundamental lies within half a semitone of a pitch of the real clips",
        high=1.0,
    ),
    Metric(
        "copied",
        "share",
        "lower",
        "Samples closer to a training item than 99 % of held-out items are",
        high=1.0,
    ),
    Metric(
        "longest_copy",
        "characters",
        "lower",
        "Longest run of characters that any sample shares with the training text",
    ),
    Metric(
        "copy_ratio",
        "",
        "lower",
        "Longest copy of the samples over the longest copy of as much held-out text",
    ),
    Metric(
        "copying_z",
        "standard errors",
        "higher",
        "Rank test of nearness to the training data against held-out items; far below 0: copies",
        low=-math.inf,
    ),
    Metric(
        "near_duplicates",
        "share",
        "lower",
        "Samples within half the distance from a training item to the next one",
        high=1.0,
    ),
    Metric(
        "authenticity",
        "share",
        "higher",
        "Samples further from their nearest training item than that is from the next one",
        high=1.0,
    ),
    Metric("active_units", "units", "higher", "Latent dimensions that the encoder uses"),
    Metric("nonfinite", "values", "lower", "NaN or infinite values in the training history"),
    Metric("recoveries", "", "lower", "Returns to the last good state during training"),
    Metric(
        "seed_spread",
        "",
        "lower",
        "Standard deviation over seeds of the best validation loss, in the unit of that loss",
    ),
    Metric("parameters", "", "lower", "Numbers in the weights"),
    Metric("megabytes", "MB", "lower", "Size of the weight file"),
    Metric("train_seconds", "s", "lower", "Wall-clock time of the training"),
    Metric("sample_milliseconds", "ms", "lower", "Time to draw a single sample, median"),
    Metric(
        "samples_per_second",
        "1/s",
        "higher",
        "Samples drawn per second, in the batch size of the protocol",
    ),
    Metric("peak_memory_megabytes", "MB", "lower", "Largest resident memory of the evaluation"),
)


def metric(name: str) -> Metric:
    """Return the metric with a name from metrics/M.json or metrics/M.cost.json.

    The standard error of a metric has the unit of the metric; lower values are better.

    Raises:
        ConfigError: there is no such metric.
    """
    if name.endswith(STDERR):
        base = metric(name.removesuffix(STDERR))
        return Metric(name, base.unit, "lower", f"Standard error of {base.pattern}")
    for entry in METRICS:
        if fnmatch.fnmatchcase(name, entry.pattern):
            return entry
    known = [entry.pattern for entry in METRICS]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    raise ConfigError(f"there is no metric {name!r}; {hint}")


def known_metric(name: str) -> Metric | None:
    """Return the metric with a name; None if another version of genmint wrote the name."""
    try:
        return metric(name)
    except ConfigError:
        return None


def never_held(name: str, *, least: float | None = None, most: float | None = None) -> str | None:
    """Return why no value of a metric can meet its bounds, with the range; None if one can.

    Args:
        name: name of the metric.
        least: lower bound of the value, inclusive.
        most: upper bound of the value, inclusive.
    """
    known = metric(name)
    above = least is not None and least > known.high
    below = most is not None and most < known.low
    return f"can never pass: {range_of(name)}" if above or below else None


def always_held(name: str, *, least: float | None = None, most: float | None = None) -> str | None:
    """Return why every value of a metric meets a bound, with the range; None if some do not."""
    known = metric(name)
    above = most is not None and most >= known.high
    below = least is not None and least <= known.low
    return f"always passes, so it checks nothing: {range_of(name)}" if above or below else None


def range_of(name: str) -> str:
    """Describe the range of a metric's values in words."""
    known = metric(name)
    low, high = f"{known.low:g}", f"{known.high:g}"
    if math.isinf(known.low) and math.isinf(known.high):
        return f"{name} can have any value"
    if math.isinf(known.low):
        return f"{name} is at most {high}"
    if math.isinf(known.high):
        return f"{name} is at least {low}"
    return f"{name} lies between {low} and {high}"
