"""BMP reader: checks declared sizes against the file length. The format has no checksum."""

from __future__ import annotations

import struct
from typing import BinaryIO

from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.container import Container, read_exactly, refuse_too_large

_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_BITS = (1, 4, 8, 16, 24, 32)
_UNCOMPRESSED = (0, 3, 6)
_RUN_LENGTHS = (1, 2)
# Some programs write up to three bytes after the last row.
_SLACK = 3


def read(stream: BinaryIO, max_pixels: int) -> Container:
    """Read the image of a BMP file after its signature `BM`.

    Raises:
        UnreadableError: the file is damaged, truncated or too large.
    """
    head = read_exactly(stream, 16, "its header")
    declared, offset, header = struct.unpack("<I4xII", head)
    if header not in _HEADERS:
        raise UnreadableError(f"damaged image: a BMP header of {header} bytes")
    rest = read_exactly(stream, header - 4, "its header")
    if header == 12:
        width, height, planes, bits = struct.unpack("<HHHH", rest[:8])
        compression = 0
    else:
        width, height, planes, bits, compression = struct.unpack("<iiHHI", rest[:16])
    refuse_too_large(width, abs(height), max_pixels)
    if planes != 1 or bits not in _BITS or compression not in (*_UNCOMPRESSED, *_RUN_LENGTHS):
        raise UnreadableError("damaged image: a BMP header that contradicts itself")
    size = (width * bits + 31) // 32 * 4 * abs(height)
    # Run-length encoded rows may exceed the size of the raw pixels.
    most = offset + (size if compression in _UNCOMPRESSED else 2 * size + 65_536)
    length = stream.seek(0, 2)
    if compression in _UNCOMPRESSED:
        _check_length(offset + size, length, declared, profile=header == 124)
    stream.seek(0)
    return Container("BMP", width, abs(height), 8, 1, 1, stream.read(min(most, length)))


def verify(container: Container) -> None:
    """Do nothing, since `read` already checks the lengths, and BMP offers no other check."""


def _check_length(needed: int, length: int, declared: int, *, profile: bool) -> None:
    if needed > length:
        raise UnreadableError(
            f"damaged image: cut short: its header promises {needed} bytes, {length} are there"
        )
    if 0 <= declared - needed <= _SLACK < length - declared:
        raise UnreadableError(
            f"damaged image: its header promises {declared} bytes, {length} are there"
        )
    # If the declared size is right, extra bytes after the last row indicate a wrong header.
    if declared == length and length - needed > _SLACK and not profile:
        raise UnreadableError(f"damaged image: its header describes {needed} bytes of {length}")
