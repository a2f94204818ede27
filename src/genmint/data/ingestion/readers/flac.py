"""FLAC reader: stream information and checksum of the samples (RFC 9639)."""

from __future__ import annotations

import struct
from typing import BinaryIO

from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.sound import Recording, read_exactly

MAGIC = b"fLaC"
_INFO = 34
_MOST_BLOCKS = 10_000
# Sample rates by their code in a frame header.
_RATES = {
    1: 88_200, 2: 176_400, 3: 192_000, 4: 8_000, 5: 16_000, 6: 22_050, 7: 24_000, 8: 32_000,
    9: 44_100, 10: 48_000, 11: 96_000,
}  # fmt: skip
_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}


def read(stream: BinaryIO) -> Recording:
    """Read the structure of a FLAC file; a leading ID3 tag is skipped.

    Comments, cover images and the seek table are left out.

    Raises:
        UnreadableError: the file is damaged or truncated.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    if (first := stream.read(10))[:3] == b"ID3":
        # Four bytes with seven bits each.
        stream.seek(10 + sum((first[6 + k] & 127) << 7 * (3 - k) for k in range(4)))
    else:
        stream.seek(0)
    if stream.read(4) != MAGIC:
        raise UnreadableError("not a wav or flac file")
    info, last = b"", False
    for number in range(_MOST_BLOCKS):
        if last:
            break
        head = read_exactly(stream, 4, "its description")
        last, kind = bool(head[0] & 128), head[0] & 127
        length = int.from_bytes(head[1:], "big")
        if number == 0:
            if kind != 0 or length != _INFO:
                raise UnreadableError("damaged audio file: it does not begin with its description")
            info = read_exactly(stream, length, "its description")
        elif kind in (0, 127):
            raise UnreadableError("damaged audio file: its list of blocks is broken")
        else:
            stream.seek(length, 1)
    return _recording(stream, info, size)


def _recording(stream: BinaryIO, info: bytes, size: int) -> Recording:
    (packed,) = struct.unpack(">Q", info[10:18])
    rate, channels = packed >> 44, (packed >> 41 & 7) + 1
    bits, frames = (packed >> 36 & 31) + 1, packed & 0xFFFFFFFFF
    if frames == 0:
        raise UnreadableError(
            "its description does not say how many samples follow (it was written into a pipe): "
            "write it again as a file"
        )
    start = stream.tell()
    if start >= size:
        raise UnreadableError("damaged audio file: cut short before its samples")
    _check_frame(stream.read(32), rate, channels, bits)
    md5 = info[18:34]
    return Recording(
        "FLAC",
        MAGIC + b"\x80" + _INFO.to_bytes(3, "big") + info,
        start,
        size - start,
        frames,
        rate,
        bits,
        md5 if any(md5) else None,
    )


def _check_frame(header: bytes, rate: int, channels: int, bits: int) -> None:
    """Compare the stream information with the header of the first frame, which has a checksum.

    Raises:
        UnreadableError: there is no frame here, or its rate, bits or channels differ.
    """
    broken = UnreadableError("damaged audio file: no frame of samples follows its description")
    if len(header) < 16 or header[0] != 0xFF or header[1] & 0xFE != 0xF8:
        raise broken
    size_code, rate_code = header[2] >> 4, header[2] & 15
    assignment, bits_code = header[3] >> 4, header[3] >> 1 & 7
    # The frame number is coded like a UTF-8 character.
    position = 4 + max(1, 8 - (header[4] ^ 0xFF).bit_length())
    position += {6: 1, 7: 2}.get(size_code, 0)
    width = {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    value = int.from_bytes(header[position : position + width], "big")
    position += width
    if _crc8(header[:position]) != header[position]:
        raise broken
    own_rate = {0: rate, 12: 1000 * value, 13: value, 14: 10 * value}.get(rate_code)
    own_rate = _RATES.get(rate_code, own_rate)
    own = (own_rate, 2 if assignment > 7 else assignment + 1, _BITS.get(bits_code, bits))
    if own != (rate, channels, bits):
        raise UnreadableError(
            f"damaged audio file: its description ({rate} Hz, {channels} channels, {bits} bits) "
            f"and its samples ({own[0]} Hz, {own[1]} channels, {own[2]} bits) contradict each other"
        )


def _crc8(data: bytes) -> int:
    """Return the CRC-8 of a frame header, polynomial x⁸ + x² + x + 1."""
    checksum = 0
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x107 if checksum & 128 else 0)) & 0xFF
    return checksum
