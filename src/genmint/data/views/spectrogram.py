"""Log-mel spectrograms of audio clips, and their inversion by Griffin–Lim.

The mel scale is O'Shaughnessy's (2595·log10(1 + f/700)); filters are triangles with unit peak.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from genmint.config.datasets import Spectrogram

_FLOOR = 1e-10
# Audio samples transformed at a time, each of which takes about 50 bytes.
_SAMPLES = 1 << 22


def to_grid(clips: Tensor, settings: Spectrogram, sample_rate: int) -> Tensor:
    """Compute log-mel spectrograms of clips.

    Args:
        clips: int16 N×T.
        settings: window, hop (samples), number of mel bands, dynamic range (dB).
        sample_rate: sample rate in Hz.

    Returns:
        uint8 N×1×mels×(1 + T // hop): 255 is a full-scale sine in its band, 0 is `dynamic_range` dB
        below it or less. Low frequencies come first.
    """
    window = torch.hann_window(settings.n_fft)
    bank = _mel_bank(settings.n_fft, settings.mels, sample_rate)
    full_scale_db = 20 * math.log10(float(window.sum()) / 2)
    grids = []
    for part in clips.split(max(1, min(256, _SAMPLES // max(1, clips.shape[1])))):
        spectrum = torch.stft(
            part.to(torch.float32) / 32768.0,
            settings.n_fft,
            settings.hop,
            window=window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = bank @ spectrum.abs().square()
        db = 10 * torch.log10(power.clamp_min(_FLOOR)) - full_scale_db
        scaled = 255 * (1 + db / settings.dynamic_range)
        grids.append(scaled.round().clamp(0, 255).to(torch.uint8).unsqueeze(1))
    return torch.cat(grids)


def to_sound(
    grids: Tensor,
    settings: Spectrogram,
    sample_rate: int,
    samples: int,
    *,
    iterations: int = 60,
    seed: int = 0,
) -> Tensor:
    """Invert spectrograms: Griffin and Lim (1984), fast form of Perraudin et al. (2013).

    Args:
        grids: uint8 N×1×mels×frames, as returned by `to_grid`.
        settings: settings of `to_grid`.
        sample_rate: sample rate in Hz.
        samples: length T of the clips.
        iterations: iterations of phase estimation.
        seed: seed of the initial phase.

    Returns:
        int16 N×T.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = grids.split(max(1, _SAMPLES // max(1, samples)))
    return torch.cat(
        [_rebuilt(part, settings, sample_rate, samples, iterations, generator) for part in parts]
    )


def _rebuilt(
    grids: Tensor,
    settings: Spectrogram,
    sample_rate: int,
    samples: int,
    iterations: int,
    generator: torch.Generator,
) -> Tensor:
    """Invert one chunk of spectrograms, see `to_sound`."""
    window = torch.hann_window(settings.n_fft)
    bank = _mel_bank(settings.n_fft, settings.mels, sample_rate)
    full_scale_db = 20 * math.log10(float(window.sum()) / 2)
    db = (grids.squeeze(1).to(torch.float32) / 255 - 1) * settings.dynamic_range + full_scale_db
    power = torch.where(grids.squeeze(1) > 0, 10 ** (db / 10), torch.zeros(()))
    # Distributes a mel band over its bins by its own weights, so that no power is negative.
    spread = bank.T / bank.sum(dim=0).clamp_min(1e-6).unsqueeze(1)
    magnitude = (spread @ (power / bank.sum(dim=1, keepdim=True).clamp_min(1e-6))).sqrt()
    phase = torch.rand(magnitude.shape, generator=generator) * (2 * math.pi)
    estimate = torch.polar(magnitude, phase)
    previous = estimate
    for _ in range(iterations):
        sound = torch.istft(estimate, settings.n_fft, settings.hop, window=window, length=samples)
        rebuilt = torch.stft(
            sound,
            settings.n_fft,
            settings.hop,
            window=window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        rebuilt = rebuilt[..., : magnitude.shape[-1]]
        accelerated = rebuilt + 0.99 * (rebuilt - previous)
        previous = rebuilt
        estimate = magnitude * accelerated / accelerated.abs().clamp_min(1e-9)
    sound = torch.istft(estimate, settings.n_fft, settings.hop, window=window, length=samples)
    return (sound.clamp(-1, 1) * 32767).round().to(torch.int16)


@functools.cache
def _mel_bank(n_fft: int, mels: int, sample_rate: int) -> Tensor:
    """Return triangular filters, mels×(n_fft // 2 + 1)."""
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, mels + 2) / 2595) - 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    bank = torch.minimum(rising, falling).clamp_min(0)
    # At low frequencies a band can be narrower than a bin; it then uses the nearest bin.
    empty = bank.sum(dim=1) == 0
    nearest = (bins[None, :] - edges[1:-1, None]).abs().argmin(dim=1)
    bank[empty, nearest[empty]] = 1.0
    return bank
