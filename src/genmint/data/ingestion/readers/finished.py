"""Manifest columns about finished items, that is, model inputs rather than files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from genmint.common.array_types import Clips
from genmint.common.files import sha256_bytes
from genmint.data.ingestion.readers.base import Statistics, as_float
from genmint.data.splitting.sketches import clip_sketches, image_sketches

FULL_SCALE = 32768.0
SILENCE = 1e-3  # −60 dB of full scale

# Clips described at a time.
_CLIPS = 256


def describe_images(items: npt.NDArray[np.uint8]) -> list[Statistics]:
    """Return mean, std, item and sketch of finished images, uint8 N×C×H×W.

    std is the deviation within a channel, 0…255; it is zero for an image of a single colour.
    """
    means = as_float(items.mean(axis=(1, 2, 3)))
    stds = as_float(np.sqrt(np.square(items.std(axis=(2, 3))).mean(axis=1)))
    sketches = image_sketches(items)
    return [
        {
            "mean": means[k],
            "std": stds[k],
            "item": sha256_bytes(np.ascontiguousarray(items[k]).tobytes()),
            "sketch": None if sketches is None else sketches[k].tobytes(),
        }
        for k in range(len(items))
    ]


def describe_clips(clips: Iterable[Clips], total: int, sample_rate: int) -> Statistics:
    """Return windows, silent_windows, clip_peak, clip_silence, item and sketch of a file's clips.

    clip_peak is the peak of the quietest clip, clip_silence the mean fraction of silent samples.

    Args:
        clips: clips used by models, int16 T each.
        total: number of clips before silent ones were left out.
        sample_rate: sample rate in Hz.
    """
    digest = hashlib.sha256()
    sketches: list[bytes] | None = []
    count, quietest, silent = 0, np.inf, 0.0
    for piece in _pieces(clips):
        digest.update(np.ascontiguousarray(piece, dtype="<i2").tobytes())
        loud = np.abs(piece.astype(np.float32)) / FULL_SCALE
        quietest = min(quietest, float(loud.max(axis=1).min()))
        silent += float((loud < SILENCE).mean(axis=1).sum())
        piece_sketches = clip_sketches(piece, sample_rate)
        sketches = (
            None
            if piece_sketches is None or sketches is None
            else [*sketches, piece_sketches.tobytes()]
        )
        count += len(piece)
    peak, silence = as_float(np.array([quietest, silent / count]))
    return {
        "windows": count,
        "silent_windows": total - count,
        "clip_peak": peak,
        "clip_silence": silence,
        "item": digest.hexdigest(),
        "sketch": None if sketches is None else b"".join(sketches),
    }


def audible(clips: Iterable[Clips]) -> Iterator[Clips]:
    """Yield the clips that are not silent; if all are silent, the first one.

    That clip keeps the file in the manifest, where the expectation suite reports it as silent.
    """
    first: Clips | None = None
    is_audible = False
    for clip in clips:
        first = clip if first is None else first
        if np.abs(clip.astype(np.float32)).max() >= SILENCE * FULL_SCALE:
            is_audible = True
            yield clip
    if first is not None and not is_audible:
        yield first


def _pieces(clips: Iterable[Clips]) -> Iterator[Clips]:
    stream = iter(clips)
    while piece := list(islice(stream, _CLIPS)):
        yield np.stack(piece)
