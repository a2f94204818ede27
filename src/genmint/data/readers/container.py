"""Image files before they are decoded: what their format says about their own integrity."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from genmint.data.readers.base import UnreadableError
from genmint.data.readers.base import read_exactly as _read_exactly

Format = Literal["PNG", "JPEG", "WEBP", "BMP"]

read_exactly = partial(_read_exactly, kind="image")

# What Pillow's decoders have been seen to raise on damaged files, besides OSError.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

_ORIENTATION = 0x0112
# Rows that are hashed at a time, so that a hash needs no second copy of the image.
_STRIP = 64


@dataclass(frozen=True)
class Container:
    """An image file whose structure is sound, without what does not decide about its pixels.

    Attributes:
        format: of the file, whatever its name ends in.
        width: in pixels, before the EXIF orientation is applied.
        height: in pixels.
        bits: 16 where the file stores 16 bits a value, otherwise 8.
        frames: number of images in the file; the first is taken.
        orientation: of EXIF, 1…8; 1 where there is none, or none that can be read.
        content: a file of the same format that holds the image data alone: no colour profile,
            no text, no thumbnails.
    """

    format: Format
    width: int
    height: int
    bits: int
    frames: int
    orientation: int
    content: bytes


def refuse_too_large(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image by its declared size, before anything of it is decoded.

    Raises:
        UnreadableError: more than `max_pixels` pixels, or none.
    """
    if width < 1 or height < 1:
        raise UnreadableError(f"damaged image: a size of {width}×{height} pixels")
    if width * height > max_pixels:
        raise UnreadableError(
            f"{width}×{height} pixels are more than max_pixels ({max_pixels}); not decoded"
        )


def orientation_of(exif: bytes) -> int:
    """Orientation 1…8 of an EXIF block (with or without its `Exif` prefix); 1 if unreadable."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF, which is answered by the value 1.
            warnings.simplefilter("ignore")
            found = Image.Exif()
            found.load(exif if exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif)
            value = found.get(_ORIENTATION, 1)
    except (*DAMAGED, AttributeError):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def decoded_hash(content: bytes, file_format: Format) -> bytes | None:
    """Hash of the decoded pixels of a file, or None where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=(file_format,)) as image:
            image.load()
            digest = hashlib.blake2b(f"{image.mode} {image.size}".encode())
            for top in range(0, image.height, _STRIP):
                bottom = min(top + _STRIP, image.height)
                digest.update(image.crop((0, top, image.width, bottom)).tobytes())
            return digest.digest()
    except DAMAGED:
        return None


def depends_on_end(
    whole: bytes | None, changed: Callable[[bytes], bytes], file_format: Format, attempts: int
) -> bool:
    """Whether the decoded image depends on the end of its entropy-coded data.

    Data that were damaged usually decode to the right number of pixels before or after their end:
    the rest is then never read.

    Args:
        whole: `decoded_hash` of the file as it is.
        changed: a file with some bytes of its end replaced, given 48 bytes of noise (1…254).
        file_format: of both.
        attempts: different noises that are tried; one of them may happen to change nothing.
    """
    return any(decoded_hash(changed(noise(seed)), file_format) != whole for seed in range(attempts))


def noise(seed: int) -> bytes:
    """48 reproducible bytes of 1…254, of which none can begin a JPEG marker."""
    return np.random.default_rng(seed).integers(1, 255, 48).astype(np.uint8).tobytes()
