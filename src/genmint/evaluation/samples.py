"""Sampling from a model under a protocol, and metrics of the samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genmint.data.prepared import Prepared, Split
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec
from genmint.data.views.spectrogram import to_grid, to_sound
from genmint.evaluation.extractor import Extractor
from genmint.evaluation.judge import (
    GridJudge,
    Metrics,
    TextJudge,
    clip_metrics,
    grid_judge,
    text_judge,
)
from genmint.evaluation.named.extractor import NamedExtractor, load_any_extractor
from genmint.evaluation.reference import Reference, check_extractor
from genmint.evaluation.text_reference import recorded_network, text_distances
from genmint.models.shared.family import Family


@dataclass(frozen=True)
class Samples:
    """Samples of a model under a protocol.

    Attributes:
        drawn: output of the model: uint8 N×C×H×W, or token ids, int64 N×T.
        grids: uint8 N×C×H×W: images, or log-mel spectrograms of audio clips; None for text.
        clips: int16 N×T; audio only. For a model of grids, reconstructed from its spectrograms.
        texts: one string per sample; text only.
        seconds: time that sampling took.
        labels: classes that a conditional model was given, int64 N; None for other models.
        spec: shape of the model's data.
    """

    drawn: Tensor
    grids: Tensor | None
    clips: Tensor | None
    texts: list[str] | None
    seconds: float
    labels: Tensor | None
    spec: DataSpec


def draw(model: Family, reference: Reference, *, number: int = 0) -> Samples:
    """Draw the number of samples that the protocol specifies.

    Args:
        model: the model, on its device.
        reference: reference of the data set, with the protocol.
        number: index of the independent sample set; set 0 is the one that is shown.
    """
    protocol, spec = reference.protocol, model.spec
    seed = protocol.seed + number
    labels = model.drawn_labels(protocol.samples, seed)
    began = time.perf_counter()
    drawn = model.sample(
        protocol.samples,
        seed=seed,
        batch_size=protocol.batch_size,
        length=protocol.text_length if spec.kind == "text" else None,
        labels=labels,
    ).cpu()
    seconds = time.perf_counter() - began
    if spec.view == "grid":
        if spec.kind == "image":
            return Samples(drawn, drawn, None, None, seconds, labels, spec)
        assert spec.spectrogram
        assert spec.sample_rate
        assert spec.samples
        clips = to_sound(drawn, spec.spectrogram, spec.sample_rate, spec.samples)
        return Samples(drawn, drawn, clips, None, seconds, labels, spec)
    shown = tensors.from_symbols(drawn, spec)
    if isinstance(shown, list):
        return Samples(drawn, None, None, shown, seconds, None, spec)
    if spec.kind == "image":
        return Samples(drawn, shown, None, None, seconds, labels, spec)
    return Samples(drawn, None, shown, None, seconds, labels, spec)


class SampleJudge:
    """Measures sets of samples against one split; quantities of the split are computed once."""

    def __init__(
        self, prepared: Prepared, reference: Reference, folder: Path, split: Split = "test"
    ) -> None:
        """Prepare the measurement of samples of models of `prepared`.

        Args:
            prepared: data set.
            reference: reference of the data set.
            folder: folder of the reference, with the extractor.
            split: split of real items that samples are compared with.
        """
        self._prepared = prepared
        self._reference = reference
        self._folder = folder
        self._split: Split = split

    def metrics(self, samples: Samples, *, repeat: bool = False) -> Metrics:
        """Return the metrics of texts, of images, or of audio clips and their spectrograms.

        Args:
            samples: samples of the model.
            repeat: omit what is not needed for further sample sets or is too slow: standard errors
                of grids, and memorisation.

        Raises:
            DataError: the extractor is damaged or not the one that the reference names. Or a metric
                needs more samples, or texts are longer than the split.
        """
        if samples.texts is not None:
            known = self._prepared.meta.vocabulary or ()
            numbers = tensors.positions_in(samples.spec.vocabulary, known)
            # A character that is not in the training text gets a number that matches none in it.
            numbers = np.where(numbers < 0, len(known), numbers)
            symbols = numbers[samples.drawn.numpy()]
            metrics = self._texts.quality(samples.texts) | self._texts.feature_distances(symbols)
            return metrics if repeat else metrics | self._texts.memorisation(symbols)
        grids = self._grids_of(samples)
        labels = samples.labels
        if labels is not None:
            numbers = tensors.positions_in(samples.spec.labels, self._prepared.meta.labels)
            labels = torch.from_numpy(numbers)[labels]
        metrics = self._grids.quality(grids, errors=not repeat, labels=labels)
        if not repeat:
            metrics |= self._grids.memorisation(grids)
        return metrics | self._clips(samples)

    @cached_property
    def _texts(self) -> TextJudge:
        left_out = self._reference.left_out
        judge = text_judge(self._prepared, self._split, left_out)
        network = recorded_network(self._folder, self._reference)
        dataset, protocol = self._reference.dataset, self._reference.protocol
        if network is None:
            return judge
        distances = text_distances(dataset, network, judge.test, protocol)
        return judge if distances.names.frechet in left_out else replace(judge, distances=distances)

    @cached_property
    def _grids(self) -> GridJudge:
        extractor, task = _extractor(self._folder, self._reference)
        seed = self._reference.protocol.seed
        left_out = self._reference.left_out
        return grid_judge(self._prepared, extractor, task, seed, self._split, left_out)

    def _grids_of(self, samples: Samples) -> Tensor:
        if samples.grids is not None:
            return samples.grids
        spec = self._prepared.spec("grid")
        assert samples.clips is not None
        assert spec.spectrogram
        assert spec.sample_rate
        return to_grid(samples.clips, spec.spectrogram, spec.sample_rate)

    def _clips(self, samples: Samples) -> Metrics:
        if samples.clips is None:
            return {}
        rate = self._prepared.spec("grid").sample_rate
        assert rate
        # No pitches for models of spectrograms: reconstructing the audio blurs the pitch.
        pitches = self._reference.pitches if samples.grids is None else None
        return clip_metrics(samples.clips.numpy(), rate, pitches)


def _extractor(folder: Path, reference: Reference) -> tuple[Extractor | NamedExtractor, str]:
    """Return the extractor of a reference, and the task that it was trained on."""
    extractor, _ = load_any_extractor(folder)
    return extractor, check_extractor(folder, reference).task
