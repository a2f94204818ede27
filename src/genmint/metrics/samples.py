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
from genmint.metrics.catalogue import frechet_name, kernel_name
from genmint.metrics.classes import classes, confident
from genmint.metrics.extractor import Extractor, ExtractorInfo, load_extractor
from genmint.metrics.frechet import frechet_distance, frechet_stderr
from genmint.metrics.kernel import kernel_distance
from genmint.metrics.memorisation import copied_grids, copied_texts
from genmint.metrics.pitch import fundamentals, in_tune
from genmint.metrics.reference import REFERENCE, Reference, text_length
from genmint.metrics.words import as_text, words_in_held_out
from genmint.models.family import Family

Metrics = dict[str, float]


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
    """Judge pictures, or sound by its pictures.

    Fréchet and kernel distance to the test split with their errors and, where the set has labels,
    confidence and number of classes; the share of copies; for clips of a sequence model on a set
    that plays notes, the share in tune.

    Args:
        samples: of the model.
        prepared: data set.
        reference: of the data set.
        folder: of the reference, with the extractor.
        split: of real items that they are held against.
        repeat: leave out what is of no use for a further set of samples, or too slow: standard
            errors and memorisation.

    Raises:
        DataError: the extractor is damaged or not the one that the reference names.
    """
    spec = prepared.spec("vae")
    extractor, info = _extractor(folder, reference)
    held_out = views.load(prepared, split, spec)
    grids = samples.grids
    if grids is None:
        assert samples.clips is not None
        assert spec.spectrogram
        assert spec.sample_rate
        grids = to_grid(samples.clips, spec.spectrogram, spec.sample_rate)
    features, real = extractor.features(grids), extractor.features(held_out)
    seed = reference.protocol.seed
    frechet, kernel = frechet_name(reference.dataset), kernel_name(reference.dataset)
    metrics: Metrics = {frechet: frechet_distance(features, real)}
    metrics[kernel], kernel_stderr = kernel_distance(features, real)
    if info.task == "labels":
        probabilities = extractor.probabilities(grids)
        metrics["confident"] = confident(probabilities)
        metrics["classes"] = float(classes(probabilities))
    # A picture made by a model of sound is judged as a picture: rebuilding it blurs its pitch.
    if samples.grids is None and reference.pitches:
        assert samples.clips is not None
        assert spec.sample_rate
        pitches = fundamentals(samples.clips.numpy(), spec.sample_rate)
        metrics["in_tune"] = in_tune(pitches, list(reference.pitches))
    if not repeat:
        metrics[f"{frechet}_stderr"] = frechet_stderr(features, real, seed=seed)
        metrics[f"{kernel}_stderr"] = kernel_stderr
        train = views.load(prepared, "train", spec)
        metrics["copied"] = copied_grids(grids, train, held_out, seed=seed)
    return metrics


def _extractor(folder: Path, reference: Reference) -> tuple[Extractor, ExtractorInfo]:
    extractor, info = load_extractor(folder)
    path = folder / "extractor.safetensors"
    if reference.extractor is None or sha256_file(path) != reference.extractor.sha256:
        raise DataError(
            f"{path}: not the extractor that {REFERENCE} names. "
            f"Run `dvc repro -f reference@{folder.name}`."
        )
    return extractor, info


def text_metrics(
    samples: Samples, prepared: Prepared, *, split: Split = "test", repeat: bool = False
) -> Metrics:
    """Judge texts: the share of words that the held-out text has, and the share of copies.

    Args:
        samples: of the model.
        prepared: data set.
        split: of real text that they are held against.
        repeat: leave out memorisation, which is too slow for further sets of samples.
    """
    assert samples.texts is not None
    spec = prepared.spec("rnn")
    held_out = views.load(prepared, split, spec).numpy()
    metrics = {"words_in_held_out": words_in_held_out(samples.texts, as_text(held_out, spec))}
    if not repeat:
        train = views.load(prepared, "train", spec).numpy()
        copied, longest = copied_texts(samples.drawn.numpy(), train, held_out)
        metrics |= {"copied": copied, "longest_copy": float(longest)}
    return metrics
