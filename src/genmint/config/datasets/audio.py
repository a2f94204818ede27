"""Data sets of audio clips."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveFloat, PositiveInt
from genmint.config.datasets.base import SMALLEST_SIDE, DatasetBase


class Spectrogram(Frozen):
    """The log-mel spectrogram of a clip: the grid that VAE, GAN and the feature extractor see."""

    n_fft: PositiveInt = Field(
        256,
        description="Length of the analysis window, in samples. "
        "A longer window resolves frequencies better and time worse.",
    )
    hop: PositiveInt = Field(
        128,
        description="Step between two windows, in samples; at most n_fft / 2. "
        "A smaller step gives more columns, at proportionally more cost.",
    )
    mels: PositiveInt = Field(
        32,
        description="Number of mel bands, the height of the grid; 8 or more, at most n_fft / 2. "
        "More bands resolve pitch better, at proportionally more cost.",
    )
    dynamic_range: PositiveFloat = Field(
        80.0,
        description="Range between black and white, in dB. "
        "White is a full-scale sine in its band; levels this far below it or further are black.",
    )

    @model_validator(mode="after")
    def _hop_overlaps(self) -> Self:
        if self.hop > self.n_fft // 2:
            raise ValueError("hop must be at most n_fft / 2, or audio cannot be reconstructed")
        if self.mels > self.n_fft // 2:
            raise ValueError("mels must be at most n_fft / 2: there are no more frequencies")
        return self


class AudioDataset(DatasetBase):
    """Audio clips: int16, N×T, T = seconds × sample_rate."""

    kind: Literal["audio"] = Field(
        description="Kind of the items: audio means files ending in wav or flac."
    )
    sample_rate: Annotated[int, Field(ge=1000, le=192_000)] = Field(
        description="Sample rate of the prepared clips, in Hz. "
        "Files of another rate are resampled. "
        "The cost of an RNN per second of audio grows with it."
    )
    seconds: PositiveFloat = Field(
        description="Length of a clip, in seconds. Shorter clips are padded with silence."
    )
    channel: Literal["mix", "left", "right"] = Field(
        "mix",
        description="Channel that is used of a file with several: mix (their mean), left (the "
        "first) or right (the second).",
    )
    windows: Literal["first", "all"] = Field(
        "first",
        description="Clips that are taken from a recording longer than seconds. "
        "first: its first clip; if that is silent, the recording is quarantined. "
        "all: consecutive clips, without the silent ones.",
    )
    spectrogram: Spectrogram = Field(
        Spectrogram(),
        description="Log-mel spectrogram of a clip, which VAE, GAN and the feature extractor see.",
    )

    @model_validator(mode="after")
    def _has_parts(self) -> Self:
        if self.split == "position:file" and self.windows == "first":
            raise ValueError(
                "split: position:file cuts recordings into clips, and windows: first takes one "
                "clip of each: set windows: all"
            )
        return self

    @property
    def samples_per_clip(self) -> int:
        """T, the length of a clip in samples."""
        return round(self.seconds * self.sample_rate)

    @property
    def frames_per_clip(self) -> int:
        """Columns of the spectrogram of a clip."""
        return 1 + self.samples_per_clip // self.spectrogram.hop

    @model_validator(mode="after")
    def _spectrogram_has_features(self) -> Self:
        if self.spectrogram.mels < SMALLEST_SIDE:
            raise ValueError(
                f"spectrogram.mels must be {SMALLEST_SIDE} or more: the feature extractor needs "
                f"grids of at least {SMALLEST_SIDE}×{SMALLEST_SIDE} (found {self.spectrogram.mels})"
            )
        if self.frames_per_clip < SMALLEST_SIDE:
            raise ValueError(
                f"the spectrogram of {self.seconds:g} s at {self.sample_rate} Hz with hop "
                f"{self.spectrogram.hop} has {self.frames_per_clip} columns, and the feature "
                f"extractor needs {SMALLEST_SIDE}: raise seconds, or lower spectrogram.hop"
            )
        return self
