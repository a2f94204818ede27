import numpy as np
import pytest
import torch

from genmint.common.errors import DataError
from genmint.config import Spectrogram
from genmint.data.views.spectrogram import to_grid
from genmint.metrics.sound import clipping, log_spectral_distance, silence

SETTINGS = Spectrogram(n_fft=64, hop=32, mels=8)


def noise(level, count=40, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.normal(0, level, (count, 1024))).clip(-32768, 32767)).short()


def grids(clips):
    return to_grid(clips, SETTINGS, 4000)


def test_half_as_loud_is_6_decibels_away():
    loud, quiet = grids(noise(2000)), grids(noise(1000, seed=1))
    value, stderr = log_spectral_distance(quiet, loud, SETTINGS.dynamic_range)
    assert value == pytest.approx(20 * np.log10(2), abs=0.15)
    assert stderr < 0.15
    assert log_spectral_distance(loud, loud, SETTINGS.dynamic_range)[0] == 0.0


def test_it_is_the_root_mean_square_over_the_bands():
    a, b = (torch.zeros(2, 1, 4, 3, dtype=torch.uint8) for _ in range(2))
    a[:, :, 0] = 51
    a[0, :, 1], a[1, :, 1] = 102, 0
    # Bands differ by 16, 16, 0 and 0 dB where 255 is 80 dB.
    assert log_spectral_distance(a, b, 80.0)[0] == pytest.approx(np.sqrt(2 * 16**2 / 4))


def test_silent_samples_are_as_far_as_the_level_of_the_real_ones():
    loud = grids(noise(2000))
    silent = torch.zeros_like(loud)
    value, stderr = log_spectral_distance(silent, loud, 80.0)
    assert value == pytest.approx(float(loud.double().mean()) * 80 / 255, rel=0.02)
    assert stderr == pytest.approx(0, abs=1e-9)


def test_the_error_of_the_distance_is_its_spread():
    rng = np.random.default_rng(0)
    real = grids(noise(2000, seed=9))

    def draw():
        levels = rng.uniform(200, 2000, (30, 1))
        clips = torch.from_numpy(rng.normal(0, 1, (30, 1024)) * levels).short()
        return log_spectral_distance(grids(clips), real, 80.0)

    found = [draw() for _ in range(60)]
    spread = np.std([value for value, _ in found])
    assert np.mean([stderr for _, stderr in found]) == pytest.approx(spread, rel=0.25)


def test_no_clips_are_refused():
    with pytest.raises(DataError, match=r"protocol\.samples"):
        log_spectral_distance(grids(noise(1))[:0], grids(noise(1)), 80.0)


def test_clipping_and_silence_count_samples():
    clips = np.array([[32767, -32768, 0, 100], [-32767, 32, -33, 32766]], dtype=np.int16)
    assert clipping(clips) == pytest.approx((0.375, 0.125))
    assert silence(clips) == pytest.approx((0.25, 0.0))
    assert clipping(clips[:1]) == (0.5, 0.0)
