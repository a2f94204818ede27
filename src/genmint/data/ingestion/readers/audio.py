"""Audio reader: wav and flac to int16 clips of one length and sample rate."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import soundfile

from genmint.config import AudioDataset
from genmint.data.ingestion.readers import flac, wave
from genmint.data.ingestion.readers.base import Statistics, UnreadableError, as_float, refuse_empty
from genmint.data.ingestion.readers.finished import FULL_SCALE, SILENCE, audible, describe_clips
from genmint.data.ingestion.readers.sound import Recording, RecordingStream

_FULL_SCALE_32 = np.float32(2**31)
_BLOCK = 1 << 18
_CLIPPED = 32767 / FULL_SCALE
# Other rates indicate a damaged header. The resampling filter grows with the rate and takes seconds
# at 1 MHz.
_RATES = range(100, 400_001)
# scipy's resampling filter extends this many periods of the lower rate to either side.
_REACH = 10

Sound = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AudioReader:
    """Reads audio as int16 N×T: one channel, resampled (polyphase), cut or padded with zeros.

    `channel: mix` takes the mean of the channels; left is the first, right the second (or the only
    one). `windows: first` gives one clip per file. `all` cuts the whole file into clips without
    overlap. A last piece shorter than half a clip is left out, unless it is the only one. Silent
    clips are left out, unless all are silent.
    """

    dataset: AudioDataset

    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".flac")
    columns: ClassVar[Mapping[str, str]] = {
        "sample_rate": "int64",
        "seconds": "float64",
        "channels": "int64",
        "peak": "float64",
        "rms": "float64",
        "clipping": "float64",
        "silence": "float64",
        "mono_peak": "float64",
        "mono_rms": "float64",
        "cancelled": "float64",
        "windows": "int64",
        "silent_windows": "int64",
        "clip_peak": "float64",
        "clip_silence": "float64",
    }

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (T,) of a clip."""
        return (self.dataset.samples_per_clip,)

    def describe(self, path: Path) -> Statistics:
        """Verify the whole file and describe it before mixing and resampling.

        sample_rate in Hz; peak and rms over all channels, 0…1 of full scale (a float file can
        exceed it); clipping and silence (below −60 dB) as fractions of the samples of all channels;
        mono_peak and mono_rms of the selected channel or mix; cancelled, the fraction of the
        channels' power that mixing removes (0 for equal channels, 1 if they cancel); and the
        columns of `describe_clips` for the clips.
        """
        with _opened(path) as (stream, recording):
            levels = _Levels(self.dataset.channel)
            for block in _blocks(stream, recording):
                levels.add(block)
            if levels.frames == 0:
                raise UnreadableError("0 samples")
            total = self._count(levels.frames, recording.rate)
            clips = self._clips(stream, total, recording.rate)
            described = describe_clips(clips, total, self.dataset.sample_rate)
        return {
            "sample_rate": recording.rate,
            "seconds": round(levels.frames / recording.rate, 6),
            "channels": stream.channels,
            **levels.columns(),
            **described,
        }

    def load(self, path: Path) -> npt.NDArray[np.int16]:
        """Load the clips of one file, int16 N×T."""
        with _opened(path) as (stream, recording):
            if stream.frames == 0:
                raise UnreadableError("0 samples")
            total = self._count(int(stream.frames), recording.rate)
            return np.stack(list(self._clips(stream, total, recording.rate)))

    def describe_rows(self, rows: npt.NDArray[np.int16]) -> list[Statistics]:
        """Describe int16 N×T clips that already have the configured rate."""
        sound = rows.astype(np.float32) / FULL_SCALE
        loud = np.abs(sound)
        seconds = round(rows.shape[1] / self.dataset.sample_rate, 6)
        levels = zip(
            as_float(loud.max(axis=1)),
            as_float(np.sqrt(np.square(sound).mean(axis=1, dtype=np.float64))),
            as_float((loud >= _CLIPPED).mean(axis=1)),
            as_float((loud < SILENCE).mean(axis=1)),
            strict=True,
        )
        return [
            {
                "sample_rate": self.dataset.sample_rate,
                "seconds": seconds,
                "channels": 1,
                "peak": peak,
                "rms": rms,
                "clipping": clipping,
                "silence": silence,
                "mono_peak": peak,
                "mono_rms": rms,
                "cancelled": 0.0,
                **describe_clips([clip], 1, self.dataset.sample_rate),
            }
            for (peak, rms, clipping, silence), clip in zip(
                levels, self.load_rows(rows), strict=True
            )
        ]

    def load_rows(self, rows: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Cut or pad int16 clips at the configured rate to N×T."""
        length = self.dataset.samples_per_clip
        short = max(0, length - rows.shape[1])
        return np.pad(rows[:, :length], ((0, 0), (0, short)))

    def _clips(self, stream: Any, total: int, rate: int) -> Iterator[npt.NDArray[np.int16]]:
        """Yield the non-silent clips of a file, int16 T each."""
        return audible(self._window(stream, index, rate) for index in range(total))

    def _count(self, frames: int, rate: int) -> int:
        if self.dataset.windows == "first":
            return 1
        length = self.dataset.samples_per_clip
        total = -(-frames * self.dataset.sample_rate // rate)
        whole, rest = divmod(total, length)
        return max(1, whole + (2 * rest >= length))

    def _window(self, stream: Any, index: int, rate: int) -> npt.NDArray[np.int16]:
        """Read clip number `index` with the margin that the resampling filter needs."""
        length, target = self.dataset.samples_per_clip, self.dataset.sample_rate
        common = math.gcd(target, rate)
        up, down = target // common, rate // common
        margin = _REACH * max(up, down) // up + 1
        # Pieces begin at multiples of `down`, which are integer positions at both rates.
        start = max(0, index * length * down // up - margin) // down * down
        stop = -(-(index + 1) * length * down // up) + margin
        _seek(stream, start)
        # Float samples far beyond full scale would overflow in the filter.
        piece = np.clip(_mono(_read(stream, stop - start), self.dataset.channel), -1, 1)
        if up != down:
            # Importing it takes half a second, which stages for other data should not pay.
            from scipy.signal import resample_poly

            piece = resample_poly(piece, up, down).astype(np.float32)
        first = index * length - start * up // down
        clip = piece[first : first + length]
        scaled = np.clip(np.rint(clip * FULL_SCALE), -32768, 32767).astype(np.int16)
        return np.pad(scaled, (0, length - len(scaled)))


class _Levels:
    """Levels of a file, accumulated block by block."""

    def __init__(self, channel: str) -> None:
        self.frames = 0
        self._channel = channel
        self._channels = 1
        self._peak, self._power, self._clipped, self._silent = 0.0, 0.0, 0, 0
        self._mono_peak, self._mono_power = 0.0, 0.0

    def add(self, block: Sound) -> None:
        """Add a block, float32 N×C."""
        loud, mono = np.abs(block), _mono(block, self._channel)
        self.frames += len(block)
        self._channels = block.shape[1]
        self._peak = max(self._peak, float(loud.max()))
        self._power += float(np.square(block, dtype=np.float64).sum())
        self._clipped += int(np.count_nonzero(loud >= _CLIPPED))
        self._silent += int(np.count_nonzero(loud < SILENCE))
        self._mono_peak = max(self._mono_peak, float(np.abs(mono).max()))
        self._mono_power += float(np.square(mono, dtype=np.float64).sum())

    def columns(self) -> Statistics:
        """Return the level columns of the manifest."""
        samples = self.frames * self._channels
        kept = self._mono_power * self._channels / self._power if self._power else 1.0
        names = ("peak", "rms", "clipping", "silence", "mono_peak", "mono_rms", "cancelled")
        values = [
            self._peak,
            math.sqrt(self._power / samples),
            self._clipped / samples,
            self._silent / samples,
            self._mono_peak,
            math.sqrt(self._mono_power / self.frames),
            max(0.0, 1.0 - kept) if self._channel == "mix" else 0.0,
        ]
        return dict(zip(names, as_float(np.array(values)), strict=True))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Recording]]:
    """Open the samples of a file, without other chunks.

    Raises:
        UnreadableError: the file is neither wav nor flac, is damaged, or has implausible values.
    """
    refuse_empty(path)
    with path.open("rb") as head:
        magic = head.read(4)
        if magic in wave.MAGIC:
            recording = wave.read(head)
        elif magic == flac.MAGIC or magic[:3] == b"ID3":
            recording = flac.read(head)
        else:
            raise UnreadableError("not a wav or flac file")
    if recording.rate not in _RATES:
        raise UnreadableError(f"implausible sample rate: {recording.rate} Hz")
    with contextlib.closing(RecordingStream(path, recording)) as samples:
        try:
            stream = soundfile.SoundFile(samples)
        except soundfile.SoundFileError as error:
            raise UnreadableError(f"not readable as {recording.format}: {_short(error)}") from None
        with stream:
            if recording.frames not in (None, stream.frames):
                raise UnreadableError(
                    f"damaged audio file: {stream.frames} samples can be read of the "
                    f"{recording.frames} that its header promises"
                )
            yield stream, recording


def _blocks(stream: Any, recording: Recording) -> Iterator[Sound]:
    """Yield the whole file as float32 N×C blocks; verify the checksum of a FLAC file at the end.

    Raises:
        UnreadableError: the file is damaged, or shorter than its header says.
    """
    lossless = recording.format == "FLAC"
    left = int(stream.frames)
    digest = hashlib.md5(usedforsecurity=False)
    while left > 0:
        wanted = min(left, _BLOCK)
        if lossless:
            whole = _read(stream, wanted, "int32")
            digest.update(_stored(whole, recording.bits or 16))
            block = whole.astype(np.float32) / _FULL_SCALE_32
        else:
            block = _read(stream, wanted)
        if len(block) == 0:
            raise UnreadableError(f"cut short: ends {left} samples before its header says")
        left -= len(block)
        yield block
    if recording.md5 is not None and digest.digest() != recording.md5:
        raise UnreadableError("damaged audio file: wrong checksum of its samples")


def _stored(samples: npt.NDArray[np.int32], bits: int) -> bytes:
    """Return 32-bit samples as the bytes of the FLAC checksum: signed, whole bytes per sample."""
    values = np.ascontiguousarray(samples >> (32 - bits)).astype("<i4")
    size = -(-bits // 8)
    return values.view(np.uint8).reshape(-1, 4)[:, :size].tobytes()


def _seek(stream: Any, frame: int) -> None:
    """Seek to a sample.

    Raises:
        UnreadableError: libsndfile can read this encoding only sequentially (some telephony
            codecs).
    """
    try:
        stream.seek(frame)
    except soundfile.SoundFileError:
        only = "can only be read from the beginning: convert it to PCM"
        raise UnreadableError(f"its encoding, {stream.subtype}, {only}") from None


def _read(stream: Any, frames: int, dtype: str = "float32") -> npt.NDArray[Any]:
    """Read the next samples, N×C.

    Raises:
        UnreadableError: the file is damaged, or a sample is not finite.
    """
    try:
        block: npt.NDArray[Any] = stream.read(frames, dtype=dtype, always_2d=True)
    except soundfile.SoundFileError as error:
        raise UnreadableError(f"damaged audio file: {_short(error)}") from None
    if not np.isfinite(block).all():
        raise UnreadableError("holds NaN or infinite samples")
    return block


def _mono(block: Sound, channel: str) -> Sound:
    """Return the selected channel or the mix of float32 N×C."""
    if block.shape[1] == 1 or channel == "left":
        return block[:, 0]
    if channel == "right":
        return block[:, 1]
    mean: Sound = block.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean


def _short(error: Exception) -> str:
    return " ".join(str(getattr(error, "error_string", error)).split())
