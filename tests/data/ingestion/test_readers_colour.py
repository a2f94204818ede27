"""Colour profiles: what models get is sRGB, the right way up, and the manifest says what was done.

The profiles are written here, byte by byte, and the colours computed from their definition.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from genmint.common.files import sha256_bytes
from genmint.config import ImageDataset
from genmint.data.ingestion.readers import ImageReader

D50 = (0.9642, 1.0, 0.8249)
SRGB = np.array([[0.4360747, 0.3850649, 0.1430804],
                 [0.2225045, 0.7168786, 0.0606169],
                 [0.0139322, 0.0971045, 0.7141733]])  # fmt: skip
ADOBE = np.array([[0.60974, 0.20528, 0.14919],
                  [0.31111, 0.62567, 0.06322],
                  [0.01947, 0.06087, 0.74457]])  # fmt: skip
GAMMA = 563 / 256
CYAN = (140, 91, 78)  # L, a, b as 8 bits


def fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def xyz(values):
    return b"XYZ \0\0\0\0" + fixed(*values)


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(gamma * 256))


def described(name):
    text = name.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)


def profile(kind, space, pcs, tags):
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data
    head = struct.pack(">I4xI4s4s4s12x4s", start + len(body), 0x02400000, kind, space, pcs, b"acsp")
    return (head + bytes(28) + fixed(*D50) + bytes(48)) + table + body


def adobe_rgb(**more):
    primaries = {f"{c}XYZ".encode(): xyz(ADOBE[:, k]) for k, c in enumerate("rgb")}
    curves = {f"{c}TRC".encode(): curve(GAMMA) for c in "rgb"}
    tags = {b"desc": described("Adobe RGB (1998)"), b"wtpt": xyz(D50), **primaries, **curves}
    return profile(b"mntr", b"RGB ", b"XYZ ", tags | {k.encode(): v for k, v in more.items()})


def grey_gamma(gamma):
    tags = {b"desc": described("Gray Gamma"), b"wtpt": xyz(D50), b"kTRC": curve(gamma)}
    return profile(b"mntr", b"GRAY", b"XYZ ", tags)


def inks():
    """CMYK by a table of its 16 corners: cyan as CYAN says, black wherever there is black."""
    corners = bytearray()
    for number in range(16):
        ink = {0: (255, 128, 128), 8: CYAN}.get(number, (90, 128, 128))
        corners += bytes((0, 128, 128) if number & 1 else ink)
    ramp = bytes(range(256))
    table = (
        b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
        + 4 * ramp + bytes(corners) + 3 * ramp
    )  # fmt: skip
    tags = {b"desc": described("Some press"), b"wtpt": xyz(D50), b"A2B0": table}
    return profile(b"prtr", b"CMYK", b"Lab ", tags)


def encoded(linear):
    """8-bit sRGB of linear light."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_adobe(levels):
    light = (np.asarray(levels) / 255) ** GAMMA
    return encoded(np.linalg.solve(SRGB, ADOBE @ light.reshape(-1, 3).T).T).reshape(light.shape)


def from_lab(code):
    L, a, b = code[0] / 2.55, code[1] - 128, code[2] - 128
    y = (L + 16) / 116
    point = [D50[k] * f**3 for k, f in enumerate((y + a / 500, y, y - b / 200))]
    return encoded(np.linalg.solve(SRGB, point))


def reader(**options):
    return ImageReader(ImageDataset(kind="image", path="x", **{"resolution": 8, **options}))


def colours():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)


def built_in_srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def finished(path, **options):
    """The item, H×W×C, and what the manifest says of the profile."""
    found = reader(**options)
    row, item = found.describe(path), found.load(path)
    assert row["item"] == sha256_bytes(item[0].tobytes())
    return item[0].transpose(1, 2, 0).astype(float), row["colour_profile"]


LOSSLESS = {"png": {}, "webp": {"lossless": True}}
EXACT = {"jpg": {"quality": 100, "subsampling": 0}}


@pytest.mark.parametrize("ending", LOSSLESS)
def test_colours_of_a_profile_become_srgb(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(colours()).save(path, icc_profile=adobe_rgb(), **LOSSLESS[ending])
    item, said = finished(path, mode="rgb")
    np.testing.assert_allclose(item, from_adobe(colours()), atol=1.6)
    assert np.abs(item - colours()).max() > 20
    assert said == "Adobe RGB (1998): converted to sRGB"


def test_a_large_profile_of_a_jpeg_lies_in_several_parts_of_the_file(tmp_path):
    large = adobe_rgb(junk=b"data\0\0\0\0\0\0\0\0" + bytes(150_000))
    flat = np.full((8, 8, 3), (60, 200, 90), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(flat).save(path, icc_profile=large, **EXACT["jpg"])
    item, said = finished(path, mode="rgb")
    np.testing.assert_allclose(item, from_adobe(flat), atol=4)
    assert said == "Adobe RGB (1998): converted to sRGB"
    content = path.read_bytes()
    second = content.index(b"\xff\xe2", content.index(b"ICC_PROFILE\0\x02") - 6)
    length = struct.unpack(">H", content[second + 2 : second + 4])[0]
    path.write_bytes(content[:second] + content[second + 2 + length :])
    item, said = finished(path, mode="rgb")
    np.testing.assert_allclose(item, flat, atol=4)
    assert said == "unreadable profile: not applied"


@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
def test_items_without_a_profile_and_with_srgbs_are_what_they_were(tmp_path, ending):
    options = {**LOSSLESS, **EXACT}[ending]
    plain, marked = tmp_path / f"plain.{ending}", tmp_path / f"marked.{ending}"
    Image.fromarray(colours()).save(plain, **options)
    Image.fromarray(colours()).save(marked, icc_profile=built_in_srgb(), **options)
    expected = np.asarray(Image.open(plain).convert("RGB"))
    for path, words in ((plain, ""), (marked, "sRGB built-in: is sRGB, unchanged")):
        item, said = finished(path, mode="rgb")
        np.testing.assert_array_equal(item, expected)
        assert said == words


def test_an_image_is_turned_and_converted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.png"
    Image.fromarray(colours()).save(path, icc_profile=adobe_rgb(), exif=exif)
    item, _ = finished(path, mode="rgb")
    np.testing.assert_allclose(item, np.rot90(from_adobe(colours()), -1), atol=1.6)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_of_a_profile_stays_grey(tmp_path, bits):
    ramp = np.tile(np.arange(0, 256, 32, dtype=np.uint16), (8, 1))
    levels = ramp.astype(np.uint8) if bits == 8 else ramp * 257
    path = tmp_path / "a.png"
    Image.fromarray(levels).save(path, icc_profile=grey_gamma(1.0))
    item, said = finished(path)
    assert item.shape == (8, 8, 1)
    np.testing.assert_allclose(item[..., 0], encoded(ramp / 255), atol=1.6)
    assert said == "Gray Gamma: converted to sRGB"
    if bits == 16:
        path = tmp_path / "b.png"
        Image.fromarray(ramp * 16).save(path, icc_profile=grey_gamma(1.0))
        item, said = finished(path, bits=12)
        np.testing.assert_allclose(item[..., 0], ramp * 16 / 4095 * 255, atol=0.6)
        assert said == "Gray Gamma: not applied, bits stretches 0…4095 to 0…255"


def test_ink_of_a_profile_becomes_light(tmp_path):
    flat = np.zeros((8, 8, 4), dtype=np.uint8)
    flat[:, :4, 0] = 255
    image = Image.fromarray(flat, mode="CMYK")
    path = tmp_path / "a.jpg"
    image.save(path, icc_profile=inks(), quality=100)
    item, said = finished(path, mode="rgb")
    np.testing.assert_allclose(item[4, 0], from_lab(CYAN), atol=3)
    np.testing.assert_allclose(item[4, 7], 255, atol=2)
    assert said == "Some press: converted to sRGB"
    image.save(path, quality=100)
    item, said = finished(path, mode="rgb")
    np.testing.assert_allclose(item[4, 0], [0, 255, 255], atol=3)
    assert said == ""


def test_transparency_and_palettes_keep_theirs(tmp_path):
    levels = np.concatenate([colours(), np.full((8, 8, 1), 255, np.uint8)], axis=2)
    levels[0, 0, 3] = 0
    path = tmp_path / "a.png"
    Image.fromarray(levels).save(path, icc_profile=adobe_rgb())
    item, _ = finished(path, mode="rgb")
    np.testing.assert_array_equal(item[0, 0], 255)
    np.testing.assert_allclose(item[1:], from_adobe(colours())[1:], atol=1.6)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 60, 200, 90])
    palette.save(path, icc_profile=adobe_rgb())
    item, said = finished(path, mode="rgb")
    np.testing.assert_allclose(item[0, 0], from_adobe([60, 200, 90]), atol=1.6)
    assert said == "Adobe RGB (1998): converted to sRGB"


def chunk(kind, data):
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    ("embedded", "words"),
    [
        (b"no profile at all", "unreadable profile: not applied"),
        (adobe_rgb()[:200], "unreadable profile: not applied"),
        (grey_gamma(1.0), "Gray Gamma: not applied, it is for L images, not for RGB"),
        (inks(), "Some press: not applied, it is for CMYK images, not for RGB"),
    ],
)
def test_a_profile_that_cannot_be_applied_is_named(tmp_path, embedded, words):
    path = tmp_path / "a.png"
    Image.fromarray(colours()).save(path, icc_profile=embedded)
    item, said = finished(path, mode="rgb")
    np.testing.assert_array_equal(item, colours())
    assert said == words


@pytest.mark.parametrize(
    "data", [b"name\0\0broken", b"", b"name", b"name\0\0" + zlib.compress(b"")]
)
def test_a_damaged_chunk_with_a_profile_costs_no_image(tmp_path, data):
    stream = io.BytesIO()
    Image.fromarray(colours()).save(stream, "PNG")
    content = stream.getvalue()
    path = tmp_path / "a.png"
    path.write_bytes(content[:33] + chunk(b"iCCP", data) + content[33:])
    item, said = finished(path, mode="rgb")
    np.testing.assert_array_equal(item, colours())
    assert said == "unreadable profile: not applied"
