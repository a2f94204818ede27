"""JPEG reader: segments, scans, and consistency of the entropy-coded data (ITU-T T.81)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.container import (
    Container,
    decoded_hash,
    depends_on_end,
    noise,
    orientation_of,
    read_exactly,
    refuse_too_large,
)

_SOI, _EOI, _SOS, _DRI = 0xD8, 0xD9, 0xDA, 0xDD
_APP1, _APP2, _APP14 = 0xE1, 0xE2, 0xEE
# Marks a part of a colour profile; its number and the number of parts follow (ICC.1, B.4).
_ICC = b"ICC_PROFILE\0"
# Supported frames: sequential and progressive, with Huffman or arithmetic coding.
_SEQUENTIAL, _PROGRESSIVE, _ARITHMETIC = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA), (0xC9, 0xCA)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# A marker that ends a scan: not a stuffed zero, a restart marker or a fill byte.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
# Number of replaced bytes at the end; they contain at least nine bits of image data.
_TAIL = 2
_ATTEMPTS = 24


@dataclass
class _JpegContent:
    """Parsed content of a file.

    Attributes:
        content: the file without metadata.
        ends: positions in `content` where the entropy-coded data of each restart interval end.
    """

    content: bytearray
    ends: list[int] = field(default_factory=list)
    frame: int = 0
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    interval: int = 0
    scans: int = 0
    exif: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)
    profile_parts: int = 0


def read(stream: BinaryIO, max_pixels: int) -> Container:
    """Read the image of a JPEG file after its first two bytes.

    Raises:
        UnreadableError: the file is damaged, truncated or too large.
    """
    return _read(stream, max_pixels)[1]


def verify(container: Container) -> None:
    """Check that the entropy-coded data contain exactly the image's number of blocks.

    JPEG has no checksum. Damaged data mostly decode to too few or too many blocks, which libjpeg
    fills up or drops without an error. Two tests are made. An intact image is unchanged if noise is
    inserted after the data of every restart interval. It changes if noise replaces the last bits of
    the last scan (sequential files with one scan only).

    Raises:
        UnreadableError: the number of blocks is wrong.
    """
    import io

    parsed, _ = _read(io.BytesIO(container.content[2:]), container.width * container.height)
    content = bytes(parsed.content)
    whole = decoded_hash(content, "JPEG")
    if whole is None or parsed.frame in _ARITHMETIC:
        return  # the decoder reports the error; arithmetic coding has no defined end
    longer = b"".join(_with_noise(content, parsed.ends))
    if decoded_hash(longer, "JPEG") != whole:
        raise UnreadableError("damaged image: its image data end early")
    if parsed.scans > 1:
        return
    end = parsed.ends[-1]
    start = end
    for _ in range(_TAIL):
        start -= 2 if content[start - 2 : start] == b"\xff\x00" else 1

    def changed(random: bytes) -> bytes:
        return content[:start] + random + content[end:]

    if not depends_on_end(whole, changed, "JPEG", _ATTEMPTS) and content[start:end].strip(b"\0"):
        raise UnreadableError("damaged image: it holds image data after its last pixel")


def _with_noise(content: bytes, ends: list[int]) -> Iterator[bytes]:
    start = 0
    for number, end in enumerate(ends):
        yield content[start:end]
        yield noise(number)
        start = end
    yield content[start:]


def _read(stream: BinaryIO, max_pixels: int) -> tuple[_JpegContent, Container]:
    content = _JpegContent(bytearray(b"\xff\xd8"))
    while True:
        marker = _marker(stream)
        if marker == _EOI:
            break
        if 0xD0 <= marker <= _SOI or marker == 0x01:
            raise UnreadableError("damaged image: a JPEG marker in the wrong place")
        (length,) = struct.unpack(">H", read_exactly(stream, 2, "its JPEG segments"))
        if length < 2:
            raise UnreadableError("damaged image: a JPEG segment of impossible length")
        data = read_exactly(stream, length - 2, "its JPEG segments")
        if marker == _APP1 and data.startswith(b"Exif\0") and not content.exif:
            content.exif = data
        if marker == _APP2 and data.startswith(_ICC) and len(data) > len(_ICC) + 2:
            content.profile.setdefault(data[len(_ICC)], data[len(_ICC) + 2 :])
            content.profile_parts = data[len(_ICC) + 1]
        if marker in (0xE0, _APP14) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            content.content += struct.pack(">BBH", 0xFF, marker, length) + data
        if marker in _FRAMES:
            _frame(content, marker, data, max_pixels)
        elif marker == _DRI and len(data) == 2:
            (content.interval,) = struct.unpack(">H", data)
        elif marker == _SOS:
            _scan(content, stream, data)
    if not content.scans:
        raise UnreadableError("damaged image: a JPEG file without image data")
    content.content += b"\xff\xd9"
    orientation = orientation_of(content.exif) if content.exif else 1
    size = (content.width, content.height)
    return content, Container(
        "JPEG", *size, 8, 1, orientation, bytes(content.content), _profile(content)
    )


def _profile(content: _JpegContent) -> bytes:
    """Return the colour profile; an invalid byte if a part is missing."""
    if not content.profile:
        return b""
    parts = range(1, content.profile_parts + 1)
    if set(content.profile) != set(parts):
        return b"?"
    return b"".join(content.profile[number] for number in parts)


def _marker(stream: BinaryIO) -> int:
    """Return the next marker; fill bytes before it are skipped."""
    if read_exactly(stream, 1, "its JPEG segments") != b"\xff":
        raise UnreadableError("damaged image: its list of JPEG segments is broken")
    while (byte := read_exactly(stream, 1, "its JPEG segments")) == b"\xff":
        pass
    return byte[0]


def _frame(content: _JpegContent, marker: int, data: bytes, max_pixels: int) -> None:
    if content.frame:
        raise UnreadableError("damaged image: two JPEG frames in one file")
    if marker not in (*_SEQUENTIAL, *_PROGRESSIVE):
        raise UnreadableError("a lossless or hierarchical JPEG; save it as a common JPEG or PNG")
    if len(data) < 6 or len(data) != 6 + 3 * data[5] or data[5] == 0:
        raise UnreadableError("damaged image: a JPEG frame header of impossible length")
    precision, content.height, content.width = struct.unpack(">BHH", data[:5])
    if precision != 8:
        raise UnreadableError(f"a JPEG of {precision} bits a value; save it as a 16-bit PNG")
    refuse_too_large(content.width, content.height, max_pixels)
    content.frame = marker
    for start in range(6, len(data), 3):
        across, down = data[start + 1] >> 4, data[start + 1] & 15
        if not (1 <= across <= 4 and 1 <= down <= 4):
            raise UnreadableError("damaged image: an impossible JPEG sampling factor")
        content.sampling[data[start]] = (across, down)


def _scan(content: _JpegContent, stream: BinaryIO, header: bytes) -> None:
    """Read the entropy-coded data of a scan and count its restart intervals."""
    if not content.frame:
        raise UnreadableError("damaged image: a JPEG scan before the frame header")
    if not header or not header[0] or len(header) != 4 + 2 * header[0]:
        raise UnreadableError("damaged image: a JPEG scan header of impossible length")
    components = [header[1 + 2 * k] for k in range(header[0])]
    if any(component not in content.sampling for component in components):
        raise UnreadableError("damaged image: a JPEG scan of a component that is not there")
    data = _entropy(content, stream)
    units, blocks = _units(content, components)
    # A block has at least two bits: a code for its mean and one for its end.
    least = (2 if content.frame in _SEQUENTIAL else 1 if header[-3] == 0 else 0) * units * blocks
    if content.frame not in _ARITHMETIC and content.scans == 0 and 8 * len(data) < least:
        raise UnreadableError("damaged image: its image data end early")
    content.scans += 1
    restarts = [match.start() for match in _RESTART.finditer(data)]
    expected = -(-units // content.interval) - 1 if content.interval else 0
    numbers = [data[position + 1] & 7 for position in restarts]
    if numbers != [number % 8 for number in range(expected)]:
        raise UnreadableError("damaged image: JPEG restart markers are missing or out of order")
    begin = len(content.content)
    content.ends += [begin + position for position in (*restarts, len(data))]
    content.content += data


def _units(content: _JpegContent, components: list[int]) -> tuple[int, int]:
    """Return the number of coded units (MCUs) of a scan, and of blocks per unit."""
    across = max(factors[0] for factors in content.sampling.values())
    down = max(factors[1] for factors in content.sampling.values())
    if len(components) == 1:
        own = content.sampling[components[0]]
        columns = -(-content.width * own[0] // across)
        rows = -(-content.height * own[1] // down)
        return -(-columns // 8) * -(-rows // 8), 1
    units = -(-content.width // (8 * across)) * -(-content.height // (8 * down))
    return units, sum(a * d for a, d in (content.sampling[each] for each in components))


def _entropy(content: _JpegContent, stream: BinaryIO) -> bytes:
    """Read the data up to the next marker, where the stream is left."""
    # Noise at the best quality takes about three bytes per pixel.
    most = 4 * content.width * content.height * max(1, len(content.sampling)) + 65_536
    start = stream.tell()
    data = stream.read(most)
    match = _END_OF_SCAN.search(data)
    if match is None:
        raise UnreadableError("damaged image: its image data have no end: cut short")
    stream.seek(start + match.start())
    # Fill bytes of 0xFF may precede the marker.
    return data[: match.start()].rstrip(b"\xff")
