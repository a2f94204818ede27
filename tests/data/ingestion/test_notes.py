"""Plucked strings are in tune, differ from each other, and come from their seed."""

import itertools
import math

import numpy as np
import pytest

from genmint.data.ingestion.notes import NOTES, Pluck, pluck_string, synthesise

RATE = 8000


def cents_off(clip, frequency, rate=RATE):
    """Distance of the strongest partial near `frequency` from it, by a padded spectrum."""
    padded = 1 << 18
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip)), padded))
    frequencies = np.arange(len(spectrum)) * rate / padded
    near = (frequencies > 0.8 * frequency) & (frequencies < 1.25 * frequency)
    return 1200 * math.log2(frequencies[near][spectrum[near].argmax()] / frequency)


def test_notes_are_in_tune_within_three_cents():
    clips, labels = synthesise(210, 3, RATE, 4000)
    for clip, label in zip(clips / 32768, labels, strict=True):
        assert abs(cents_off(clip, NOTES[label])) < 3


@pytest.mark.parametrize("rate", [6000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("frequency", sorted(NOTES.values()))
def test_a_string_is_in_tune_at_any_rate(rate, frequency):
    pluck = Pluck(frequency, position=0.3, amplitude=0.8, decay=2.0, softness=0.8)
    clip = pluck_string(pluck, rate, rate, np.random.default_rng(0))
    assert abs(cents_off(clip, frequency, rate)) < 3


def test_notes_stand_well_apart():
    steps = [12 * math.log2(b / a) for a, b in itertools.pairwise(sorted(NOTES.values()))]
    assert min(steps) > 2.5


def test_the_fundamental_dies_as_fast_as_it_was_told_to():
    pluck = Pluck(440.0, position=0.3, amplitude=0.8, decay=1.0, softness=1.0)
    clip = pluck_string(pluck, RATE, RATE, np.random.default_rng(1))
    wave = np.exp(-2j * np.pi * 440 * np.arange(1600) / RATE) * np.hanning(1600)
    early, late = (abs(np.dot(clip[start : start + 1600], wave)) for start in (800, 4800))
    # 60 dB in a second are 30 dB in half a second.
    assert 20 * math.log10(early / late) == pytest.approx(30, abs=1)


def test_clips_differ_and_every_note_occurs_equally_often():
    clips, labels = synthesise(70, 3, RATE, 4000)
    assert {labels.count(name) for name in NOTES} == {14}
    assert len({clip.tobytes() for clip in clips}) == 70
    peaks = np.abs(clips.astype(int)).max(axis=1) / 32767
    assert peaks.min() >= 0.29
    assert 0.8 < peaks.max() <= 0.9 + 1e-3
    assert np.abs(clips.mean(axis=1)).max() < 100


def test_the_seed_decides():
    first, _ = synthesise(7, 3, RATE, 4000)
    np.testing.assert_array_equal(first, synthesise(7, 3, RATE, 4000)[0])
    assert (first != synthesise(7, 4, RATE, 4000)[0]).any()
    # More clips leave the first ones as they were.
    np.testing.assert_array_equal(first, synthesise(14, 3, RATE, 4000)[0][:7])
