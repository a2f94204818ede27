"""Fundamental frequency of audio clips, and the share of clips at a pitch of the real clips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genmint.common.array_types import Floats
from genmint.metrics.likelihood import mean_and_stderr

LOWEST, HIGHEST = 60.0, 2000.0  # Hz: the range of voices and of most instruments' notes
# Absolute threshold of de Cheveigné and Kawahara; frames with a minimum above 0.3 are unvoiced.
_SURE, _VOICED = 0.1, 0.3
_SILENCE_DB = -40.0
_PART = 256
# Samples processed at a time. Frames overlap and spectra are complex: about 100 bytes a sample.
_SAMPLES = 1 << 21

# Maximum gap between neighbouring pitches of the same note, in semitones.
_GAP = 0.3
HALF_A_SEMITONE = 0.5


def fundamentals(clips: npt.NDArray[np.int16], sample_rate: int) -> Floats:
    """Fundamental frequency of each clip: the median over its non-silent frames.

    YIN (de Cheveigné and Kawahara 2002): difference function, cumulative mean normalisation,
    absolute threshold, parabolic interpolation. Frames 40 dB below the loudest frame of the clip
    are silent.

    Args:
        clips: int16 N×T.
        sample_rate: Hz.

    Returns:
        float64 N, Hz. NaN if fewer than half of the non-silent frames have a clear period (noise,
        silence, clips shorter than two periods).
    """
    lags = int(min(sample_rate / LOWEST, clips.shape[1] // 3))
    if lags < 3:
        return np.full(len(clips), np.nan)
    shortest = max(2, int(sample_rate / HIGHEST))
    part = max(1, min(_PART, _SAMPLES // clips.shape[1]))
    pitches = [
        _of_part(clips[i : i + part], sample_rate, shortest, lags)
        for i in range(0, len(clips), part)
    ]
    return np.concatenate(pitches) if pitches else np.empty(0)


def semitones(frequencies: Floats) -> Floats:
    """MIDI note numbers as floats: 69 is 440 Hz, and 1 is a semitone."""
    return 69 + 12 * np.log2(frequencies / 440)


def reference_pitches(frequencies: Floats) -> list[float]:
    """Notes of the real clips: clusters of their fundamental frequencies.

    Neighbouring fundamentals in ascending order belong to the same cluster if they are less than
    0.3 semitones apart. A cluster is a note if it has at least 1 % of the clips; the note is the
    median of the cluster. The pitch of speech glides, so speech gives few wide clusters with hardly
    any clip near their medians. The metric is not used for such data.

    Args:
        frequencies: Hz, NaN allowed, float64 N.

    Returns:
        Hz, ascending.
    """
    pitches = np.sort(semitones(frequencies[np.isfinite(frequencies)]))
    if len(pitches) == 0:
        return []
    clusters = np.split(pitches, np.flatnonzero(np.diff(pitches) > _GAP) + 1)
    enough = max(2.0, 0.01 * len(frequencies))
    medians = [float(np.median(cluster)) for cluster in clusters if len(cluster) >= enough]
    return [440 * 2 ** ((note - 69) / 12) for note in medians]


def in_tune(frequencies: Floats, pitches: list[float]) -> tuple[float, float]:
    """Share of clips within half a semitone of one of `pitches`, and its standard error.

    Clips without a pitch count as out of tune.

    Args:
        frequencies: Hz, NaN allowed, float64 N.
        pitches: Hz.
    """
    if not pitches or len(frequencies) == 0:
        return 0.0, 0.0
    distance = np.abs(semitones(frequencies)[:, None] - semitones(np.array(pitches))[None, :])
    return mean_and_stderr((distance.min(axis=1) <= HALF_A_SEMITONE).astype(np.float64))


def _of_part(clips: npt.NDArray[np.int16], sample_rate: int, shortest: int, lags: int) -> Floats:
    window = min(2 * lags, clips.shape[1] - lags)
    length = window + lags
    x = clips.astype(np.float64) / 32768
    framed = np.lib.stride_tricks.sliding_window_view(x, length, axis=1)[:, :: window // 2]
    energy = (framed**2).mean(axis=2)
    loudest = energy.max(axis=1, keepdims=True)
    sounding = (energy > loudest * 10 ** (_SILENCE_DB / 10)) & (loudest > 0)
    period, depth = _yin(framed.reshape(-1, length), window, shortest, lags)
    voiced = sounding & (depth < _VOICED).reshape(sounding.shape)
    pitch = np.where(voiced, np.log2(sample_rate / period).reshape(sounding.shape), np.nan)
    result = np.full(len(clips), np.nan)
    clear = voiced.sum(axis=1) * 2 >= np.maximum(sounding.sum(axis=1), 1)
    if clear.any():
        result[clear] = 2 ** np.nanmedian(pitch[clear], axis=1)
    return result


def _yin(frames: Floats, window: int, shortest: int, lags: int) -> tuple[Floats, Floats]:
    """Period of each frame in samples, and the normalised difference there (0: periodic)."""
    difference = _difference(frames, window, lags)
    mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, lags + 1)
    normalised = np.ones_like(difference)
    normalised[:, 1:] = np.divide(difference[:, 1:], mean, out=np.ones_like(mean), where=mean > 0)
    inner = normalised[:, shortest:lags]
    dips = (inner <= normalised[:, shortest - 1 : lags - 1]) & (
        inner <= normalised[:, shortest + 1 : lags + 1]
    )
    good = dips & (inner < _SURE)
    first = np.where(
        good.any(axis=1), good.argmax(axis=1), np.where(dips, inner, np.inf).argmin(axis=1)
    )
    lag = first + shortest
    rows = np.arange(len(frames))
    depth = np.where(dips[rows, first], normalised[rows, lag], np.inf)
    before, here, after = (difference[rows, lag + i] for i in (-1, 0, 1))
    curvature = before - 2 * here + after
    shift = np.divide(
        before - after, 2 * curvature, out=np.zeros_like(here), where=curvature > 1e-12
    )
    return lag + shift.clip(-0.5, 0.5), depth


def _difference(frames: Floats, window: int, lags: int) -> Floats:
    """d(τ) = Σ_{j<window} (x_j − x_{j+τ})² for τ = 0…lags, by FFT; frames×(lags + 1)."""
    size = 1 << (frames.shape[1] + window - 1).bit_length()
    head = np.fft.rfft(frames[:, :window], size)
    products = np.fft.irfft(np.fft.rfft(frames, size) * head.conj(), size)[:, : lags + 1]
    squares = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energies = squares[:, window : window + lags + 1] - squares[:, : lags + 1]
    difference: Floats = np.maximum(energies[:, :1] + energies - 2 * products, 0)
    return difference
