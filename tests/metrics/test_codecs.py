"""Sizes of codecs: those of files that decode to the very values."""

import io
import lzma

import numpy as np
import pytest
import soundfile
from PIL import Image

from genmint.metrics import codecs

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)


def saved(monkeypatch):
    """The images that the codecs write, with their settings."""
    files = []
    real = Image.Image.save

    def save(self, file, **settings):
        real(self, file, **settings)
        files.append((file.getvalue(), settings))

    monkeypatch.setattr(Image.Image, "save", save)
    return files


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("codec", [codecs.png_bits, codecs.webp_bits])
def test_an_image_file_holds_the_exact_values(monkeypatch, codec, channels):
    files, grids = saved(monkeypatch), NOISE[:, :channels]
    bits = codec(grids)
    assert bits.tolist() == [8.0 * len(content) for content, _ in files]
    for (content, _), grid in zip(files, grids, strict=True):
        read = Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB")
        values = np.asarray(read).reshape(16, 16, channels).transpose(2, 0, 1)
        assert (values == grid).all()


@pytest.mark.parametrize("codec", [codecs.png_bits, codecs.webp_bits])
def test_noise_costs_at_least_8_bits_and_a_flat_image_little_but_its_header(codec):
    dims = NOISE[0].size
    assert (codec(NOISE) / dims > 8.0).all()
    assert (codec(np.zeros((1, 3, 16, 16), np.uint8)) < 8 * 100).all()


@pytest.mark.parametrize("items", [1, 3, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_mosaic_holds_every_image_once(monkeypatch, items, channels):
    grids = RNG.integers(0, 256, (items, channels, 4, 6), dtype=np.uint8)
    files = saved(monkeypatch)
    bits = codecs.webp_mosaic_bits(grids)
    ((content, _),) = files
    assert bits == 8 * len(content)
    read = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))[:, :, :channels]
    tiles = [
        read[y : y + 4, x : x + 6].transpose(2, 0, 1)
        for y in range(0, read.shape[0], 4)
        for x in range(0, read.shape[1], 6)
    ]
    assert all((tile == grid).all() for tile, grid in zip(tiles, grids, strict=False))
    assert len(tiles) >= items


def test_one_file_of_like_images_is_smaller_than_many():
    grids = np.repeat(NOISE[:1], 16, axis=0)
    assert codecs.webp_mosaic_bits(grids) < codecs.webp_bits(grids).sum() / 4


def test_a_mosaic_beyond_the_largest_webp_image_is_left_out():
    assert codecs.webp_mosaic_bits(np.zeros((4, 1, 8192, 1), np.uint8)) is None


def test_flac_holds_the_exact_symbols(monkeypatch):
    written = []
    real = soundfile.write
    monkeypatch.setattr(
        soundfile, "write", lambda file, *a, **k: (real(file, *a, **k), written.append(file))
    )
    clips = RNG.integers(0, 256, (2, 500), dtype=np.uint8)
    clips[1] = 128 + np.round(100 * np.sin(np.arange(500) / 20))
    bits = codecs.flac_bits(clips, 8000)
    assert bits.tolist() == [8.0 * len(file.getvalue()) for file in written]
    for file, clip in zip(written, clips, strict=True):
        samples, rate = soundfile.read(io.BytesIO(file.getvalue()), dtype="int16")
        assert ((samples >> 8) + 128 == clip).all()
        assert rate == 8000
    assert bits[1] < bits[0]


@pytest.mark.parametrize("highest", [255, 256, 60_000])
def test_xz_is_the_size_of_a_file_of_the_symbols(highest):
    symbols = RNG.integers(0, 4, 5000).astype(np.int64)
    symbols[7] = highest
    data = symbols.astype(np.uint8 if highest < 256 else "<u2").tobytes()
    # A larger dictionary than the data has no effect.
    assert codecs.xz_bits(symbols) == 8 * len(lzma.compress(data, preset=9))


def test_xz_of_independent_symbols_does_not_beat_their_entropy():
    symbols = RNG.integers(0, 4, 20_000)
    assert 2.0 < codecs.xz_bits(symbols) / len(symbols) < 2.4


@pytest.mark.parametrize("size", [0, 1])
def test_xz_of_next_to_nothing_is_its_container(size):
    assert 0 < codecs.xz_bits(np.zeros(size, np.uint8)) < 8 * 100
