"""Names of the distances in the features of an extractor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DistanceNames:
    """Names of the metrics that an extractor gives.

    Attributes:
        frechet: Fréchet distance.
        infinite: Fréchet distance extrapolated to infinitely many samples.
        kernel: kernel distance.
    """

    frechet: str
    infinite: str
    kernel: str


def distance_names(features: str) -> DistanceNames:
    """Return the names of the distances in the features of an extractor, such as `digits_cnn`."""
    return DistanceNames(
        f"frechet_{features}", f"frechet_{features}_infinite", f"kernel_{features}"
    )


def own_features(dataset: str) -> str:
    """Return the name of the features of a data set's own extractor."""
    return f"{dataset.replace('-', '_')}_cnn"


def text_features(dataset: str) -> str:
    """Return the name of the features of a text's reference network."""
    return f"{dataset.replace('-', '_')}_rnn"
