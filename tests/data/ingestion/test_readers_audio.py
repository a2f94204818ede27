"""Sound of any rate, width and number of channels comes out right, and damage as a reason."""

import contextlib

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from genmint.config import AudioDataset
from genmint.data.ingestion.readers import AudioReader, UnreadableError


def reader(**options):
    block = {"sample_rate": 8000, "seconds": 0.5, **options}
    return AudioReader(AudioDataset(kind="audio", path="x", **block))


def saved(path, sound, rate=8000, subtype="PCM_16"):
    soundfile.write(path, sound, rate, subtype=subtype)
    return path


def tone(frequency, rate, seconds, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def test_16_bit_sound_of_the_right_rate_is_unchanged(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 4000).astype(np.int16)
    path = saved(tmp_path / "a.wav", samples)
    np.testing.assert_array_equal(reader().load(path), samples[np.newaxis])


@pytest.mark.parametrize("ending", ["wav", "flac", "WAV"])
def test_every_ending_is_read(tmp_path, ending):
    samples = np.random.default_rng(0).integers(-9999, 9999, 4000).astype(np.int16)
    path = saved(tmp_path / f"a.{ending}", samples)
    assert path.name.lower().endswith(AudioReader.suffixes)
    np.testing.assert_array_equal(reader().load(path)[0], samples)


@pytest.mark.parametrize("rate", [4000, 11_025, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled_to_the_same_tone(tmp_path, rate):
    path = saved(tmp_path / "a.wav", tone(440, rate, 0.5), rate)
    found = reader().load(path)[0] / 32768
    wanted = tone(440, 8000, 0.5)
    # At the ends the filter sees silence that was not there.
    np.testing.assert_allclose(found[100:-100], wanted[100:-100], atol=0.01)
    assert reader().describe(path)["sample_rate"] == rate


def test_resampling_leaves_out_what_the_new_rate_cannot_hold(tmp_path):
    path = saved(tmp_path / "a.wav", tone(6000, 44_100, 0.5), 44_100)
    assert np.abs(reader().load(path)[0, 200:-200]).max() < 0.02 * 32768


def test_stereo_is_mixed_to_mono(tmp_path):
    left, right = tone(300, 8000, 0.5), tone(700, 8000, 0.5)
    path = saved(tmp_path / "a.wav", np.stack([left, right], axis=1))
    np.testing.assert_allclose(reader().load(path)[0] / 32768, (left + right) / 2, atol=1e-4)


def test_short_clips_are_padded_with_zeros_and_long_ones_cut(tmp_path):
    samples = np.full(6000, 1000, dtype=np.int16)
    short = reader().load(saved(tmp_path / "short.wav", samples[:1500]))[0]
    assert (short[:1500] == 1000).all()
    assert (short[1500:] == 0).all()
    assert len(short) == 4000
    assert (reader().load(saved(tmp_path / "long.wav", samples)) == 1000).all()


def test_floats_over_full_scale_are_clipped_rather_than_wrapped(tmp_path):
    path = saved(tmp_path / "a.wav", tone(100, 8000, 0.5, amplitude=2.0), subtype="FLOAT")
    found = reader().load(path)[0]
    assert found.max() == 32767
    assert found.min() == -32768
    assert reader().describe(path)["peak"] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("seconds", "windows"), [(0.2, 1), (0.5, 1), (0.74, 1), (0.76, 2), (2.0, 4), (2.3, 5)]
)
@pytest.mark.parametrize("rate", [8000, 11_025])
def test_all_windows_of_a_file(tmp_path, seconds, windows, rate):
    sound = reader(windows="all")
    path = saved(tmp_path / "a.wav", tone(200, rate, seconds), rate)
    found = sound.load(path)
    assert found.shape == (windows, 4000)
    assert sound.describe(path)["windows"] == windows


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
def test_windows_are_the_whole_sound_cut(tmp_path, rate):
    path = saved(tmp_path / "a.wav", tone(333, rate, 2.0), rate)
    cut = reader(windows="all").load(path).reshape(-1)
    whole = reader(seconds=2.0).load(path)[0]
    np.testing.assert_allclose(cut, whole, atol=1)


def test_statistics_are_of_the_whole_file(tmp_path):
    sound = np.concatenate([tone(100, 8000, 1.0), np.zeros(8000), np.ones(16_000)])
    found = reader().describe(saved(tmp_path / "a.wav", sound))
    assert found["seconds"] == 4.0
    assert found["peak"] == pytest.approx(1.0, abs=1e-4)
    assert found["clipping"] == pytest.approx(0.5, abs=0.01)
    assert found["silence"] == pytest.approx(0.25, abs=0.01)
    assert found["rms"] == pytest.approx(np.sqrt(np.mean(sound**2)), abs=1e-4)


def test_rows_and_files_are_described_alike(tmp_path):
    samples = np.random.default_rng(0).integers(-20_000, 20_000, 4000).astype(np.int16)
    path = saved(tmp_path / "a.wav", samples)
    assert reader().describe_rows(samples[np.newaxis]) == [reader().describe(path)]


@pytest.mark.parametrize("rate", [8000, 11_025])
def test_enormous_floats_give_finite_statistics_and_clipped_sound(tmp_path, rate):
    sound = np.float32(3e38) * np.sign(np.sin(np.arange(9000) / 50))
    path = saved(tmp_path / "a.wav", np.stack([sound, sound], axis=1), rate, "FLOAT")
    found = reader().describe(path)
    assert np.isfinite(found["rms"])
    assert found["peak"] > 1e38
    assert np.abs(reader().load(path).astype(int)).max() >= 32767


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 3999, 300_000])
def test_nan_anywhere_is_a_reason(tmp_path, value, position):
    sound = np.zeros(300_001)
    sound[position] = value
    path = saved(tmp_path / "a.wav", sound, subtype="FLOAT")
    with pytest.raises(UnreadableError, match="NaN or infinite"):
        reader().describe(path)


def test_a_file_cut_short_is_a_reason(tmp_path):
    path = saved(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 60_000))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UnreadableError):
        reader().describe(path)


def test_an_absurd_rate_is_a_reason(tmp_path):
    path = saved(tmp_path / "a.wav", np.zeros(100))
    content = bytearray(path.read_bytes())
    content[24:28] = (2**31 - 1).to_bytes(4, "little")
    content[28:32] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="implausible sample rate: 2147483647 Hz"):
        reader().describe(path)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    noise = np.random.default_rng(0).normal(0, 0.1, 2000)
    files = [saved(folder / "a.wav", noise), saved(folder / "a.flac", noise)]
    files.append(saved(folder / "float.wav", noise, subtype="FLOAT"))
    return [file.read_bytes() for file in files]


@settings(max_examples=100, deadline=None)
@given(
    kind=st.integers(0, 2),
    flips=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 255)), min_size=1, max_size=4),
    keep=st.floats(0.05, 1.0),
)
def test_damage_is_a_reason_or_a_clip_and_never_a_crash(
    tmp_path_factory, sounds, kind, flips, keep
):
    content = bytearray(sounds[kind])
    for position, mask in flips:
        content[position % len(content)] ^= mask
    path = tmp_path_factory.getbasetemp() / "damaged.sound"
    path.write_bytes(content[: max(1, int(len(content) * keep))])
    with contextlib.suppress(UnreadableError):
        assert reader().describe(path)["windows"] == 1
        assert reader().load(path).shape == (1, 4000)


# libsndfile reads these encodings of telephony from the beginning only, which clips are not.
FORWARD_ONLY = {"GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"}


@pytest.mark.parametrize("windows", ["first", "all"])
@pytest.mark.parametrize(
    "subtype", sorted(set(soundfile.available_subtypes("WAV")) - {"MPEG_LAYER_III"})
)
def test_what_is_described_can_be_prepared_whatever_its_encoding(tmp_path, subtype, windows):
    path = saved(tmp_path / "call.wav", tone(440, 8000, 2), subtype=subtype)
    made = reader(windows=windows)
    if subtype in FORWARD_ONLY:
        with pytest.raises(UnreadableError, match=f"{subtype}, can only be read from the begin"):
            made.describe(path)
    else:
        described = made.describe(path)
        assert len(made.load(path)) == described["windows"] == {"first": 1, "all": 4}[windows]
