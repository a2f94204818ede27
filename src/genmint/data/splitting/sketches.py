"""Sketches of finished items, some hundred bytes each, that are similar for near-duplicates.

Images: a 16×16 thumbnail of the luminance (and 4×4 of the chroma). Audio clips: a log-mel
spectrogram of 16 frames and 32 bands. Texts: the MinHash of their character shingles (Broder 1997,
"On the resemblance and containment of documents"). Sketches are made from model inputs, that is,
prepared items after every conversion.
"""

from __future__ import annotations

import functools
import hashlib
import re

import numpy as np
import numpy.typing as npt

Sketches = npt.NDArray[np.uint8]

# Smaller images have too few pixels to distinguish near-duplicates from other items of a class.
LEAST_PIXELS = 16
_CELLS, _CHROMA_CELLS = 16, 4
LUMINANCE, CHROMA = _CELLS**2, 2 * _CHROMA_CELLS**2
# Luminance of RGB in thousandths (ITU-R BT.601), so that all sums are integers.
_LUMINANCE = (299, 587, 114)

_FRAMES, _BANDS = 16, 32
_DYNAMIC_RANGE = 40.0  # dB; below that, noise and coding differ between copies
# A frame must contain a few periods of a low tone for a useful spectrum.
_LEAST_FRAME = 64
_CLIPS = 256

MINHASHES = 128
SHINGLE = 6  # characters
# Shorter texts share most of their few shingles with others by chance.
_LEAST_SHINGLES = 50
_BLANKS = re.compile(r"\s+")


def image_sketches(items: npt.NDArray[np.uint8]) -> Sketches | None:
    """Return image sketches, uint8 N×256 (grey) or N×288 (colour); None below 16×16 pixels.

    Args:
        items: uint8 N×C×H×W, C of 1 or 3.
    """
    channels, height, width = items.shape[1:]
    if min(height, width) < LEAST_PIXELS:
        return None
    wide = items.astype(np.float64)
    if channels == 1:
        return _averages(wide[:, 0], _CELLS, 1)
    luminance = np.einsum("nchw,c->nhw", wide, np.array(_LUMINANCE, dtype=np.float64))
    parts = [_averages(luminance, _CELLS, 1000)]
    for channel in (0, 2):
        # The full chroma difference does not fit a byte; half of it, centred at 128, does.
        chroma = 500 * wide[:, channel] - 0.5 * luminance + 128_000
        parts.append(_averages(chroma, _CHROMA_CELLS, 1000))
    return np.concatenate(parts, axis=1)


def clip_sketches(clips: npt.NDArray[np.int16], sample_rate: int) -> Sketches | None:
    """Return sketches of audio clips, uint8 N×512; None for clips too short for 16 frames.

    Args:
        clips: int16 N×T.
        sample_rate: sample rate in Hz.
    """
    length = 2 * clips.shape[1] // (_FRAMES + 1)
    if length < _LEAST_FRAME:
        return None
    starts = [round(k * (clips.shape[1] - length) / (_FRAMES - 1)) for k in range(_FRAMES)]
    points = 1 << (length - 1).bit_length()
    window = np.hanning(length + 1)[:length]
    bank = _mel_bank(points, sample_rate)
    sketches = []
    for first in range(0, len(clips), _CLIPS):
        part = clips[first : first + _CLIPS].astype(np.float64)
        frames = np.stack([part[:, start : start + length] for start in starts], axis=1)
        power = np.square(np.abs(np.fft.rfft(frames * window, points))) @ bank.T
        loudest = power.max(axis=(1, 2), keepdims=True)
        level = 10 * np.log10(np.maximum(power, 1e-9) / np.maximum(loudest, 1e-9))
        scaled = np.rint(255 * np.clip(1 + level / _DYNAMIC_RANGE, 0, 1))
        sketches.append(scaled.astype(np.uint8).reshape(len(part), -1))
    return np.concatenate(sketches) if sketches else np.zeros((0, _FRAMES * _BANDS), np.uint8)


class TextSketch:
    """MinHash and sha256 (as UTF-8) of a text that arrives in chunks.

    Shingles are sequences of 6 characters of the text in lower case with runs of blanks replaced by
    one blank. Line ends, indentation and capitals therefore have no effect.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._left = ""
        self._least = np.full(MINHASHES, np.iinfo(np.uint32).max, dtype=np.uint32)
        self._shingles = 0

    def update(self, text: str) -> None:
        """Add the next characters."""
        self._digest.update(text.encode())
        squeezed = _BLANKS.sub(" ", text.lower())
        # A run of blanks may have started in the previous chunk.
        joined = self._left + (squeezed.lstrip(" ") if self._left.endswith(" ") else squeezed)
        codes = np.frombuffer(joined.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
        self._left = joined[-(SHINGLE - 1) :]
        if len(codes) < SHINGLE:
            return
        hashed = np.zeros(len(codes) - SHINGLE + 1, dtype=np.uint64)
        for k in range(SHINGLE):
            hashed = (hashed ^ codes[k : k + len(hashed)]) * np.uint64(0x9E3779B97F4A7C15)
            hashed ^= hashed >> np.uint64(29)
        distinct = np.unique(hashed)
        self._shingles = max(self._shingles, len(distinct))
        for k, (factor, summand) in enumerate(_permutations()):
            least = ((distinct * factor + summand) >> np.uint64(32)).min()
            self._least[k] = min(self._least[k], least)

    def hexdigest(self) -> str:
        """Return the sha256 of the text so far as UTF-8, 64 hex digits."""
        return self._digest.hexdigest()

    def sketch(self) -> Sketches | None:
        """Return uint8 1×512, 128 integers of 32 bits; None for few distinct shingles."""
        if self._shingles < _LEAST_SHINGLES:
            return None
        return self._least.astype("<u4").view(np.uint8)[np.newaxis]


@functools.cache
def _permutations() -> list[tuple[np.uint64, np.uint64]]:
    """Return factors (odd) and summands of multiply-shift hashing (Dietzfelbinger et al. 1997)."""
    drawn = np.random.default_rng(0).integers(0, 2**64, (MINHASHES, 2), dtype=np.uint64)
    return [(factor | np.uint64(1), summand) for factor, summand in drawn]


def _averages(planes: npt.NDArray[np.float64], cells: int, scale: int) -> Sketches:
    """Return means over a grid of cells×cells, uint8 N×cells².

    Pixels contribute to cells by their overlap. Weights are integers, so that sums are exact and
    equal on every machine, in any order of summation.

    Args:
        planes: N×H×W, integers or halves, 0…255 × scale.
        cells: number of cells along each side.
        scale: scale factor of the planes.
    """
    height, width = planes.shape[1:]
    down, across = _overlaps(height, cells), _overlaps(width, cells)
    means = np.rint(down @ planes @ across.T / (height * width * scale))
    averages: Sketches = means.clip(0, 255).astype(np.uint8).reshape(len(planes), -1)
    return averages


@functools.cache
def _overlaps(pixels: int, cells: int) -> npt.NDArray[np.float64]:
    """Return the overlap of each pixel with each cell, cells×pixels; a pixel has `cells` parts."""
    first = np.arange(pixels) * cells
    start = (np.arange(cells) * pixels)[:, np.newaxis]
    shared = np.minimum(first + cells, start + pixels) - np.maximum(first, start)
    overlaps: npt.NDArray[np.float64] = np.maximum(shared, 0).astype(np.float64)
    return overlaps


@functools.cache
def _mel_bank(points: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return triangular filters of unit peak, bands × (1 + points / 2).

    They are equidistant on O'Shaughnessy's mel scale.
    """
    bins = np.linspace(0, sample_rate / 2, points // 2 + 1)
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, _BANDS + 2) / 2595) - 1)
    widths = np.diff(edges)[:, np.newaxis]
    rising = (bins - edges[:-2, np.newaxis]) / widths[:-1]
    falling = (edges[2:, np.newaxis] - bins) / widths[1:]
    bank: npt.NDArray[np.float64] = np.maximum(np.minimum(rising, falling), 0)
    # At low frequencies a band can be narrower than a bin; it then uses the nearest bin.
    empty = bank.sum(axis=1) == 0
    nearest = np.abs(bins - edges[1:-1, np.newaxis]).argmin(axis=1)
    bank[empty, nearest[empty]] = 1.0
    return bank
