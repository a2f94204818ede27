"""Drawing from a model under a protocol, and judging what was drawn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from genmint.data import views
from genmint.data.prepared import Prepared, Split
from genmint.data.spectrogram import to_grid, to_sound
from genmint.errors import DataError
from genmint.files import sha256_file
from genmint.metrics.extractor import Extractor, ExtractorInfo, load_extractor
from genmint.metrics.judge import Metrics, clip_metrics, grid_judge, text_judge
from genmint.metrics.reference import REFERENCE, Reference, text_length
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
    """

    drawn: Tensor
    grids: Tensor | None
    clips: Tensor | None
    texts: list[str] | None
    seconds: float


def draw(model: Family, reference: Reference, *, number: int = 0) -> Samples:
    """Draw as many samples as the protocol says.

    Args:
        model: on its device.
        reference: of the data set, with the protocol.
        number: which of the independent sets of the protocol; 0 is the one that is shown.
    """
    protocol, spec = reference.protocol, model.spec
    began = time.perf_counter()
    drawn = model.sample(
        protocol.samples,
        seed=protocol.seed + number,
        batch_size=protocol.batch_size,
        length=text_length(protocol) if spec.kind == "text" else None,
    ).cpu()
    seconds = time.perf_counter() - began
    if spec.view == "grid":
        if spec.kind == "image":
            return Samples(drawn, drawn, None, None, seconds)
        assert spec.spectrogram
        assert spec.sample_rate
        assert spec.samples
        clips = to_sound(drawn, spec.spectrogram, spec.sample_rate, spec.samples)
        return Samples(drawn, drawn, clips, None, seconds)
    shown = views.from_symbols(drawn, spec)
    if isinstance(shown, list):
        return Samples(drawn, None, None, shown, seconds)
    if spec.kind == "image":
        return Samples(drawn, shown, None, None, seconds)
    return Samples(drawn, None, shown, None, seconds)


def grid_metrics(
    samples: Samples,
    prepared: Prepared,
    reference: Reference,
    folder: Path,
    *,
    split: Split = "test",
    repeat: bool = False,
) -> Metrics:
    """Judge pictures, or sound by its pictures, and sound by itself.

    Args:
        samples: of the model.
        prepared: data set.
        reference: of the data set.
        folder: of the reference, with the extractor.
        split: of real items that they are held against.
        repeat: leave out what is of no use for a further set of samples, or too slow: standard
            errors and memorisation.

    Raises:
        DataError: the extractor is damaged or not the one that the reference names, or there are
            too few samples for a metric.
    """
    spec = prepared.spec("vae")
    extractor, info = _extractor(folder, reference)
    judge = grid_judge(prepared, extractor, info.task, reference.protocol.seed, split)
    grids = samples.grids
    if grids is None:
        assert samples.clips is not None
        assert spec.spectrogram
        assert spec.sample_rate
        grids = to_grid(samples.clips, spec.spectrogram, spec.sample_rate)
    metrics = judge.quality(grids, errors=not repeat)
    if not repeat:
        metrics |= judge.memorisation(grids)
    if samples.clips is not None:
        assert spec.sample_rate
        # A picture made by a model of sound is judged as a picture: rebuilding it blurs its pitch.
        pitches = reference.pitches if samples.grids is None else None
        metrics |= clip_metrics(samples.clips.numpy(), spec.sample_rate, pitches)
    return metrics


def text_metrics(
    samples: Samples, prepared: Prepared, *, split: Split = "test", repeat: bool = False
) -> Metrics:
    """Judge texts by their words and by what they quote.

    Args:
        samples: of the model.
        prepared: data set.
        split: of real text that they are held against.
        repeat: leave out memorisation, which is too slow for further sets of samples.

    Raises:
        DataError: too few samples for a metric, or they are longer than the test split.
    """
    assert samples.texts is not None
    judge = text_judge(prepared, split)
    metrics = judge.quality(samples.texts)
    return metrics if repeat else metrics | judge.memorisation(samples.drawn.numpy())


def _extractor(folder: Path, reference: Reference) -> tuple[Extractor, ExtractorInfo]:
    extractor, info = load_extractor(folder)
    path = folder / "extractor.safetensors"
    if reference.extractor is None or sha256_file(path) != reference.extractor.sha256:
        raise DataError(
            f"{path}: not the extractor that {REFERENCE} names. "
            f"Run `dvc repro -f reference@{folder.name}`."
        )
    return extractor, info
