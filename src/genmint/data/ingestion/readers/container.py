"""Image files before decoding: structure and integrity checks of their formats."""

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

from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.base import read_exactly as _read_exactly

Format = Literal["PNG", "JPEG", "WEBP", "BMP"]

read_exactly = partial(_read_exactly, kind="image")

# Exceptions of Pillow's decoders observed on damaged files.
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
# Rows hashed at a time, so that hashing needs no second copy of the image.
_STRIP = 64


@dataclass(frozen=True)
class Container:
    """An image file with a valid structure, reduced to the data that determine its pixels.

    Attributes:
        format: format of the file, whatever its suffix.
        width: width in pixels, before the EXIF orientation is applied.
        height: height in pixels, before the EXIF orientation is applied.
        bits: 16 if the file stores 16 bits per value, otherwise 8.
        frames: number of images in the file; the first is used.
        orientation: EXIF orientation, 1…8; 1 if there is none or it is unreadable.
        content: file of the same format with image data only, without colour profile, text and
            thumbnails.
        profile: ICC colour profile of the file; empty if there is none.
    """

    format: Format
    width: int
    height: int
    bits: int
    frames: int
    orientation: int
    content: bytes
    profile: bytes = b""


def refuse_too_large(width: int, height: int, max_pixels: int) -> None:
    """Check the declared size of an image before it is decoded.

    Raises:
        UnreadableError: the image has more than `max_pixels` pixels, or none.
    """
    if width < 1 or height < 1:
        raise UnreadableError(f"damaged image: a size of {width}×{height} pixels")
    if width * height > max_pixels:
        raise UnreadableError(
            f"{width}×{height} pixels are more than max_pixels ({max_pixels}); not decoded"
        )


def orientation_of(exif: bytes) -> int:
    """Return the orientation 1…8 of EXIF data, with or without `Exif` prefix; 1 if unreadable."""
    try:
        with warnings.catch_warnings():
            # Pillow warns about damaged EXIF data, for which the result is 1.
            warnings.simplefilter("ignore")
            tags = Image.Exif()
            tags.load(exif if exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif)
            value = tags.get(_ORIENTATION, 1)
    except (*DAMAGED, AttributeError):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def decoded_hash(content: bytes, file_format: Format) -> bytes | None:
    """Return the hash of a file's decoded pixels, or None if it cannot be decoded."""
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
    """Return whether the decoded image depends on the end of its entropy-coded data.

    Damaged data usually yield the full number of pixels before or after their end. In the first
    case, the remaining data are never read.

    Args:
        whole: `decoded_hash` of the original file.
        changed: returns the file with some bytes of its end replaced, given 48 bytes of noise
            (1…254).
        file_format: format of both.
        attempts: number of different noises; a single one may change nothing by chance.
    """
    return any(decoded_hash(changed(noise(seed)), file_format) != whole for seed in range(attempts))


def noise(seed: int) -> bytes:
    """Return 48 reproducible bytes of 1…254, none of which can begin a JPEG marker."""
    return np.random.default_rng(seed).integers(1, 255, 48).astype(np.uint8).tobytes()
