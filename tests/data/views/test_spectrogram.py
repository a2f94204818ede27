import math

import pytest
import torch

from genmint.config import Spectrogram
from genmint.data.views.spectrogram import to_grid, to_sound

RATE = 8000


def tone(hertz, seconds=0.5, amplitude=32767.0):
    t = torch.arange(round(seconds * RATE)) / RATE
    return (amplitude * torch.sin(2 * math.pi * hertz * t)).round().to(torch.int16)[None]


def mel(hertz):
    return 2595 * math.log10(1 + hertz / 700)


@pytest.mark.parametrize("hertz", [200, 440, 1000, 2500])
def test_a_tone_is_brightest_in_its_band(hertz):
    settings = Spectrogram()
    grid = to_grid(tone(hertz), settings, RATE)
    band = int(grid[0, 0, :, 8].argmax())
    expected = mel(hertz) / mel(RATE / 2) * (settings.mels + 1) - 1
    assert abs(band - expected) <= 1


def test_full_scale_is_white_and_80_db_below_it_is_black():
    settings = Spectrogram(n_fft=256, hop=128, mels=32, dynamic_range=80.0)
    loud = int(to_grid(tone(1000), settings, RATE)[0, 0, :, 8].max())
    softer = int(to_grid(tone(1000, amplitude=3276.7), settings, RATE)[0, 0, :, 8].max())
    assert loud > 240
    assert loud - softer == pytest.approx(20 / 80 * 255, abs=2)
    assert int(to_grid(torch.zeros(1, 4000, dtype=torch.int16), settings, RATE).max()) == 0


def test_shape_and_type():
    grid = to_grid(tone(440).repeat(3, 1), Spectrogram(mels=24, hop=64), RATE)
    assert grid.shape == (3, 1, 24, 1 + 4000 // 64)
    assert grid.dtype == torch.uint8


def test_audio_made_from_a_spectrogram_has_that_spectrogram():
    generator = torch.Generator().manual_seed(0)
    partials = sum(
        tone(220 * k, amplitude=6000.0 / k).float() * torch.exp(-torch.arange(4000) * k / 4000)
        for k in range(1, 10)
    )
    clip = partials.round().to(torch.int16)
    settings = Spectrogram(hop=64)
    grid = to_grid(clip, settings, RATE)
    back = to_sound(grid, settings, RATE, 4000)
    assert back.shape == (1, 4000)
    assert back.dtype == torch.int16
    error = (to_grid(back, settings, RATE).float() - grid.float()).abs().mean()
    noise = torch.randint(-6000, 6000, (1, 4000), generator=generator).to(torch.int16)
    wrong = (to_grid(noise, settings, RATE).float() - grid.float()).abs().mean()
    assert error < 20
    assert error < wrong / 3


def test_silence_stays_silence_and_the_seed_decides():
    settings = Spectrogram()
    black = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    assert int(to_sound(black, settings, RATE, 4000).abs().max()) == 0
    grid = to_grid(tone(440), settings, RATE)
    one, two = (to_sound(grid, settings, RATE, 4000, seed=3) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, to_sound(grid, settings, RATE, 4000, seed=4))
