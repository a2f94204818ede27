"""Drawing from a model under a protocol, and judging what was drawn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from genmint.data import views
from genmint.data.prepared import Prepared, Split
from genmint.data.spectrogram import to_grid, to_sound
from genmint.errors import DataError
from genmint.files import sha256_file
from genmint.metrics.extractor import Extractor, ExtractorInfo, load_extractor
from genmint.metrics.judge import (
    GridJudge,
    Metrics,
    TextJudge,
    clip_metrics,
    grid_judge,
    text_judge,
)
from genmint.metrics.reference import REFERENCE, Reference
from genmint.models.family import Family


@dataclass(frozen=True)
class Samples:
    """What a model drew under a protocol.

    Attributes:
        drawn: as the model gives it: uint8 N×C×H×W, or int64 symbols N×T.
        grids: uint8 N×C×H×W: pictures, or log-mel pictures of sound; None for text.
        clips: int16 N×T; audio only. Of a model of grids, rebuilt from its pictures.
        texts: one string a sample; text only.
        seconds: that the drawing took.
        labels: int64 N, that a conditional model was asked for; None of all others.
    """

    drawn: Tensor
    grids: Tensor | None
    clips: Tensor | None
    texts: list[str] | None
    seconds: float
    labels: Tensor | None = None


def draw(model: Family, reference: Reference, *, number: int = 0) -> Samples:
    """Draw as many samples as the protocol says.

    Args:
        model: on its device.
        reference: of the data set, with the protocol.
        number: which of the independent sets of the protocol; 0 is the one that is shown.
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
            return Samples(drawn, drawn, None, None, seconds, labels)
        assert spec.spectrogram
        assert spec.sample_rate
        assert spec.samples
        clips = to_sound(drawn, spec.spectrogram, spec.sample_rate, spec.samples)
        return Samples(drawn, drawn, clips, None, seconds, labels)
    shown = views.from_symbols(drawn, spec)
    if isinstance(shown, list):
        return Samples(drawn, None, None, shown, seconds)
    if spec.kind == "image":
        return Samples(drawn, shown, None, None, seconds, labels)
    return Samples(drawn, None, shown, None, seconds, labels)


class SampleJudge:
    """Judges sets of samples against one split; what it needs of that split it works out once."""

    def __init__(
        self, prepared: Prepared, reference: Reference, folder: Path, split: Split = "test"
    ) -> None:
        """Judge samples of models of `prepared`.

        Args:
            prepared: data set.
            reference: of the data set.
            folder: of the reference, with the extractor.
            split: of real items that samples are held against.
        """
        self._prepared = prepared
        self._reference = reference
        self._folder = folder
        self._split: Split = split

    def metrics(self, samples: Samples, *, repeat: bool = False) -> Metrics:
        """Judge texts by their words; pictures, or sound by its pictures, and sound by itself.

        Args:
            samples: of the model.
            repeat: leave out what is of no use for a further set of samples, or too slow: standard
                errors of grids, and memorisation.

        Raises:
            DataError: the extractor is damaged or not the one that the reference names, or there
                are too few samples for a metric, or texts are longer than the split.
        """
        if samples.texts is not None:
            metrics = self._texts.quality(samples.texts)
            drawn = samples.drawn.numpy()
            return metrics if repeat else metrics | self._texts.memorisation(drawn)
        grids = self._grids_of(samples)
        metrics = self._grids.quality(grids, errors=not repeat, labels=samples.labels)
        if not repeat:
            metrics |= self._grids.memorisation(grids)
        return metrics | self._clips(samples)

    @cached_property
    def _texts(self) -> TextJudge:
        return text_judge(self._prepared, self._split, self._reference.left_out)

    @cached_property
    def _grids(self) -> GridJudge:
        extractor, info = _extractor(self._folder, self._reference)
        seed = self._reference.protocol.seed
        left_out = self._reference.left_out
        return grid_judge(self._prepared, extractor, info.task, seed, self._split, left_out)

    def _grids_of(self, samples: Samples) -> Tensor:
        if samples.grids is not None:
            return samples.grids
        spec = self._prepared.spec("vae")
        assert samples.clips is not None
        assert spec.spectrogram
        assert spec.sample_rate
        return to_grid(samples.clips, spec.spectrogram, spec.sample_rate)

    def _clips(self, samples: Samples) -> Metrics:
        if samples.clips is None:
            return {}
        rate = self._prepared.spec("vae").sample_rate
        assert rate
        # A picture made by a model of sound is judged as a picture: rebuilding it blurs its pitch.
        pitches = self._reference.pitches if samples.grids is None else None
        return clip_metrics(samples.clips.numpy(), rate, pitches)


def _extractor(folder: Path, reference: Reference) -> tuple[Extractor, ExtractorInfo]:
    extractor, info = load_extractor(folder)
    path = folder / "extractor.safetensors"
    if reference.extractor is None or sha256_file(path) != reference.extractor.sha256:
        raise DataError(
            f"{path}: not the extractor that {REFERENCE} names. "
            f"Run `dvc repro -f reference@{folder.name}`."
        )
    return extractor, info
