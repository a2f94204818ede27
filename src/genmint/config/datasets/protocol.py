"""How the models of a data set are measured: the feature extractor and the protocol."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genmint.config.base import Frozen, PositiveInt, Seed, Share

# Value of `reference.extractor` for a feature extractor that is trained on the data set itself.
OWN = "own"


class ReferenceConfig(Frozen):
    """The feature extractor behind the Fréchet and kernel distances of a data set."""

    extractor: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = Field(
        OWN,
        description="Feature extractor of the distances: own, or the name of a description in "
        "data/sources/extractors. "
        "own: a small network that is trained on the data set. "
        "A named extractor is a published network; its weights are fetched once. "
        "Only for images; see docs/metrics.md.",
    )
    min_accuracy: Share = Field(
        0.0,
        description="Share of the test split that the feature extractor must classify correctly. "
        "Below it, the stage reference fails. "
        "Raise it so that distances are not computed from poor features.",
    )
    epochs: PositiveInt = Field(
        40,
        description="Largest number of passes over the training split when the feature extractor "
        "is trained. "
        "Training ends earlier if the validation loss stops improving, and on large sets after a "
        "fixed amount of computation (about ten minutes of processor time). "
        "Raise it if min_accuracy is not reached; lower it to save time.",
    )
    seed: Seed = Field(
        0,
        description="Seed of the feature extractor's initial weights and order of items. "
        "Changing it changes every Fréchet and kernel distance of the data set.",
    )


class Protocol(Frozen):
    """How models of a data set are measured.

    Values are only compared if they were measured under the same protocol.
    """

    samples: Annotated[int, Field(ge=3)] = Field(
        256,
        description="Number of samples that a model draws for its metrics. "
        "More samples give less noise and take more time.",
    )
    resamples: Annotated[int, Field(ge=2)] = Field(
        5,
        description="Number of independent sets of samples that are drawn and measured. "
        "They give the interval of each metric of samples. "
        "Use more where sampling is fast.",
    )
    sample_length: PositiveInt | None = Field(
        None,
        description="Characters of each text that a model draws, for text data sets. "
        "null means 512.",
    )
    importance_samples: PositiveInt = Field(
        64,
        description="k of the importance-weighted bound: draws from the posterior per item. "
        "A larger k gives a tighter bound, in proportionally more time.",
    )
    seed: Seed = Field(
        1234,
        description="Seed of the samples, and of the binarisation of held-out images.",
    )
    batch_size: PositiveInt = Field(
        256,
        description="Items per batch during evaluation. "
        "It affects memory only: results do not depend on it.",
    )

    @property
    def text_length(self) -> int:
        """Characters of each text that a model draws."""
        return self.sample_length or 512
