"""PNG reader: chunks, their checksums, and the compressed stream (ISO/IEC 15948, RFC 1950)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.colour import LARGEST
from genmint.data.ingestion.readers.container import (
    Container,
    orientation_of,
    read_exactly,
    refuse_too_large,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that do not affect pixels; a wrong checksum in one of them is ignored.
_METADATA = frozenset(
    b"tEXt zTXt iTXt iCCP tIME pHYs gAMA cHRM sRGB sBIT bKGD hIST sPLT cICP mDCV cLLI oFFs pCAL "
    b"sCAL sTER gIFg gIFt gIFx vpAg caNv orNT dSIG acTL fcTL fdAT caBX".split()
)
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
# Chunks that affect the image; none may be hidden in a damaged metadata chunk.
_DECISIVE = (*_CRITICAL, b"tRNS", b"eXIf")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# First column and row, and steps, of the seven passes of an interlaced image.
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
    (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip
_INDEXED = 3
_PIECE = 1 << 20
_INPUT = 1 << 16
_MOST_CHUNKS = 100_000


@dataclass
class _PngContent:
    header: bytes = b""
    palette: bytes = b""
    transparency: bytes = b""
    exif: bytes = b""
    profile: bytes = b""
    frames: int = 1
    data: list[bytes] = field(default_factory=list)
    size: int = 0


def read(stream: BinaryIO, max_pixels: int) -> Container:
    """Read the image of a PNG file after its signature.

    Checksums are verified for chunks that affect pixels. Metadata with a wrong checksum are left
    out.

    Raises:
        UnreadableError: the file is damaged, truncated or too large.
    """
    content = _PngContent()
    for _ in range(_MOST_CHUNKS):
        length, kind = struct.unpack(">I4s", read_exactly(stream, 8, "its list of chunks"))
        if not content.header and kind != b"IHDR":
            raise UnreadableError("damaged image: a PNG file that does not begin with its header")
        if kind == b"IEND":
            _chunk(stream, kind, length, 0)
            return _container(content)
        _take(content, stream, kind, length, max_pixels)
    raise UnreadableError(f"damaged image: more than {_MOST_CHUNKS} chunks")


def _take(
    content: _PngContent, stream: BinaryIO, kind: bytes, length: int, max_pixels: int
) -> None:
    if kind == b"IHDR":
        if content.header:
            raise UnreadableError("damaged image: two PNG headers in one file")
        content.header = _chunk(stream, kind, length, 13)
        width, height = struct.unpack(">II", content.header[:8])
        refuse_too_large(width, height, max_pixels)
        _raw_size(content.header)
    elif kind == b"PLTE":
        content.palette = _chunk(stream, kind, length, 768)
    elif kind == b"tRNS":
        content.transparency = _chunk(stream, kind, length, 256)
    elif kind == b"IDAT":
        raw = _raw_size(content.header)
        # Deflate adds less than 1 % to incompressible data.
        content.data.append(_chunk(stream, kind, length, raw + raw // 100 + 65_536 - content.size))
        content.size += length
    elif kind == b"eXIf":
        content.exif = _chunk(stream, kind, length, 1 << 24)
    elif kind == b"iCCP":
        start = stream.tell()
        _skip(stream, kind, length)
        content.profile = _profile(stream, start, length)
    elif kind == b"acTL" and length == 8:
        content.frames = max(1, _frames(stream))
    else:
        _skip(stream, kind, length)


def _chunk(stream: BinaryIO, kind: bytes, length: int, most: int) -> bytes:
    """Read a chunk that affects pixels, and verify its checksum."""
    name = kind.decode("ascii")
    if length > most:
        raise UnreadableError(f"damaged image: its {name} chunk claims {length} bytes")
    data = read_exactly(stream, length, f"its {name} chunk")
    (expected,) = struct.unpack(">I", read_exactly(stream, 4, f"its {name} chunk"))
    if zlib.crc32(data, zlib.crc32(kind)) != expected:
        raise UnreadableError(f"damaged image: wrong checksum of its {name} chunk")
    return data


def _frames(stream: BinaryIO) -> int:
    """Return the number of frames in acTL; 1 if its checksum is wrong."""
    data = read_exactly(stream, 8, "its acTL chunk")
    (expected,) = struct.unpack(">I", read_exactly(stream, 4, "its acTL chunk"))
    frames: int = struct.unpack(">I", data[:4])[0]
    return frames if zlib.crc32(data, zlib.crc32(b"acTL")) == expected else 1


def _profile(stream: BinaryIO, start: int, length: int) -> bytes:
    """Return the colour profile of an iCCP chunk; an invalid byte if it is damaged."""
    end = stream.tell()
    stream.seek(start)
    chunk = stream.read(min(length, LARGEST) + 4)
    stream.seek(end)
    data, checksum = chunk[:-4], chunk[-4:]
    if length > LARGEST or struct.pack(">I", zlib.crc32(data, zlib.crc32(b"iCCP"))) != checksum:
        return b"?"
    # Profile name, a zero, and the compression method (0: deflate).
    packed = data.partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(packed, LARGEST) or b"?"
    except zlib.error:
        return b"?"


def _skip(stream: BinaryIO, kind: bytes, length: int) -> None:
    """Skip a chunk that does not affect pixels."""
    if not kind.isalpha() or length > 0x7FFFFFFF:
        raise UnreadableError("damaged image: its list of chunks is broken")
    name = kind.decode("ascii")
    if kind[:1].isupper():
        raise UnreadableError(f"its {name} chunk is none of the PNG standard's")
    checksum, decisive, left, end = zlib.crc32(kind), False, length, b""
    while left:
        piece = read_exactly(stream, min(left, _PIECE), f"its {name} chunk")
        checksum, left = zlib.crc32(piece, checksum), left - len(piece)
        decisive = decisive or any(name in end + piece for name in _DECISIVE)
        end = piece[-3:]
    (expected,) = struct.unpack(">I", read_exactly(stream, 4, f"its {name} chunk"))
    if checksum == expected:
        return
    if kind not in _METADATA or decisive:
        raise UnreadableError(f"damaged image: wrong checksum of its {name} chunk")


def _container(content: _PngContent) -> Container:
    if not content.data:
        raise UnreadableError("damaged image: a PNG file without image data")
    width, height, depth, colour = struct.unpack(">IIBB", content.header[:10])
    if colour == _INDEXED and not content.palette:
        raise UnreadableError("damaged image: a palette image without palette")
    parts = [SIGNATURE, _packed(b"IHDR", content.header)]
    parts += [_packed(b"PLTE", content.palette)] if content.palette else []
    parts += [_packed(b"tRNS", content.transparency)] if content.transparency else []
    # A chunk may have 2 GB; the limit on the image data keeps the total below.
    parts += [_packed(b"IDAT", b"".join(content.data)), _packed(b"IEND", b"")]
    return Container(
        "PNG",
        width,
        height,
        bits=16 if depth == 16 else 8,
        frames=content.frames,
        orientation=orientation_of(content.exif) if content.exif else 1,
        content=b"".join(parts),
        profile=content.profile,
    )


def _packed(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", checksum)


def _raw_size(header: bytes) -> int:
    """Return the size of the decompressed image data in bytes: rows with a filter byte each.

    Raises:
        UnreadableError: the header violates the standard.
    """
    width, height, depth, colour, method, filters, interlaced = struct.unpack(">IIBBBBB", header)
    if depth not in _DEPTHS.get(colour, ()) or method or filters or interlaced > 1:
        raise UnreadableError("damaged image: a PNG header that contradicts itself")
    bits = depth * _CHANNELS[colour]
    if not interlaced:
        return int(height * (1 + (width * bits + 7) // 8))
    size = 0
    for column, row, across, down in _ADAM7:
        columns = -(-(width - column) // across) if width > column else 0
        rows = -(-(height - row) // down) if height > row else 0
        size += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return size


def verify(container: Container) -> None:
    """Decompress the image data, and check their length and checksum (Adler-32).

    Raises:
        UnreadableError: length or checksum is wrong.
    """
    content = container.content
    start = content.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", content[start - 8 : start - 4])
    expected = _raw_size(content[16:29])
    data = memoryview(content)[start : start + length]
    stream, size = zlib.decompressobj(), 0
    try:
        for first in range(0, length, _INPUT):
            piece: bytes = bytes(data[first : first + _INPUT])
            while piece and not stream.eof:
                size += len(stream.decompress(piece, _PIECE))
                piece = stream.unconsumed_tail
                if size > expected + _PIECE:
                    raise UnreadableError("damaged image: more image data than its size needs")
        size += len(stream.flush())
    except zlib.error as error:
        raise UnreadableError(f"damaged image: its data do not decompress ({error})") from None
    if not stream.eof or size < expected:
        raise UnreadableError("damaged image: its image data end early")
