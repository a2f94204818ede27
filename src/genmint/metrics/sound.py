"""Spectrum, clipping and silence of generated audio clips."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from genmint.common.array_types import Clips
from genmint.common.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr
from genmint.metrics.resampling import Rows, jackknife_stderr

_FULL_SCALE = 32767
_SILENCE = 32768 * 1e-3  # −60 dB of full scale, as in the manifest


def log_spectral_distance(grids: Tensor, real: Tensor, dynamic_range: float) -> tuple[float, float]:
    """Log-spectral distance between the mean spectra of samples and of real clips, in dB.

    The level of each mel band in dB is averaged over the frames and clips of a set. The distance is
    the root mean square of the level differences over the bands. This is the log-spectral distance
    of Gray and Markel (1976), for mean spectra instead of single frames. It detects differences of
    the average spectrum, such as hiss, hum or missing treble. It ignores temporal order.

    Args:
        grids: log-mel spectrograms of the samples, uint8 N×1×mels×frames, see
            `genmint.data.views.spectrogram.to_grid`.
        real: log-mel spectrograms of real clips, uint8 M×1×mels×frames.
        dynamic_range: dB from 0 to 255; lower levels are clipped to the lower end.

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
    """Share of the values of int16 N×T at full scale, and its standard error over the clips."""
    return mean_and_stderr((_sizes(clips) >= _FULL_SCALE).mean(axis=1))


def silence(clips: Clips) -> tuple[float, float]:
    """Share of the values of int16 N×T below −60 dB of full scale, and its error over the clips.

    The padding of short recordings counts as silence. Compare with the value of real clips.
    """
    return mean_and_stderr((_sizes(clips) < _SILENCE).mean(axis=1))


def _sizes(clips: Clips) -> npt.NDArray[np.int32]:
    # The absolute value of −32768 does not fit into int16.
    return np.abs(clips.astype(np.int32))


def _levels(grids: Tensor, dynamic_range: float) -> npt.NDArray[np.float64]:
    """Mean level of each band over the frames in dB, N×mels."""
    levels: npt.NDArray[np.float64] = grids.squeeze(1).double().mean(dim=2).numpy()
    return levels * (dynamic_range / 255)
