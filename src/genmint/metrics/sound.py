"""Spectrum, clipping and silence of generated clips."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from genmint.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr
from genmint.metrics.resampling import Rows, jackknife_stderr

Clips = npt.NDArray[np.int16]

_FULL_SCALE = 32767
_SILENCE = 32768 * 1e-3  # −60 dB of full scale, as in the manifest


def log_spectral_distance(grids: Tensor, real: Tensor, dynamic_range: float) -> tuple[float, float]:
    """Log-spectral distance between the mean spectra of samples and of real clips, in dB.

    The level of each mel band in dB is averaged over the frames and clips of a set; the distance is
    the root mean square over the bands of the difference of the two (the log-spectral distance of
    Gray and Markel 1976, of mean spectra instead of single frames). It hears the colour of a set:
    hiss, hum, missing treble; not the order of its sounds.

    Args:
        grids: log-mel pictures of the samples, uint8 N×1×mels×frames, see
            `genmint.data.spectrogram.to_grid`.
        real: those of real clips, uint8 M×1×mels×frames.
        dynamic_range: dB from 0 to 255; what is below counts as at its lower end.

    Returns:
        dB, 0 or more, and its standard error over the drawing of the samples (jackknife).

    Raises:
        DataError: a set is empty.
    """
    if len(grids) == 0 or len(real) == 0:
        raise DataError("a spectrum needs at least one clip; raise protocol.samples")
    levels, target = _levels(grids, dynamic_range), _levels(real, dynamic_range).mean(axis=0)

    def distance(rows: Rows) -> float:
        return math.sqrt(float(((levels[rows].mean(axis=0) - target) ** 2).mean()))

    return distance(np.arange(len(levels))), jackknife_stderr(distance, len(levels))


def clipping(clips: Clips) -> tuple[float, float]:
    """Share of the samples of int16 N×T at full scale, and its standard error over the clips."""
    return mean_and_stderr((_sizes(clips) >= _FULL_SCALE).mean(axis=1))


def silence(clips: Clips) -> tuple[float, float]:
    """Share of the samples of int16 N×T below −60 dB of full scale, and its error over the clips.

    Padding of short recordings counts: real clips say how much of it is usual.
    """
    return mean_and_stderr((_sizes(clips) < _SILENCE).mean(axis=1))


def _sizes(clips: Clips) -> npt.NDArray[np.int32]:
    # −32768 has no opposite in 16 bits.
    return np.abs(clips.astype(np.int32))


def _levels(grids: Tensor, dynamic_range: float) -> npt.NDArray[np.float64]:
    """Mean level of each band over the frames, dB, N×mels."""
    levels: npt.NDArray[np.float64] = grids.squeeze(1).double().mean(dim=2).numpy()
    return levels * (dynamic_range / 255)
