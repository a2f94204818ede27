"""All metrics of a set of images, audio clips or texts, whether generated or real."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.common.array_types import Floats
from genmint.data.prepared import Prepared, Split
from genmint.data.views import tensors
from genmint.evaluation.distance_names import DistanceNames, distance_names, own_features
from genmint.evaluation.extractor import Extractor
from genmint.evaluation.named.extractor import NamedExtractor
from genmint.evaluation.text_distances import TextDistances
from genmint.metrics.classes import class_imbalance, class_kl, classes, confident, label_accuracy
from genmint.metrics.divergence import frequency_distance
from genmint.metrics.diversity import distinct, repetition, self_bleu
from genmint.metrics.frechet import (
    frechet_distance,
    frechet_infinite,
    frechet_infinite_stderr,
    frechet_stderr,
)
from genmint.metrics.kernel import kernel_distance, mean_kernel
from genmint.metrics.memorisation import grid_memorisation
from genmint.metrics.pitch import fundamentals, in_tune
from genmint.metrics.prdc import prdc, radii
from genmint.metrics.resampling import evenly_spaced
from genmint.metrics.sound import clipping, log_spectral_distance, silence
from genmint.metrics.verbatim import LONGEST_TEXT, novel_4grams, text_memorisation
from genmint.metrics.words import as_text, tokens, words, words_in_held_out

Metrics = dict[str, float]

# Maximum number of samples for feature metrics. These compare pairs, and more samples would add no
# information. Classes are counted in all samples: the rare ones of a thousand need many samples.
COMPARED_SAMPLES = 5000
_COMPARED_ITEMS = 10_000


@dataclass(frozen=True)
class GridJudge:
    """Measures images, or the spectrograms of audio clips, against the test split of a data set.

    Attributes:
        dataset: name of the data set.
        extractor: feature extractor of the data set, its own or a named one.
        task: task that the extractor was trained on; labels if it can classify.
        train: training grids, uint8 M×C×H×W.
        labels: class indices of `train`, int64 M; None if unlabelled.
        test: test grids, uint8 K×C×H×W.
        seed: seed of the protocol.
        dynamic_range: dynamic range of log-mel spectrograms in dB; None for images.
        groups: group of near-duplicates of each item of `train`, int64 M; None if there are none.
        left_out: names of metrics that do not apply to the data set.
    """

    dataset: str
    extractor: Extractor | NamedExtractor
    task: str
    train: Tensor
    labels: npt.NDArray[np.int64] | None
    test: Tensor
    seed: int
    dynamic_range: float | None
    groups: npt.NDArray[np.int64] | None = None
    left_out: Collection[str] = ()

    @property
    def names(self) -> DistanceNames:
        """Names of the distances in the features of the extractor."""
        if isinstance(self.extractor, NamedExtractor):
            return self.extractor.names
        return distance_names(own_features(self.dataset))

    @cached_property
    def real(self) -> Floats:
        """Features of the test split; of 10,000 evenly spaced items if it has more."""
        items = len(self.test)
        if items <= _COMPARED_ITEMS:
            return self.extractor.features(self.test)
        chosen = evenly_spaced(items, _COMPARED_ITEMS)
        return self.extractor.features(self.test[torch.from_numpy(chosen)])

    @cached_property
    def answers(self) -> Floats:
        """Class probabilities of the test split according to the extractor."""
        return self.extractor.probabilities(self.test)

    @cached_property
    def _radii(self) -> Floats:
        return radii(self.real)

    @cached_property
    def _mean_kernel(self) -> float:
        return mean_kernel(self.real)

    def quality(
        self, grids: Tensor, *, errors: bool = True, labels: Tensor | None = None
    ) -> Metrics:
        """Return metrics of fidelity and diversity, each with its standard error.

        Feature metrics use the first 5,000 grids, class metrics all. The extrapolation of the
        Fréchet distance is left out if there are fewer grids than twice the number of features.

        Args:
            grids: uint8 N×C×H×W.
            errors: if false, omit what takes many resamples: the errors of Fréchet distances, and
                the extrapolation.
            labels: classes that a conditional model was given, int64 N.

        Raises:
            DataError: there are fewer than three grids, or the test split has fewer than two.
        """
        metrics: Metrics = {}
        if self.features_mean_something:
            metrics |= self._distances(grids, errors=errors)
        answers = self.extractor.probabilities(grids) if self.task == "labels" else None
        metrics |= self._of_classes(answers)
        if answers is not None and labels is not None:
            _put(metrics, "label_accuracy", label_accuracy(answers, labels.numpy()))
        if self.dynamic_range is not None:
            value = log_spectral_distance(grids, self.test, self.dynamic_range)
            _put(metrics, "log_spectral_distance", value)
        return metrics

    @property
    def features_mean_something(self) -> bool:
        """Whether the extractor predicts its task better than chance."""
        return self.names.frechet not in self.left_out

    def _distances(self, grids: Tensor, *, errors: bool) -> Metrics:
        """Return the metrics in the features of the extractor; see `quality`."""
        features = self.extractor.features(grids[:COMPARED_SAMPLES])
        metrics: Metrics = {}
        enough = len(features) >= 2 * features.shape[1]
        name = self.names.frechet
        metrics[name] = frechet_distance(features, self.real)
        if errors:
            metrics[f"{name}_stderr"] = frechet_stderr(features, self.real, seed=self.seed)
        if errors and enough and self.extractor.extrapolates:
            name = self.names.infinite
            metrics[name] = frechet_infinite(features, self.real, seed=self.seed)
            metrics[f"{name}_stderr"] = frechet_infinite_stderr(features, self.real, seed=self.seed)
        value = kernel_distance(features, self.real, real_mean=self._mean_kernel)
        _put(metrics, self.names.kernel, value)
        return metrics | self._neighbours(features)

    def shares(self, features: Floats, answers: Floats | None) -> Metrics:
        """Return metrics of features and, if the set has labels, of predicted classes."""
        neighbours = self._neighbours(features) if self.features_mean_something else {}
        return neighbours | self._of_classes(answers)

    def _neighbours(self, features: Floats) -> Metrics:
        return prdc(features[:COMPARED_SAMPLES], self.real, real_radii=self._radii)

    def _of_classes(self, answers: Floats | None) -> Metrics:
        metrics: Metrics = {}
        if answers is not None:
            assert self.labels is not None
            _put(metrics, "confident", confident(answers))
            metrics["classes"] = float(classes(answers))
            _put(metrics, "class_imbalance", class_imbalance(answers, self.answers))
            _put(metrics, "class_kl", class_kl(answers, self.labels))
        return metrics

    def memorisation(self, grids: Tensor) -> Metrics:
        """Return how close grids are to the training data, compared with the test split.

        Args:
            grids: uint8 N×C×H×W.
        """
        return grid_memorisation(grids, self.train, self.test, seed=self.seed, groups=self.groups)


def grid_judge(
    prepared: Prepared,
    extractor: Extractor | NamedExtractor,
    task: str,
    seed: int,
    split: Split = "test",
    left_out: Collection[str] = (),
) -> GridJudge:
    """Return the judge of a prepared data set of images or audio clips for a held-out split."""
    spec = prepared.spec("grid")
    labels = prepared.labels("train")
    return GridJudge(
        dataset=prepared.meta.dataset,
        extractor=extractor,
        task=task,
        train=tensors.load(prepared, "train", spec),
        labels=None if labels is None else np.array(labels),
        test=tensors.load(prepared, split, spec),
        seed=seed,
        dynamic_range=None if spec.spectrogram is None else spec.spectrogram.dynamic_range,
        groups=prepared.groups(),
        left_out=left_out,
    )


def clip_metrics(
    clips: npt.NDArray[np.int16], sample_rate: int, pitches: Sequence[float] | None
) -> Metrics:
    """Return metrics that need no reference data, of clips int16 N×T.

    `pitches` are the notes in Hz that the clips should play; None if there are none.
    """
    metrics: Metrics = {}
    _put(metrics, "clipping", clipping(clips))
    _put(metrics, "silence", silence(clips))
    if pitches:
        _put(metrics, "in_tune", in_tune(fundamentals(clips, sample_rate), list(pitches)))
    return metrics


@dataclass(frozen=True)
class TextJudge:
    """Measures texts against the test split and the training text of a data set.

    Attributes:
        train: token ids of the training text, int64.
        test: token ids of the test text, int64.
        train_text: the training text; its first 4,000,000 characters if it is longer.
        test_text: the test text.
        left_out: names of metrics that do not apply to the text.
        distances: distances in the features of the reference network; None if they do not apply.
    """

    train: npt.NDArray[Any]
    test: npt.NDArray[Any]
    train_text: str
    test_text: str
    left_out: Collection[str] = ()
    distances: TextDistances | None = None

    @cached_property
    def _train_tokens(self) -> list[str]:
        return tokens(self.train_text)

    @cached_property
    def _test_words(self) -> list[str]:
        return words(self.test_text)

    def quality(self, texts: Sequence[str]) -> Metrics:
        """Return metrics of fidelity to the test text and of diversity, for two texts or more.

        Raises:
            DataError: there is only one text.
        """
        token_lists = [tokens(text) for text in texts]
        metrics: Metrics = {}
        _put(metrics, "words_in_held_out", words_in_held_out(texts, self.test_text))
        for n in (1, 2, 3):
            _put(metrics, f"distinct_{n}", distinct(token_lists, n))
        _put(metrics, "self_bleu", self_bleu(token_lists))
        _put(metrics, "repetition", repetition(token_lists))
        _put(metrics, "novel_4grams", novel_4grams(token_lists, self._train_tokens))
        _put(metrics, "character_distance", frequency_distance(texts, self.test_text))
        spoken = [words(text) for text in texts]
        _put(metrics, "word_distance", frequency_distance(spoken, self._test_words))
        return {
            name: value
            for name, value in metrics.items()
            if name.removesuffix("_stderr") not in self.left_out
        }

    def feature_distances(self, symbols: npt.NDArray[Any]) -> Metrics:
        """Return the distances in the features of the reference network, if they apply.

        Args:
            symbols: token ids, integers N×T.
        """
        return {} if self.distances is None else self.distances.quality(symbols)

    def memorisation(self, symbols: npt.NDArray[Any]) -> Metrics:
        """Return how much of the training text is copied, compared with the test split.

        Args:
            symbols: token ids, integers N×T.
        """
        return text_memorisation(symbols, self.train, self.test)


def text_judge(
    prepared: Prepared, split: Split = "test", left_out: Collection[str] = ()
) -> TextJudge:
    """Return the judge of a prepared text for one of its held-out splits."""
    spec = prepared.spec("sequence")
    train = tensors.load(prepared, "train", spec).numpy()
    test = tensors.load(prepared, split, spec).numpy()
    known = as_text(train[:LONGEST_TEXT], spec)
    return TextJudge(train, test, known, as_text(test, spec), left_out)


def _put(metrics: Metrics, name: str, value: tuple[float, float]) -> None:
    metrics[name], metrics[f"{name}_stderr"] = value
