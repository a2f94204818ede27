"""All metrics of a set of pictures, clips or texts, whoever made them: a model or the world."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.catalogue import frechet_infinite_name, frechet_name, kernel_name
from genmint.data import views
from genmint.data.prepared import Prepared, Split
from genmint.metrics.classes import (
    class_imbalance,
    class_kl,
    classes,
    confident,
    label_accuracy,
)
from genmint.metrics.divergence import frequency_distance
from genmint.metrics.diversity import distinct, repetition, self_bleu
from genmint.metrics.extractor import Extractor, Task
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
from genmint.metrics.sound import clipping, log_spectral_distance, silence
from genmint.metrics.verbatim import LONGEST_TEXT, novel_4grams, text_memorisation
from genmint.metrics.words import as_text, tokens, words, words_in_held_out

Metrics = dict[str, float]
Floats = npt.NDArray[np.float64]

# Features are compared in pairs, and more of them tell no more. Classes are counted in all samples:
# among a thousand classes the rare ones show late.
COMPARED_SAMPLES = 5000
_COMPARED_ITEMS = 10_000


@dataclass(frozen=True)
class GridJudge:
    """Judges pictures, or sound by its pictures, against the test split of a data set.

    Attributes:
        dataset: name of the block.
        extractor: of the data set.
        task: what it was trained to tell.
        train: uint8 M×C×H×W.
        labels: class numbers of `train`, int64 M; None if unlabelled.
        test: uint8 K×C×H×W.
        seed: of the protocol.
        dynamic_range: of log-mel pictures in dB; None for images.
        groups: group of near-duplicates of each item of `train`, int64 M; None if there are none.
        left_out: names of metrics that have no meaning for the data set.
    """

    dataset: str
    extractor: Extractor
    task: Task
    train: Tensor
    labels: npt.NDArray[np.int64] | None
    test: Tensor
    seed: int
    dynamic_range: float | None
    groups: npt.NDArray[np.int64] | None = None
    left_out: Collection[str] = ()

    @cached_property
    def real(self) -> Floats:
        """Features of the test split; of more than 10,000 items, of as many spread over it."""
        items = len(self.test)
        if items <= _COMPARED_ITEMS:
            return self.extractor.features(self.test)
        chosen = np.linspace(0, items - 1, _COMPARED_ITEMS).astype(np.int64)
        return self.extractor.features(self.test[torch.from_numpy(chosen)])

    @cached_property
    def answers(self) -> Floats:
        """What the extractor says of the test split: probabilities of the classes."""
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
        """How like real items, and how varied; every metric with its error.

        Features are taken of the first 5,000 grids, classes of all. The extrapolation of the
        Fréchet distance is left out where there are fewer grids than twice the features.

        Args:
            grids: uint8 N×C×H×W.
            errors: without, what takes many draws is left out: the errors of Fréchet distances,
                and the extrapolation.
            labels: int64 N, what a conditional model was asked for.

        Raises:
            DataError: fewer than three grids, or fewer than two in the test split.
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
        """Whether the extractor has learnt to tell anything of the items."""
        return frechet_name(self.dataset) not in self.left_out

    def _distances(self, grids: Tensor, *, errors: bool) -> Metrics:
        """Metrics in the features of the extractor; see `quality`."""
        features = self.extractor.features(grids[:COMPARED_SAMPLES])
        metrics: Metrics = {}
        name = frechet_name(self.dataset)
        metrics[name] = frechet_distance(features, self.real)
        if errors:
            metrics[f"{name}_stderr"] = frechet_stderr(features, self.real, seed=self.seed)
        if errors and len(features) >= 2 * features.shape[1]:
            name = frechet_infinite_name(self.dataset)
            metrics[name] = frechet_infinite(features, self.real, seed=self.seed)
            metrics[f"{name}_stderr"] = frechet_infinite_stderr(features, self.real, seed=self.seed)
        value = kernel_distance(features, self.real, real_mean=self._mean_kernel)
        _put(metrics, kernel_name(self.dataset), value)
        return metrics | self._neighbours(features)

    def shares(self, features: Floats, answers: Floats | None) -> Metrics:
        """Metrics of features and, where the set has labels, of the extractor's answers."""
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
        """How near to the training data, against the test split; uint8 N×C×H×W."""
        return grid_memorisation(grids, self.train, self.test, seed=self.seed, groups=self.groups)


def grid_judge(
    prepared: Prepared,
    extractor: Extractor,
    task: Task,
    seed: int,
    split: Split = "test",
    left_out: Collection[str] = (),
) -> GridJudge:
    """Judge of a prepared data set of images or sound, by one of its held-out splits."""
    spec = prepared.spec("vae")
    labels = prepared.labels("train")
    return GridJudge(
        dataset=prepared.meta.dataset,
        extractor=extractor,
        task=task,
        train=views.load(prepared, "train", spec),
        labels=None if labels is None else np.array(labels),
        test=views.load(prepared, split, spec),
        seed=seed,
        dynamic_range=None if spec.spectrogram is None else spec.spectrogram.dynamic_range,
        groups=prepared.groups(),
        left_out=left_out,
    )


def clip_metrics(
    clips: npt.NDArray[np.int16], sample_rate: int, pitches: Sequence[float] | None
) -> Metrics:
    """Judge clips by themselves: int16 N×T; `pitches` in Hz if they should play these."""
    metrics: Metrics = {}
    _put(metrics, "clipping", clipping(clips))
    _put(metrics, "silence", silence(clips))
    if pitches:
        _put(metrics, "in_tune", in_tune(fundamentals(clips, sample_rate), list(pitches)))
    return metrics


@dataclass(frozen=True)
class TextJudge:
    """Judges texts against the test split and the training text of a data set.

    Attributes:
        train: stream of symbols, int64.
        test: stream of symbols, int64.
        train_text: the training text, of one longer than 4,000,000 characters the beginning.
        test_text: the test text.
        left_out: names of metrics that have no meaning for the text.
    """

    train: npt.NDArray[Any]
    test: npt.NDArray[Any]
    train_text: str
    test_text: str
    left_out: Collection[str] = ()

    @cached_property
    def _train_tokens(self) -> list[str]:
        return tokens(self.train_text)

    @cached_property
    def _test_words(self) -> list[str]:
        return words(self.test_text)

    def quality(self, texts: Sequence[str]) -> Metrics:
        """How like the test text, and how varied: two texts or more.

        Raises:
            DataError: a single text.
        """
        found = [tokens(text) for text in texts]
        metrics: Metrics = {}
        _put(metrics, "words_in_held_out", words_in_held_out(texts, self.test_text))
        for n in (1, 2, 3):
            _put(metrics, f"distinct_{n}", distinct(found, n))
        _put(metrics, "self_bleu", self_bleu(found))
        _put(metrics, "repetition", repetition(found))
        _put(metrics, "novel_4grams", novel_4grams(found, self._train_tokens))
        _put(metrics, "character_distance", frequency_distance(texts, self.test_text))
        spoken = [words(text) for text in texts]
        _put(metrics, "word_distance", frequency_distance(spoken, self._test_words))
        return {
            name: value
            for name, value in metrics.items()
            if name.removesuffix("_stderr") not in self.left_out
        }

    def memorisation(self, symbols: npt.NDArray[Any]) -> Metrics:
        """How much of the training text is quoted, against the test split; integers N×T."""
        return text_memorisation(symbols, self.train, self.test)


def text_judge(
    prepared: Prepared, split: Split = "test", left_out: Collection[str] = ()
) -> TextJudge:
    """Judge of a prepared text, by one of its held-out splits."""
    spec = prepared.spec("rnn")
    train = views.load(prepared, "train", spec).numpy()
    test = views.load(prepared, split, spec).numpy()
    known = as_text(train[:LONGEST_TEXT], spec)
    return TextJudge(train, test, known, as_text(test, spec), left_out)


def _put(metrics: Metrics, name: str, value: tuple[float, float]) -> None:
    metrics[name], metrics[f"{name}_stderr"] = value
