"""WebP reader: RIFF chunks and their lengths (RFC 9649). The format has no checksum."""

from __future__ import annotations

import struct
from typing import BinaryIO

from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.colour import LARGEST
from genmint.data.ingestion.readers.container import (
    Container,
    decoded_hash,
    depends_on_end,
    orientation_of,
    read_exactly,
    refuse_too_large,
)

_METADATA = (b"ICCP", b"EXIF", b"XMP ")
_IMAGE = (b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF")
# Flags of VP8X for a profile, EXIF and XMP.
_METADATA_FLAGS = 0x20 | 0x08 | 0x04
# Number of replaced bytes at the end, and of attempts. The arithmetic coder of lossy files writes
# more bytes at its end than the decoder needs.
_TAILS = {b"VP8L": (2, 24), b"VP8 ": (16, 8)}
_MOST_CHUNKS = 100_000
_MOST_TRAILING = 1 << 16


def read(stream: BinaryIO, max_pixels: int) -> Container:
    """Read the image of a WebP file after its signature `RIFF`.

    Raises:
        UnreadableError: the file is damaged, truncated or too large.
    """
    (size,) = struct.unpack("<I", read_exactly(stream, 4, "its header"))
    if read_exactly(stream, 4, "its header") != b"WEBP":
        raise UnreadableError("not a png, jpg, webp or bmp image")
    chunks: list[tuple[bytes, bytes]] = []
    exif, profile, left, width, height, frames = b"", b"", size - 4, 0, 0, 0
    while left >= 8 and len(chunks) < _MOST_CHUNKS:
        kind, length = struct.unpack("<4sI", read_exactly(stream, 8, "its list of chunks"))
        padded = length + (length & 1)
        left -= 8 + padded
        if left < 0:
            raise UnreadableError("damaged image: a WebP chunk is longer than the file says it is")
        if kind in _IMAGE:
            data = _data(stream, kind, length, padded, 8 * max_pixels + 65_536)
            if not width and kind in (b"VP8X", b"VP8 ", b"VP8L"):
                width, height = _size(kind, data)
                refuse_too_large(width, height, max_pixels)
            frames += kind == b"ANMF"
            # Only the first image of an animation is used.
            if frames < 2:
                chunks.append((kind, data))
        elif kind == b"EXIF":
            exif = _data(stream, kind, length, padded, 1 << 24)
        elif kind == b"ICCP" and length <= LARGEST:
            profile = stream.read(padded)[:length]
        elif kind in _METADATA or kind.isalnum():
            _skip(stream, padded)
        else:
            raise UnreadableError("damaged image: its list of WebP chunks is broken")
    _check_end(stream, size + 8)
    if not width:
        raise UnreadableError("damaged image: a WebP file without image data")
    return Container(
        "WEBP", width, height, 8, max(1, frames), orientation_of(exif), _written(chunks), profile
    )


def verify(container: Container) -> None:
    """Check that decoding a still image uses its compressed data up to their end.

    Raises:
        UnreadableError: a part of the data is unused, which indicates damage.
    """
    content = container.content
    position, chunk = 12, (b"", 0, 0)
    while position + 8 <= len(content):
        kind, length = struct.unpack("<4sI", content[position : position + 8])
        if kind in _TAILS:
            chunk = (kind, position + 8, length)
        position += 8 + length + (length & 1)
    kind, start, length = chunk
    if container.frames > 1 or not kind:
        return
    tail, attempts = _TAILS[kind]
    whole = decoded_hash(content, "WEBP")
    if whole is None or length < 2 * tail:
        return
    end = start + length

    def changed(random: bytes) -> bytes:
        return content[: end - tail] + random[:tail] + content[end:]

    if not depends_on_end(whole, changed, "WEBP", attempts):
        raise UnreadableError("damaged image: it holds image data after its last pixel")


def _data(stream: BinaryIO, kind: bytes, length: int, padded: int, most: int) -> bytes:
    name = kind.decode("ascii").strip()
    if length > most:
        raise UnreadableError(f"damaged image: its {name} chunk claims {length} bytes")
    data = read_exactly(stream, length, f"its {name} chunk")
    stream.read(padded - length)
    return data


def _check_end(stream: BinaryIO, declared: int) -> None:
    """Check that a file is not longer than its header says, apart from zero padding."""
    length = stream.seek(0, 2)
    stream.seek(min(declared, length))
    if stream.read(_MOST_TRAILING).strip(b"\0"):
        raise UnreadableError(
            f"damaged image: its header promises {declared} bytes, {length} are there"
        )


def _skip(stream: BinaryIO, count: int) -> None:
    """Skip metadata; their truncation at the end of the file is ignored."""
    stream.seek(count, 1)


def _size(kind: bytes, data: bytes) -> tuple[int, int]:
    try:
        if kind == b"VP8X":
            width, height = (int.from_bytes(data[k : k + 3], "little") + 1 for k in (4, 7))
            return width, height
        if kind == b"VP8L":
            signature, packed = struct.unpack("<BI", data[:5])
            if signature == 0x2F:
                return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        elif data[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", data[6:10])
            return width & 0x3FFF, height & 0x3FFF
    except struct.error:
        pass
    raise UnreadableError("damaged image: a WebP header that cannot be read")


def _written(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = [b"WEBP"]
    for kind, data in chunks:
        if kind == b"VP8X":
            data = bytes([data[0] & ~_METADATA_FLAGS]) + data[1:]
        body.append(struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) & 1))
    joined = b"".join(body)
    return struct.pack("<4sI", b"RIFF", len(joined)) + joined
