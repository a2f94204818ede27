"""Audio files before decoding: access to the samples without other chunks."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from genmint.data.ingestion.readers.base import read_exactly as _read_exactly

read_exactly = partial(_read_exactly, kind="audio file")


@dataclass(frozen=True)
class Recording:
    """An audio file with a valid structure.

    Attributes:
        format: format of the file, whatever its suffix.
        head: bytes of a file header of the same format that describes the samples.
        start: position of the samples in the file, in bytes.
        length: length of the samples, in bytes.
        frames: samples per channel; None if it does not follow from the length.
        rate: sample rate in Hz.
        bits: bits per sample; FLAC only.
        md5: checksum of the samples; FLAC only, None if the file has none.
    """

    format: Literal["WAV", "FLAC"]
    head: bytes
    start: int
    length: int
    frames: int | None
    rate: int
    bits: int | None = None
    md5: bytes | None = None


class RecordingStream(io.RawIOBase):
    """File-like object of a `Recording`: its head, then its samples from disk."""

    def __init__(self, path: Path, recording: Recording) -> None:
        super().__init__()
        self._stream = path.open("rb")
        self._recording = recording
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position in bytes."""
        size = len(self._recording.head) + self._recording.length
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        self._position = min(max(0, base + offset), size)
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill `buffer` up to the end of the file; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        head, count = self._recording.head, 0
        if self._position < len(head):
            part = head[self._position : self._position + len(view)]
            view[: len(part)] = part
            count = len(part)
        within = self._position + count - len(head)
        wanted = min(len(view) - count, self._recording.length - within)
        if wanted > 0:
            self._stream.seek(self._recording.start + within)
            part = self._stream.read(wanted)
            view[count : count + len(part)] = part
            count += len(part)
        self._position += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()
