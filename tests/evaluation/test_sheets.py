import wave

import numpy as np

from genmint.evaluation import sheets


def test_every_tile_of_an_image_sheet_keeps_its_pixels():
    grids = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), dtype=np.uint8)
    sheet = np.array(sheets.image_sheet(grids))
    # Four columns; each pixel is a square.
    factor = (sheet.shape[1] - sheets._GAP) // 4 - sheets._GAP
    side = factor // 8
    assert side > 10
    second = sheet[
        sheets._GAP : sheets._GAP + factor, 2 * sheets._GAP + factor : 2 * (sheets._GAP + factor)
    ]
    assert np.array_equal(second[side // 2 :: side, side // 2 :: side, 0], grids[1, 0])


def test_colour_images_stay_colourful():
    grids = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    grids[:, 0] = 255
    assert (np.array(sheets.image_sheet(grids))[20, 20] == [255, 0, 0]).all()


def test_a_sound_sheet_shows_waveform_and_spectrogram():
    clips = (np.sin(np.arange(3000) / 5) * 20_000).astype(np.int16)[None].repeat(5, axis=0)
    grids = np.full((5, 1, 16, 24), 200, dtype=np.uint8)
    sheet = sheets.sound_sheet(clips, grids, 8000)
    colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert sheets._ACCENT in colours
    assert len(colours) > 3


def test_a_text_sheet_grows_with_the_text():
    one, many = (sheets.text_sheet(["a line of words\n" * n]) for n in (1, 30))
    assert many.height > one.height
    assert np.array(one).min() < 100


def test_the_strip_is_the_clips_with_gaps(tmp_path):
    clips = np.arange(1, 41, dtype=np.int16).reshape(2, 20)
    sheets.write_strip(tmp_path / "strip.wav", clips, 100, gap=0.1)
    with wave.open(str(tmp_path / "strip.wav")) as stream:
        assert (stream.getframerate(), stream.getnchannels(), stream.getsampwidth()) == (100, 1, 2)
        found = np.frombuffer(stream.readframes(1000), "<i2")
    gap = [0] * 10
    assert found.tolist() == [*range(1, 21), *gap, *range(21, 41), *gap]
