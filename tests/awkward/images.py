"""Image files that readers get wrong, each with what must become of it.

`images()` are put into one folder beside those of `ordinary`, which enter. All are small, 16×16
where nothing else is said, and made anew by each call.
"""

import functools
import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin

SIZE = 16
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
    (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Awkward:
    """An image file.

    Attributes:
        name: of the file.
        content: of the file.
        reason: part of the reason why it is quarantined; None if it enters.
        becomes: what a model gets, uint8 16×16×3, where it enters.
        within: levels by which that may differ (lossy formats).
    """

    name: str
    content: bytes
    reason: str | None = None
    becomes: np.ndarray | None = None
    within: int = 0


def noise(seed, shape=(SIZE, SIZE, 3)):
    """uint8 pixels, all different from seed to seed."""
    return np.random.default_rng([2, seed]).integers(0, 256, shape, dtype=np.uint8)


def soft(seed):
    """A smooth image that lossy formats keep, uint8 16×16×3."""
    generator = np.random.default_rng([3, seed])
    coarse = generator.integers(20, 236, (3, 3, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image)


def ordinary(count=40):
    """Names and contents of images that enter."""
    return {f"ordinary-{k:02d}.png": saved(noise(1000 + k), "PNG") for k in range(count)}


def saved(pixels, file_format, **options):
    """An array of pixels, or an image, as a file of a format."""
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, file_format, **options)
    return stream.getvalue()


def grey3(pixels):
    """Grey pixels in three channels."""
    return np.repeat(np.asarray(pixels, dtype=np.uint8)[..., np.newaxis], 3, axis=2)


# --- PNG ------------------------------------------------------------------------------------------


def chunk(kind, data=b"", checksum=None):
    """A PNG chunk; `checksum` replaces the right one."""
    right = zlib.crc32(data, zlib.crc32(kind))
    stored = right if checksum is None else checksum
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", stored)


def packed_rows(rows, depth):
    """Rows of samples H×W×C as bytes, each row after a filter byte of 0."""
    if depth == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    if depth == 8:
        return b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in rows)
    found = []
    for row in rows:
        bits = row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1) & 1
        found.append(b"\0" + np.packbits(bits.astype(np.uint8)).tobytes())
    return b"".join(found)


def png(samples, depth, colour, *, before=(), after=(), interlaced=False, data=None):
    """A PNG file written by hand.

    Args:
        samples: H×W×C values.
        depth: bits of a value.
        colour: type of the standard: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        before: chunks between header and image data.
        after: chunks after the image data.
        interlaced: in seven passes.
        data: the compressed image data, instead of the right ones.
    """
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    if interlaced:
        parts = [samples[y::down, x::across] for x, y, across, down in _ADAM7]
        raw = b"".join(packed_rows(part, depth) for part in parts if part.size)
    else:
        raw = packed_rows(samples, depth)
    stored = zlib.compress(raw) if data is None else data
    return b"".join(
        [_SIGNATURE, chunk(b"IHDR", header), *before, chunk(b"IDAT", stored), *after,
         chunk(b"IEND")]
    )  # fmt: skip


def _raw(seed):
    return packed_rows(noise(seed), 8)


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _png_damage():
    pixels = noise
    cut = png(pixels(1), 8, 2)
    yield Awkward("png-cut.png", cut[: len(cut) // 2], "cut short within its IDAT chunk")
    yield Awkward("png-no-end.png", cut[:-12], "cut short within its list of chunks")
    # Data that are stored, not compressed: a decoder sees nothing wrong with another pixel.
    wrong = bytearray(png(pixels(2), 8, 2, data=zlib.compress(_raw(2), level=0)))
    wrong[wrong.index(b"IDAT") + 60] ^= 64
    yield Awkward("png-checksum.png", bytes(wrong), "wrong checksum of its IDAT chunk")
    alone = bytearray(png(pixels(11), 8, 2))
    alone[-13] ^= 1
    yield Awkward("png-checksum-alone.png", bytes(alone), "wrong checksum of its IDAT chunk")
    data = bytearray(zlib.compress(_raw(3)))
    data[-1] ^= 1
    yield Awkward("png-adler.png", png(pixels(3), 8, 2, data=bytes(data)), "do not decompress")
    short = zlib.compress(_raw(4)[:-200])
    yield Awkward("png-rows-missing.png", png(pixels(4), 8, 2, data=short), "data end early")
    half = zlib.compress(_raw(5))[:-40]
    yield Awkward("png-stream-cut.png", png(pixels(5), 8, 2, data=half), "data end early")
    nothing = _SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 16, 8, 2, 0, 0, 0))
    yield Awkward("png-no-width.png", nothing + chunk(b"IEND"), "a size of 0×16 pixels")
    odd = _SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 3, 2, 0, 0, 0))
    yield Awkward("png-3-bits.png", odd + chunk(b"IEND"), "contradicts itself")
    bare = _SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
    yield Awkward("png-no-data.png", bare + chunk(b"IEND"), "without image data")
    alien = png(pixels(6), 8, 2, before=[chunk(b"CgBI", b"1234")])
    yield Awkward("png-critical.png", alien, "CgBI chunk is none of the PNG standard's")
    lost = png(pixels(7), 8, 2, before=[chunk(b"tRNS", bytes(6), checksum=1)])
    yield Awkward("png-transparency-checksum.png", lost, "wrong checksum of its tRNS chunk")
    turned = png(pixels(8), 8, 2, before=[chunk(b"eXIf", _exif(6), checksum=1)])
    yield Awkward("png-exif-checksum.png", turned, "wrong checksum of its eXIf chunk")
    unknown = png(pixels(9), 8, 2, before=[chunk(b"zzZz", b"?", checksum=1)])
    yield Awkward("png-unknown-checksum.png", unknown, "wrong checksum of its zzZz chunk")
    # A text chunk whose length was damaged so that it swallows the transparency.
    inside = chunk(b"tRNS", bytes(6)) + b"...."
    swallowed = png(pixels(10), 8, 2, before=[chunk(b"tEXt", b"a\0b" + inside, checksum=1)])
    yield Awkward("png-swallowed.png", swallowed, "wrong checksum of its tEXt chunk")


def _png_metadata():
    kept = noise
    profile = b"icc\0\0" + zlib.compress(np.random.default_rng(0).bytes(1_500_000))
    text = b"note\0\0" + zlib.compress(b"x" * 20_000_000)
    rgb = np.zeros(24, dtype=np.uint8).tobytes()
    cases = {
        "png-big-profile.png": chunk(b"iCCP", profile),
        "png-text-bomb.png": chunk(b"zTXt", text),
        "png-text-checksum.png": chunk(b"tEXt", b"Author\0somebody", checksum=7),
        "png-text-damaged.png": chunk(b"iTXt", b"\xff\xfe no key, no end"),
        "png-profile-damaged.png": chunk(b"iCCP", b"icc\0\0not compressed"),
        "png-exif-damaged.png": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff" + rgb),
        "png-gamma.png": chunk(b"gAMA", struct.pack(">I", 100_000)),
        "png-unknown.png": chunk(b"zzZz", b"?"),
        "png-time-damaged.png": chunk(b"tIME", b"12"),
    }
    for number, (name, extra) in enumerate(cases.items()):
        pixels = kept(20 + number)
        yield Awkward(name, png(pixels, 8, 2, before=[extra]), becomes=pixels)
    pixels = kept(40)
    turned = png(pixels, 8, 2, after=[chunk(b"eXIf", _exif(6))])
    yield Awkward("png-exif-turned.png", turned, becomes=np.rot90(pixels, -1))
    pixels = kept(41)
    yield Awkward("png-trailing.png", png(pixels, 8, 2) + b"trailing bytes" * 9, becomes=pixels)


def _png_kinds():
    wide = np.random.default_rng(5).integers(0, 65_536, (SIZE, SIZE, 4))
    down = ((wide * 255 + 32_767) // 65_535).astype(np.uint8)
    yield Awkward("png-16-grey.png", png(wide[..., :1], 16, 0), becomes=grey3(down[..., 0]))
    yield Awkward("png-16-rgb.png", png(wide[..., :3], 16, 2), becomes=down[..., :3])
    solid = np.concatenate([wide[..., 1:2], np.full((SIZE, SIZE, 1), 65_535)], axis=2)
    yield Awkward("png-16-grey-alpha.png", png(solid, 16, 4), becomes=grey3(down[..., 1]))
    solid = np.concatenate([wide[..., 1:4], np.full((SIZE, SIZE, 1), 65_535)], axis=2)
    yield Awkward("png-16-rgba.png", png(solid, 16, 6), becomes=down[..., 1:4])
    mark = struct.pack(">H", int(wide[0, 0, 3]))
    seen = grey3(np.where(wide[..., 3] == wide[0, 0, 3], 255, down[..., 3]))
    marked = png(wide[..., 3:], 16, 0, before=[chunk(b"tRNS", mark)])
    yield Awkward("png-16-transparent-value.png", marked, becomes=seen)
    bits = np.random.default_rng(6).integers(0, 2, (SIZE, SIZE, 1))
    yield Awkward("png-1-bit.png", png(bits, 1, 0), becomes=grey3(bits[..., 0] * 255))
    four = np.random.default_rng(7).integers(0, 16, (SIZE, SIZE, 1))
    yield Awkward("png-4-bit.png", png(four, 4, 0), becomes=grey3(four[..., 0] * 17))
    pixels = noise(50)
    yield Awkward("png-interlaced.png", png(pixels, 8, 2, interlaced=True), becomes=pixels)
    palette = noise(51, (16, 3))
    coloured = png(four, 4, 3, before=[chunk(b"PLTE", palette.tobytes())])
    yield Awkward("png-palette.png", coloured, becomes=palette[four[..., 0]])
    # The first colour is transparent, the others are not.
    clear = [chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", b"\0")]
    seen = np.where(four == 0, np.uint8(255), palette[four[..., 0]])
    four_2 = np.rot90(four)
    yield Awkward("png-palette-transparent.png", png(four_2, 4, 3, before=clear),
                  becomes=np.rot90(seen))  # fmt: skip
    yield Awkward("png-no-palette.png", png(four, 4, 3), "a palette image without palette")
    frames = [Image.fromarray(noise(60 + k)) for k in range(3)]
    moving = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield Awkward("png-animated.png", moving, "an animation of 3 images")


# --- JPEG -----------------------------------------------------------------------------------------


def _entropy(content):
    """Where the entropy-coded data of the first scan begin, and where the last ones end."""
    start = content.index(b"\xff\xda")
    return start + 2 + struct.unpack(">H", content[start + 2 : start + 4])[0], len(content) - 2


def _jpeg(seed, **options):
    big = Image.fromarray(noise(seed, (96, 96, 3)))
    return saved(big, "JPEG", quality=90, **options)


def _jpeg_damage():
    sound = _jpeg(70)
    start, end = _entropy(sound)
    middle = (start + end) // 2
    missing = sound[:middle] + sound[middle + 200 :]
    yield Awkward("jpeg-200-missing.jpg", missing, "damaged image")
    extra = sound[:middle] + sound[middle - 300 : middle] + sound[middle:]
    yield Awkward("jpeg-300-twice.jpg", extra, "after its last pixel")
    yield Awkward("jpeg-cut.jpg", sound[:middle], "cut short")
    yield Awkward("jpeg-no-end.jpg", sound[:-2], "cut short")
    yield Awkward("jpeg-end-in-the-middle.jpg", sound[:middle] + b"\xff\xd9", "end early")
    rows = bytearray(_jpeg(71, restart_marker_rows=1))
    place = rows.index(b"\xff\xd2")
    yield Awkward("jpeg-restart-lost.jpg", bytes(rows[:place] + rows[place + 2 :]), "restart")
    fewer = bytes(rows[:place][:-60] + rows[place:])
    yield Awkward("jpeg-interval-short.jpg", fewer, "end early")
    scans = _jpeg(72, progressive=True)
    position = _entropy(scans)[0] + 200
    lost = scans[:position] + scans[position + 100 :]
    yield Awkward("jpeg-progressive-missing.jpg", lost, "end early")
    deep = bytearray(sound)
    deep[deep.index(b"\xff\xc0") + 4] = 12
    yield Awkward("jpeg-12-bits.jpg", bytes(deep), "a JPEG of 12 bits a value")
    lossless = sound.replace(b"\xff\xc0", b"\xff\xc3", 1)
    yield Awkward("jpeg-lossless.jpg", lossless, "lossless or hierarchical")
    yield Awkward("jpeg-no-scan.jpg", sound[:20] + b"\xff\xd9", "without image data")


def _jpeg_kinds():
    def smooth(name, seed, content, becomes=None, within=12):
        return Awkward(name, content, becomes=soft(seed) if becomes is None else becomes,
                       within=within)  # fmt: skip

    options = {"quality": 95, "subsampling": 0}
    yield smooth("jpeg-progressive.jpg", 80, saved(soft(80), "JPEG", progressive=True, **options))
    rows = saved(soft(81), "JPEG", restart_marker_rows=1, **options)
    yield smooth("jpeg-restarts.jpg", 81, rows)
    upright = saved(soft(82), "JPEG", exif=_exif(3), **options)
    yield smooth("jpeg-turned.jpg", 82, upright, np.rot90(soft(82), 2))
    broken = saved(soft(83), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", **options)
    yield smooth("jpeg-exif-damaged.jpg", 83, broken)
    yield smooth("jpeg-trailing.jpg", 84, saved(soft(84), "JPEG", **options) + b"video" * 99)
    profile = np.random.default_rng(0).bytes(300_000)
    yield smooth(
        "jpeg-big-profile.jpg", 85, saved(soft(85), "JPEG", icc_profile=profile, **options)
    )
    print_ = Image.fromarray(soft(86)).convert("CMYK")
    yield smooth("jpeg-cmyk.jpg", 86, saved(print_, "JPEG", **options))
    grey = Image.fromarray(soft(87)).convert("L")
    yield smooth("jpeg-grey.jpg", 87, saved(grey, "JPEG", quality=95), grey3(grey))
    yield smooth("jpeg-called-png.png", 88, saved(soft(88), "JPEG", **options))


# --- WebP and BMP ---------------------------------------------------------------------------------


def _webp():
    exact = {"lossless": True, "exact": True}
    whole = saved(noise(90), "WEBP", **exact)
    yield Awkward("webp-cut.webp", whole[:-60], "cut short within its VP8L chunk")
    yield Awkward("webp-longer.webp", whole + b"more" * 9, "its header promises")
    filled = saved(noise(91), "WEBP", **exact)
    yield Awkward("webp-zeros-after.webp", filled + bytes(64), becomes=noise(91))
    data = filled[20:]
    # The chunk claims bytes that its image does not need.
    body = b"WEBP" + struct.pack("<4sI", b"VP8L", len(data) + 40) + data + b"\x5a" * 40
    surplus = struct.pack("<4sI", b"RIFF", len(body)) + body
    yield Awkward("webp-surplus.webp", surplus, "after its last pixel")
    profile = np.random.default_rng(0).bytes(1_200_000)
    big = saved(noise(92), "WEBP", icc_profile=profile, **exact)
    yield Awkward("webp-big-profile.webp", big, becomes=noise(92))
    turned = saved(noise(93), "WEBP", exif=_exif(6), **exact)
    yield Awkward("webp-turned.webp", turned, becomes=np.rot90(noise(93), -1))
    clear = np.dstack([noise(94), np.where(noise(95)[..., 0] < 128, 0, 255)]).astype(np.uint8)
    seen = np.where(clear[..., 3:] == 0, np.uint8(255), clear[..., :3])
    yield Awkward("webp-transparent.webp", saved(clear, "WEBP", **exact), becomes=seen)
    frames = [Image.fromarray(noise(96 + k)) for k in range(2)]
    moving = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], **exact)
    yield Awkward("webp-animated.webp", moving, "an animation of 2 images")
    lossy = saved(soft(98), "WEBP", quality=95)
    yield Awkward("webp-lossy.webp", lossy, becomes=soft(98), within=40)


def _bmp():
    pixels = noise(100)
    whole = saved(pixels, "BMP")
    yield Awkward("bmp-cut.bmp", whole[:-100], "cut short: its header promises")
    narrow = bytearray(whole)
    narrow[18:22] = struct.pack("<I", 12)
    yield Awkward("bmp-narrow.bmp", bytes(narrow), "its header describes")
    wide = bytearray(whole)
    wide[18:22] = struct.pack("<I", 500)
    yield Awkward("bmp-wide.bmp", bytes(wide), "cut short: its header promises")
    yield Awkward("bmp-two-bytes-more.bmp", saved(noise(101), "BMP") + b"\0\0", becomes=noise(101))
    down = bytearray(saved(noise(102), "BMP"))
    down[22:26] = struct.pack("<i", -16)
    yield Awkward("bmp-top-down.bmp", bytes(down), becomes=noise(102)[::-1])
    unsized = bytearray(saved(noise(103), "BMP"))
    unsized[2:6] = bytes(4)
    yield Awkward("bmp-no-size.bmp", bytes(unsized), becomes=noise(103))
    odd = bytearray(saved(noise(104), "BMP"))
    odd[28:30] = struct.pack("<H", 7)
    yield Awkward("bmp-7-bits.bmp", bytes(odd), "contradicts itself")


def _others():
    yield Awkward("gif.png", saved(noise(110), "GIF"), "not a png, jpg, webp or bmp image")
    yield Awkward("text.jpg", b"I am no image", "not a png, jpg, webp or bmp image")
    yield Awkward("empty.webp", b"", "empty file (0 bytes)")
    yield Awkward("sound.webp", b"RIFF\x24\0\0\0WAVEfmt ", "not a png, jpg, webp or bmp image")
    bomb = saved(Image.new("1", (30_000, 30_000)), "PNG")
    yield Awkward("bomb.png", bomb, "30000×30000 pixels are more than max_pixels")
    red = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    red[..., 0] = 255
    yield Awkward("red.png", saved(red, "PNG"), "blank image")
    yield Awkward("z-copy.bmp", saved(noise(1000), "BMP"), "the same content as ordinary-00.png")
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "another file of the same pixels")
    again = saved(noise(1001), "PNG", pnginfo=note)
    yield Awkward("z-copy.png", again, "the same content as ordinary-01.png")
    pixels = noise(112, (48, 16, 3))
    yield Awkward("tall.png", saved(pixels, "PNG"), becomes=pixels[16:32])


@functools.cache
def images():
    """All of them."""
    makers = (
        _png_damage, _png_metadata, _png_kinds, _jpeg_damage, _jpeg_kinds, _webp, _bmp, _others,
    )  # fmt: skip
    return tuple(each for maker in makers for each in maker())
