import numpy as np
import pytest

from genmint.data.ingestion.notes import NOTES, synthesise
from genmint.metrics.pitch import fundamentals, in_tune, reference_pitches

RATE = 8000


def clips(*signals):
    return (np.stack(signals) * 20_000).astype(np.int16)


def sine(frequency, seconds=0.5, rate=RATE):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + 0.4)


def cents(found, wanted):
    return 1200 * np.log2(found / np.asarray(wanted))


def test_sines_within_three_cents():
    wanted = np.geomspace(65, 1000, 25)
    found = fundamentals(clips(*[sine(f) for f in wanted]), RATE)
    assert np.abs(cents(found, wanted)).max() < 3


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_the_sample_rate_is_taken_into_account(rate):
    found = fundamentals(clips(sine(220, rate=rate)), rate)
    assert abs(cents(found, 220)[0]) < 3


def test_a_weak_or_missing_fundamental_is_found_from_its_overtones():
    overtones = sum(sine(k * 200) for k in (2, 3, 4, 5)) / 4
    assert abs(cents(fundamentals(clips(overtones), RATE), 200)[0]) < 10


def test_plucked_strings_within_an_eighth_of_a_semitone():
    sound, labels = synthesise(28, 0, RATE, 4000)
    found = fundamentals(sound, RATE)
    assert np.abs(cents(found, [NOTES[label] for label in labels])).max() < 12.5


def test_noise_silence_and_snippets_have_no_pitch():
    noise = np.random.default_rng(0).normal(size=(4, 4000)) * 0.2
    assert np.isnan(fundamentals(clips(*noise), RATE)).all()
    assert np.isnan(fundamentals(np.zeros((2, 4000), np.int16), RATE)).all()
    assert np.isnan(fundamentals(clips(sine(100, seconds=0.001)), RATE)).all()


def test_clips_do_not_influence_each_other():
    tones = clips(*[sine(f) for f in np.geomspace(100, 500, 300)])
    assert np.array_equal(fundamentals(tones, RATE)[250:], fundamentals(tones[250:], RATE))


def test_the_notes_of_the_built_in_set_are_found_without_being_told():
    sound, _ = synthesise(140, 1, RATE, 4000)
    found = reference_pitches(fundamentals(sound, RATE))
    assert len(found) == len(NOTES)
    assert np.abs(cents(np.array(found), sorted(NOTES.values()))).max() < 10


def test_a_rare_mistake_is_no_note():
    heard = np.array([220.0] * 150 + [330.0] * 150 + [987.0, np.nan])
    assert reference_pitches(heard) == pytest.approx([220.0, 330.0])


def test_half_a_semitone_is_in_tune_and_more_is_not():
    def shifted(semitones):
        return 440 * 2 ** (semitones / 12)

    heard = np.array([shifted(s) for s in (-0.6, -0.49, 0, 0.49, 0.6, 6.0)] + [np.nan])
    assert in_tune(heard, [440.0])[0] == pytest.approx(3 / 7)
    assert in_tune(heard, [440.0, shifted(6.3)])[0] == pytest.approx(4 / 7)


def test_without_pitches_nothing_is_in_tune():
    assert in_tune(np.array([440.0]), []) == (0.0, 0.0)
    assert reference_pitches(np.array([np.nan])) == []


def test_gliding_pitches_make_no_notes_to_be_in_tune_with():
    glide = np.geomspace(100, 400, 500)
    assert in_tune(glide, reference_pitches(glide))[0] < 0.1
