"""How the skill of each metric is computed: 0 for the best trivial baseline, 1 for real data."""

from __future__ import annotations

import fnmatch
from typing import Literal

# linear: by differences. ratio: by ratios, for distances that are at least 0. nearness: by the
# distance from the value of real data, where more than real data is no better. likelihood and none:
# there is no skill.
Scale = Literal["linear", "ratio", "nearness", "likelihood", "none"]

# The first pattern that matches counts. A metric that no pattern matches has no skill.
_PATTERNS: tuple[tuple[Scale, tuple[str, ...]], ...] = (
    ("likelihood", ("elbo", "importance_weighted_bound", "bits_per_*", "perplexity")),
    # Unbiased estimates of a distance: values below 0 have no ratio.
    ("linear", ("frechet_*_infinite", "kernel_*")),
    (
        "ratio",
        ("frechet_*", "class_kl", "log_spectral_distance", "character_distance", "word_distance"),
    ),
    (
        "linear",
        ("precision", "recall", "coverage", "confident", "label_accuracy", "classes",
         "class_imbalance", "words_in_held_out", "in_tune"),
    ),
    (
        "nearness",
        ("density", "clipping", "silence", "distinct_?", "self_bleu", "repetition",
         "novel_4grams"),
    ),
)  # fmt: skip
_UNDEFINED: dict[Scale, str] = {
    "likelihood": "a likelihood has no skill, because real data have no likelihood to compare it "
    "with; use baseline: a model or codec of the reference, such as png, xz or trigram",
    "none": "has no skill, because real data and baselines have no value of it; give min or max",
}


def scale_of(metric: str) -> Scale:
    """Return the scale of a metric's skill."""
    for scale, patterns in _PATTERNS:
        if any(fnmatch.fnmatchcase(metric, pattern) for pattern in patterns):
            return scale
    return "none"


def why_no_skill(metric: str) -> str | None:
    """Return why a metric has no skill on any data set, and what to give instead."""
    return _UNDEFINED.get(scale_of(metric))
