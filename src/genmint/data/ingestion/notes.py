"""Built-in audio data: plucked strings, synthesised from a seed.

Karplus and Strong (1983) with the tuning of Jaffe and Smith (1983). A burst of noise circulates in
a delay line with a low-pass, which damps high overtones first, and an all-pass, which adds a
fractional delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Equal temperament, A4 = 440 Hz. Neighbours are three to five semitones apart, so that only a third
# of all pitches between them is within half a semitone of a note.
NOTES: dict[str, float] = {
    "E4": 329.628,
    "A4": 440.000,
    "C5": 523.251,
    "E5": 659.255,
    "G5": 783.991,
}

# A soft excitation (fingertip, not plectrum) makes the fundamental the strongest partial of most
# clips.
_SMOOTHING = 3


@dataclass(frozen=True)
class Pluck:
    """Parameters of one plucked string.

    Attributes:
        frequency: fundamental in Hz.
        position: plucking position along the string, 0…0.5 of its length.
        amplitude: peak of the clip, 0…1 of full scale.
        decay: seconds until the fundamental has decayed by 60 dB.
        softness: 0…1, fraction of the strongest low-pass that `decay` allows.
    """

    frequency: float
    position: float
    amplitude: float
    decay: float
    softness: float


def synthesise(
    clips: int, seed: int, sample_rate: int, samples: int
) -> tuple[npt.NDArray[np.int16], list[str]]:
    """Synthesise the notes of `NOTES` in turn with random plucking parameters.

    Args:
        clips: number of clips.
        seed: seed of all random parameters.
        sample_rate: sample rate in Hz.
        samples: length T of a clip.

    Returns:
        int16 clips×T, and the note name of each clip.
    """
    generator = np.random.default_rng(seed)
    names = list(NOTES)
    labels = [names[index % len(names)] for index in range(clips)]
    sound = np.empty((clips, samples), dtype=np.int16)
    for index, label in enumerate(labels):
        position, amplitude, decay, softness = generator.random(4)
        pluck = Pluck(
            frequency=NOTES[label],
            position=0.1 + 0.35 * position,
            amplitude=0.3 + 0.6 * amplitude,
            decay=1.0 * 3.0**decay,
            softness=0.5 + 0.5 * softness,
        )
        clip = pluck_string(pluck, sample_rate, samples, generator)
        sound[index] = np.rint(clip * 32767).astype(np.int16)
    return sound, labels


def pluck_string(
    pluck: Pluck, sample_rate: int, samples: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Synthesise one plucked string, float64 T, peak `pluck.amplitude`.

    The loop consists of a delay of n samples, a low-pass L(z) = (1−s) + s·z⁻¹ times a gain, and an
    all-pass A(z) = (c + z⁻¹)/(1 + c·z⁻¹). The phase delays of the three at the fundamental sum to
    one period.
    """
    w = 2 * math.pi * pluck.frequency / sample_rate
    period = sample_rate / pluck.frequency
    # Gain per period at the fundamental, from the decay time of 60 dB.
    round_trip = 10 ** (-3 / (pluck.frequency * pluck.decay))
    s = pluck.softness * _most_softness(round_trip, w)
    low_pass = abs(1 - s + s * complex(math.cos(w), -math.sin(w)))
    gain = round_trip / low_pass
    low_pass_delay = math.atan2(s * math.sin(w), 1 - s + s * math.cos(w)) / w
    # The fractional delay is 0.3…1.3 samples, where this all-pass is stable and flat (Jaffe and
    # Smith).
    n = math.floor(period - low_pass_delay - 0.3)
    fraction = period - low_pass_delay - n
    c = math.sin((w - w * fraction) / 2) / math.sin((w + w * fraction) / 2)
    clip = _ring(_burst(n, pluck.position, samples, generator), n, gain, s, c)
    scaled: npt.NDArray[np.float64] = clip * (pluck.amplitude / np.abs(clip).max())
    return scaled


def _most_softness(round_trip: float, w: float) -> float:
    """Return the largest s ≤ 0.5 whose low-pass damps no more than `round_trip` at w.

    From |L|² = 1 − 2·s·(1−s)·(1 − cos w).
    """
    product = (1 - round_trip**2) / (2 * (1 - math.cos(w)))
    return 0.5 if product >= 0.25 else (1 - math.sqrt(1 - 4 * product)) / 2


def _burst(
    n: int, position: float, samples: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return one period of smoothed noise followed by silence.

    A copy of the noise, delayed by `position` periods, is subtracted from it.
    """
    smooth = generator.uniform(-1, 1, n)
    for _ in range(_SMOOTHING):
        smooth = (smooth + np.roll(smooth, 1)) / 2
    burst = np.zeros(samples)
    # The comb also removes the DC component, which the loop would sustain.
    burst[:n] = smooth - np.roll(smooth, max(1, round(position * n)))
    return burst


def _ring(
    burst: npt.NDArray[np.float64], n: int, gain: float, s: float, c: float
) -> npt.NDArray[np.float64]:
    """Filter the burst with the loop 1 / (1 − gain·z⁻ⁿ·L(z)·A(z))."""
    # Importing it takes half a second, which stages for other data should not pay.
    from scipy.signal import lfilter

    feedback = np.zeros(n + 3)
    feedback[:2] += [1.0, c]
    feedback[n:] -= gain * np.convolve([1 - s, s], [c, 1.0])
    rung: npt.NDArray[np.float64] = lfilter([1.0, c], feedback, burst)
    return rung
