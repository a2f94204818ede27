"""Pictures of every mode come out right, and damaged ones as a reason."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from genmint.config import ImageDataset
from genmint.data.ingestion.readers import ImageReader, UnreadableError


def reader(**options):
    return ImageReader(ImageDataset(kind="image", path="x", **{"resolution": 8, **options}))


def saved(path, image, **options):
    image.save(path, **options)
    return path


RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def test_a_grey_image_of_the_right_size_is_unchanged(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(RAMP))
    np.testing.assert_array_equal(reader().load(path), RAMP[np.newaxis, np.newaxis])


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    wide = np.array([0, 257, 32_768, 65_278, 65_535, 128, 129, 40_000], dtype=np.uint16)
    path = saved(tmp_path / "wide.png", Image.fromarray(np.tile(wide, (8, 1))))
    with Image.open(path) as image:
        assert image.mode.startswith("I")
    expected = np.round(wide / 257).astype(np.uint8)
    np.testing.assert_array_equal(reader().load(path)[0, 0, 0], expected)
    assert reader().describe(path)["mode"].startswith("I")


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "jpg", "JPEG"])
def test_every_ending_is_read(tmp_path, ending):
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    path = saved(tmp_path / f"a.{ending}", image)
    assert path.name.lower().endswith(ImageReader.suffixes)
    found = reader(mode="rgb").load(path)
    assert found.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(found.mean(axis=(0, 2, 3)), [200, 100, 50], atol=4)


def test_a_palette_gives_colours_and_not_indices(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 250, 20, 10])
    path = saved(tmp_path / "palette.png", image)
    np.testing.assert_array_equal(reader(mode="rgb").load(path)[0, :, 0, 0], [250, 20, 10])


def test_a_transparent_palette_lies_over_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 250, 20, 10])
    path = saved(tmp_path / "palette.png", image, transparency=1)
    np.testing.assert_array_equal(reader(mode="rgb").load(path)[0, :, 0, 0], [255, 255, 255])


def test_cmyk_gives_the_colours_it_stands_for(tmp_path):
    path = saved(tmp_path / "print.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=95)
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    red, green, blue = reader(mode="rgb").load(path)[0, :, 4, 4].tolist()
    assert red > 240
    assert green < 15
    assert blue < 15


@pytest.mark.parametrize(("alpha", "grey"), [(0, 255), (255, 0), (128, 127)])
def test_transparency_lies_over_white(tmp_path, alpha, grey):
    for mode, colour in (("RGBA", (0, 0, 0, alpha)), ("LA", (0, alpha))):
        path = saved(tmp_path / f"{mode}.png", Image.new(mode, (8, 8), colour))
        assert reader().load(path)[0, 0, 0, 0] == grey


def test_exif_orientation_is_obeyed(tmp_path):
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[0] = 255  # a bright top row
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path = saved(tmp_path / "turned.png", Image.fromarray(pixels), exif=exif)
    found = reader().load(path)[0, 0]
    assert (found[:, -1] == 255).all()
    assert found[:, :-1].max() == 0


def test_a_wide_image_is_cropped_from_its_centre(tmp_path):
    pixels = np.zeros((16, 48), dtype=np.uint8)
    pixels[:, 16:32] = 255
    path = saved(tmp_path / "wide.png", Image.fromarray(pixels))
    found = reader().load(path)[0, 0]
    assert found[:, 1:-1].min() > 250
    assert reader().describe(path)["width"] == 48


def test_shrinking_averages_instead_of_picking(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    path = saved(tmp_path / "stripes.png", Image.fromarray(stripes))
    found = reader().load(path)
    assert found.min() >= 120
    assert found.max() <= 135


def test_statistics_are_of_the_finished_item(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(RAMP))
    found = reader().describe(path)
    assert found["mean"] == pytest.approx(RAMP.mean())
    assert found["std"] == pytest.approx(RAMP.std(), abs=1e-5)
    rows = reader().describe_rows(RAMP[np.newaxis])
    assert rows == [found]


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(RAMP))
    # Only the header is left: to decode it would be another error.
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(UnreadableError, match="8×8 pixels are more than max_pixels"):
        reader(max_pixels=63).load(path)
    with pytest.raises(UnreadableError, match="damaged image"):
        reader(max_pixels=64).load(path)


def test_other_formats_are_not_decoded_whatever_they_are_called(tmp_path):
    path = saved(tmp_path / "a.gif", Image.fromarray(RAMP)).rename(tmp_path / "a.png")
    with pytest.raises(UnreadableError, match="not a png, jpg, webp or bmp image"):
        reader().load(path)


def encoded(kind):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


FILES = {kind: encoded(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP")}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(FILES)),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=6),
    keep=st.floats(0.1, 1.0),
)
def test_damage_is_a_reason_or_an_image_and_never_a_crash(tmp_path_factory, kind, flips, keep):
    content = bytearray(FILES[kind])
    for position, mask in flips:
        content[position % len(content)] ^= mask
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: max(1, int(len(content) * keep))])
    with contextlib.suppress(UnreadableError):
        assert reader(max_pixels=100_000, mode="grey").load(path).shape == (1, 1, 8, 8)
