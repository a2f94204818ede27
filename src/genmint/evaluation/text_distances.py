"""Distances between texts in the features of their reference network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from genmint.common.array_types import Floats
from genmint.evaluation.distance_names import DistanceNames
from genmint.evaluation.noise_floor import distance_floors
from genmint.evaluation.text_network import PASSAGE, TextNetwork, TokenIds, passages
from genmint.metrics.frechet import frechet_distance
from genmint.metrics.kernel import kernel_distance, mean_kernel
from genmint.metrics.likelihood import UNKNOWN

# Minimum number of passages on each side of a distance.
_FEWEST = 3


@dataclass(frozen=True)
class TextDistances:
    """Distances of texts to the held-out text; samples are cut into passages of equal length.

    They have no standard error of their own: passages of one sample depend on each other. The error
    is the standard deviation over the independent sample sets of the protocol.

    Attributes:
        names: names of the metrics.
        network: reference network of the text.
        test: token ids of the held-out text, int64 T.
        sample_length: characters of a sample.
    """

    names: DistanceNames
    network: TextNetwork
    test: TokenIds
    sample_length: int

    @property
    def length(self) -> int:
        """Length of a passage in characters."""
        return min(PASSAGE, self.sample_length)

    @cached_property
    def real(self) -> Floats:
        """Features of the passages of the held-out text, float64 M×D."""
        return self.network.features(passages(self.test, self.length))

    @cached_property
    def _mean_kernel(self) -> float:
        return mean_kernel(self.real)

    def why_not(self, samples: int, unseen: TokenIds) -> str | None:
        """Return why the distances cannot be measured; None if they can.

        Args:
            samples: number of samples of the protocol.
            unseen: token ids of real text that takes the place of samples, int64 T.
        """
        counts = {
            "the test split": len(self.test) // self.length,
            "the validation split": len(unseen) // self.length,
            "the samples of the protocol": samples * (self.sample_length // self.length),
        }
        for source, count in counts.items():
            if count < _FEWEST:
                return (
                    f"{source} has {count} passages of {self.length} characters, and a distance "
                    f"needs {_FEWEST}"
                )
        return None

    def quality(self, symbols: TokenIds) -> dict[str, float]:
        """Return Fréchet and kernel distance of texts; nothing if the held-out text is too short.

        Args:
            symbols: token ids of the prepared vocabulary, int64 N×T, T that of a sample. Ids
                outside of the vocabulary count as unknown characters.
        """
        if len(self.test) // self.length < _FEWEST:
            return {}
        known = self.network.embedding.num_embeddings
        rows = np.where((symbols < 0) | (symbols >= known), UNKNOWN, symbols)
        count = rows.shape[1] // self.length
        cut = rows[:, : count * self.length].reshape(-1, self.length)
        features = self.network.features(cut.astype(np.int64))
        kernel, _ = kernel_distance(features, self.real, real_mean=self._mean_kernel)
        return {
            self.names.frechet: frechet_distance(features, self.real),
            self.names.kernel: kernel,
        }

    def floors(self, unseen: TokenIds, samples: int, *, seed: int) -> dict[str, float]:
        """Return the noise floors of the distances, from real text outside of the test split.

        Args:
            unseen: token ids, int64 T.
            samples: number of samples of the protocol.
            seed: seed of the draws.
        """
        pool = self.network.features(passages(unseen, self.length))
        number = samples * (self.sample_length // self.length)
        frechet, _, kernel = distance_floors(pool, self.real, number, seed=seed, extrapolated=False)
        return {self.names.frechet: frechet, self.names.kernel: kernel}
