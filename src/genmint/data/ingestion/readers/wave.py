"""WAV reader: RIFF chunks, and the declared length of the samples against the file length."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.sound import Recording, read_exactly

# Signatures of RIFF files: little-endian, big-endian, and with 64-bit lengths.
MAGIC = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_EXTENSIBLE = 0xFFFE
# PCM, floats, A-law and μ-law: formats with a fixed number of bytes per frame.
_FIXED = (1, 3, 6, 7)
# Placeholders for the length that programs write if they cannot seek back to correct it.
_UNKNOWN = (0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFFFFF - 36)
_MOST_CHUNKS = 10_000
_MOST_FORMAT = 4096
# Largest length that a RIFF header can represent.
_MOST_BYTES = 0xFFFFF000


@dataclass(frozen=True)
class _Format:
    raw: bytes
    tag: int
    channels: int
    rate: int
    frame: int


def read(stream: BinaryIO) -> Recording:
    """Read the structure of a WAV file.

    Raises:
        UnreadableError: the file is truncated, or its header contradicts itself.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    head = read_exactly(stream, 12, "its header")
    magic, form = head[:4], head[8:]
    order = ">" if magic == b"RIFX" else "<"
    (declared,) = struct.unpack(f"{order}I", head[4:8])
    # Zero is a length that was never filled in.
    end = size if declared in (0, *_UNKNOWN) else min(size, declared + 8)
    if form != b"WAVE":
        raise UnreadableError("not a wav or flac file")
    wave_format: _Format | None = None
    fact, long = b"", None
    for _ in range(_MOST_CHUNKS):
        kind, length = struct.unpack(f"{order}4sI", read_exactly(stream, 8, "its list of chunks"))
        if kind == b"data":
            if wave_format is None:
                raise UnreadableError("damaged audio file: its samples come before their format")
            length = long if long is not None and length == 0xFFFFFFFF else length
            length = _data(stream, length, size, end)
            return _recording(order, wave_format, fact, length, stream.tell())
        if not all(32 <= byte < 127 for byte in kind):
            raise UnreadableError("damaged audio file: its list of chunks is broken")
        start = stream.tell()
        if kind == b"fmt ":
            wave_format = _format(
                read_exactly(stream, min(length, _MOST_FORMAT), "its header"), order
            )
        elif kind == b"fact" and length <= _MOST_FORMAT:
            fact = read_exactly(stream, length, "its header")
        elif kind == b"ds64" and length >= 16:
            (long,) = struct.unpack("<8xQ", read_exactly(stream, 16, "its header"))
        # Chunks begin at even positions.
        stream.seek(start + length + (length & 1))
    raise UnreadableError(f"damaged audio file: more than {_MOST_CHUNKS} chunks")


def _format(raw: bytes, order: str) -> _Format:
    if len(raw) < 16:
        raise UnreadableError("damaged audio file: the description of its samples is too short")
    tag, channels, rate, a_second, frame, bits = struct.unpack(f"{order}HHIIHH", raw[:16])
    if tag == _EXTENSIBLE and len(raw) >= 26:
        (tag,) = struct.unpack(f"{order}H", raw[24:26])
    if channels == 0:
        raise UnreadableError("damaged audio file: it has no channels")
    if tag in _FIXED:
        expected = channels * -(-bits // 8)
        # Some recorders leave out the bytes per second.
        if frame != expected or (a_second not in (0, rate * frame)):
            raise UnreadableError(
                f"its header contradicts itself: {channels} channels of {bits} bits at {rate} Hz "
                f"are not {frame} bytes a sample and {a_second} bytes a second"
            )
    return _Format(raw, tag, channels, rate, frame if tag in _FIXED else 0)


def _data(stream: BinaryIO, length: int, size: int, end: int) -> int:
    """Return the length of the samples in bytes; the stream is left at their beginning.

    Raises:
        UnreadableError: there are fewer samples than declared, or no chunk follows them.
    """
    start = stream.tell()
    there = size - start
    if length in _UNKNOWN and length > there:
        return there
    if length > there:
        raise UnreadableError(
            f"cut short: its header promises {length} bytes of samples, {there} are there"
        )
    _check_rest(stream, start + length + (length & 1), end)
    stream.seek(start)
    return length


def _check_rest(stream: BinaryIO, position: int, end: int) -> None:
    """Check that a chunk follows the samples, since otherwise their length is wrong.

    After the declared end of the file, programs write zeros, or tags that begin with letters.
    """
    if end - position < 8:
        stream.seek(max(position, end))
        rest = stream.read(_MOST_FORMAT)
        if rest.strip(b"\0") and not all(32 <= byte < 127 for byte in rest[:3]):
            raise UnreadableError(
                "damaged audio file: it goes on after the end that its header gives"
            )
        return
    stream.seek(position)
    kind = stream.read(4)
    if not all(32 <= byte < 127 for byte in kind):
        raise UnreadableError(
            f"damaged audio file: {end - position} bytes follow its samples that are no chunk, so "
            "the length in its header is wrong"
        )


def _recording(order: str, wave_format: _Format, fact: bytes, length: int, start: int) -> Recording:
    frames = None
    if wave_format.frame:
        frames, rest = divmod(length, wave_format.frame)
        if rest:
            raise UnreadableError(
                f"damaged audio file: {length} bytes of samples are no whole number of samples of "
                f"{wave_format.frame} bytes"
            )
    chunks = [(b"fmt ", wave_format.raw), *([(b"fact", fact)] if fact else [])]
    form, total, written = b"RIFX" if order == ">" else b"RIFF", 0, length
    if length > _MOST_BYTES:
        form, total, written = b"RF64", 0xFFFFFFFF, 0xFFFFFFFF
        chunks.insert(0, (b"ds64", struct.pack("<QQQI", length + 512, length, frames or 0, 0)))
    body = b"".join(
        struct.pack(f"{order}4sI", kind, len(data)) + data + b"\0" * (len(data) & 1)
        for kind, data in chunks
    )
    total = total or 12 + len(body) + length
    head = struct.pack(f"{order}4sI4s", form, total, b"WAVE")
    head += body + struct.pack(f"{order}4sI", b"data", written)
    return Recording("WAV", head, start, length, frames, wave_format.rate)
