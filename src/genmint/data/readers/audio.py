"""Sound: wav and flac to int16 clips of one length and rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import soundfile

from genmint.config import AudioDataset
from genmint.data.readers.base import Statistics, UnreadableError, as_float, refuse_empty
from genmint.data.readers.finished import FULL_SCALE, SILENCE, audible, describe_clips

_BLOCK = 1 << 18
_CLIPPED = 32767 / FULL_SCALE
# Outside of this a header is damaged; a rate of 2³¹ would ask for a filter of that length.
_RATES = range(100, 1_000_001)
# scipy's resampling filter reaches this many periods of the slower rate to either side.
_REACH = 10


@dataclass(frozen=True)
class AudioReader:
    """Reads sound as int16 N×T: mixed to mono, resampled (polyphase), cut or padded with zeros.

    `windows: first` gives one clip a file. `all` cuts the whole file into clips that do not
    overlap; a last piece shorter than half a clip is left out, unless it is the only one, and so
    are clips that are silent throughout, unless all are.
    """

    dataset: AudioDataset

    suffixes: ClassVar[tuple[str, ...]] = (".wav", ".flac")
    columns: ClassVar[Mapping[str, str]] = {
        "sample_rate": "int64",
        "seconds": "float64",
        "peak": "float64",
        "rms": "float64",
        "clipping": "float64",
        "silence": "float64",
        "windows": "int64",
        "silent_windows": "int64",
        "clip_peak": "float64",
        "clip_silence": "float64",
    }

    def describe(self, path: Path) -> Statistics:
        """Statistics of the whole file, mixed to mono, before resampling.

        sample_rate in Hz; peak and rms of full scale 0…1 (a float file can exceed it); clipping
        and silence (below −60 dB) as shares of the samples; and what `describe_clips` says of the
        clips that models get.
        """
        refuse_empty(path)
        frames, peak, power, clipped, silent = 0, 0.0, 0.0, 0, 0
        with _opened(path) as stream:
            rate = int(stream.samplerate)
            if rate not in _RATES:
                raise UnreadableError(f"a sample rate of {rate} Hz is not to be believed")
            for block in _blocks(stream):
                frames += len(block)
                loud = np.abs(block)
                peak = max(peak, float(loud.max()))
                power += float(np.square(block, dtype=np.float64).sum())
                clipped += int(np.count_nonzero(loud >= _CLIPPED))
                silent += int(np.count_nonzero(loud < SILENCE))
        if frames == 0:
            raise UnreadableError("0 samples")
        levels = np.array([peak, math.sqrt(power / frames), clipped / frames, silent / frames])
        peak, rms, clipping, silence = as_float(levels)
        return {
            "sample_rate": rate,
            "seconds": round(frames / rate, 6),
            "peak": peak,
            "rms": rms,
            "clipping": clipping,
            "silence": silence,
            **self._describe_clips(path),
        }

    def load(self, path: Path) -> npt.NDArray[np.int16]:
        """The clips of one file, int16 N×T."""
        refuse_empty(path)
        with _opened(path) as stream:
            rate, frames = int(stream.samplerate), int(stream.frames)
            if rate not in _RATES or frames == 0:
                raise UnreadableError("0 samples or an impossible sample rate")
            return np.stack(list(self._clips(stream)))

    def describe_rows(self, rows: npt.NDArray[np.int16]) -> list[Statistics]:
        """Columns for int16 N×T clips that are already at the configured rate."""
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
                "peak": peak,
                "rms": rms,
                "clipping": clipping,
                "silence": silence,
                **describe_clips([clip], 1, self.dataset.sample_rate),
            }
            for (peak, rms, clipping, silence), clip in zip(
                levels, self.load_rows(rows), strict=True
            )
        ]

    def load_rows(self, rows: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """int16 N×anything at the configured rate, cut or padded to N×T."""
        length = self.dataset.samples_per_clip
        short = max(0, length - rows.shape[1])
        return np.pad(rows[:, :length], ((0, 0), (0, short)))

    def _describe_clips(self, path: Path) -> Statistics:
        with _opened(path) as stream:
            total = self._count(int(stream.frames), int(stream.samplerate))
            return describe_clips(self._clips(stream), total, self.dataset.sample_rate)

    def _clips(self, stream: soundfile.SoundFile) -> Iterator[npt.NDArray[np.int16]]:
        """Clips of a file that models get, int16 T each."""
        rate = int(stream.samplerate)
        total = self._count(int(stream.frames), rate)
        return audible(self._window(stream, index, rate) for index in range(total))

    def _count(self, frames: int, rate: int) -> int:
        if self.dataset.windows == "first":
            return 1
        length = self.dataset.samples_per_clip
        total = -(-frames * self.dataset.sample_rate // rate)
        whole, rest = divmod(total, length)
        return max(1, whole + (2 * rest >= length))

    def _window(self, stream: soundfile.SoundFile, index: int, rate: int) -> npt.NDArray[np.int16]:
        """Clip number `index`, read with as much around it as the resampling filter sees."""
        length, target = self.dataset.samples_per_clip, self.dataset.sample_rate
        common = math.gcd(target, rate)
        up, down = target // common, rate // common
        margin = _REACH * max(up, down) // up + 1
        # Pieces begin at multiples of `down`, which are whole numbers of samples at both rates.
        start = max(0, index * length * down // up - margin) // down * down
        stop = -(-(index + 1) * length * down // up) + margin
        stream.seek(start)
        # Floats far over full scale would overflow in the filter.
        piece = np.clip(_mono(stream, stop - start), -1, 1)
        if up != down:
            # Half a second to import, in every stage of every kind of data.
            from scipy.signal import resample_poly

            piece = resample_poly(piece, up, down).astype(np.float32)
        first = index * length - start * up // down
        clip = piece[first : first + length]
        scaled = np.clip(np.rint(clip * FULL_SCALE), -32768, 32767).astype(np.int16)
        return np.pad(scaled, (0, length - len(scaled)))


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(path)
    except soundfile.SoundFileError as error:
        raise UnreadableError(f"not readable as wav or flac: {_short(error)}") from None


def _blocks(stream: soundfile.SoundFile) -> Iterator[npt.NDArray[np.float32]]:
    """The whole file as mono float32 in pieces.

    Raises:
        UnreadableError: damaged, or shorter than its header says.
    """
    left = int(stream.frames)
    while left > 0:
        block = _mono(stream, min(left, _BLOCK))
        if len(block) == 0:
            raise UnreadableError(f"ends {left} samples before its header says")
        left -= len(block)
        yield block


def _mono(stream: soundfile.SoundFile, frames: int) -> npt.NDArray[np.float32]:
    try:
        block: npt.NDArray[np.float32] = stream.read(frames, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise UnreadableError(f"damaged sound: {_short(error)}") from None
    if not np.isfinite(block).all():
        raise UnreadableError("holds NaN or infinite samples")
    return (
        block[:, 0]
        if block.shape[1] == 1
        else block.mean(axis=1, dtype=np.float64).astype(np.float32)
    )


def _short(error: Exception) -> str:
    return " ".join(str(getattr(error, "error_string", error)).split())
