"""The `datasets` map of params.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from genmint.config.base import Frozen, PositiveFloat, PositiveInt, Seed, Share
from genmint.escaping import printable

# The feature extractor (metrics/extractor.py) halves height and width three times.
SMALLEST_SIDE = 8

_SPLIT = re.compile(r"official|position|position:file|hash|group:[A-Za-z_][A-Za-z0-9_]*")


class ReferenceConfig(Frozen):
    """How the frozen feature extractor of a data set is trained."""

    min_accuracy: Share = 0.0
    epochs: PositiveInt = 20
    seed: Seed = 0


class Protocol(Frozen):
    """How models of a data set are judged; two numbers compare only under one protocol."""

    samples: Annotated[int, Field(ge=3)] = 256
    resamples: Annotated[int, Field(ge=2)] = 5
    sample_length: PositiveInt | None = None
    importance_samples: PositiveInt = 64
    seed: Seed = 1234
    batch_size: PositiveInt = 256

    @property
    def text_length(self) -> int:
        """Characters of each text that a model draws."""
        return self.sample_length or 512


class Spectrogram(Frozen):
    """The log-mel picture of a clip, for the families that take grids."""

    n_fft: PositiveInt = 256
    hop: PositiveInt = 128
    mels: PositiveInt = 32
    dynamic_range: PositiveFloat = 80.0

    @model_validator(mode="after")
    def _hop_overlaps(self) -> Self:
        if self.hop > self.n_fft // 2:
            raise ValueError("hop must be at most n_fft / 2, or the sound cannot be rebuilt")
        if self.mels > self.n_fft // 2:
            raise ValueError("mels must be at most n_fft / 2: there are no more frequencies")
        return self


class Stack(Frozen):
    """Pictures of a split as the channels of new ones, whose classes are all combinations."""

    # What shows pictures shows one channel, or three as red, green and blue.
    channels: Literal[3] = 3
    items: PositiveInt
    seed: Seed = 0


class _DatasetBase(Frozen):
    path: Annotated[str, Field(min_length=1, max_length=4096)]
    follow_links: bool = False
    split: str = "hash"
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    test: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    confirmation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    max_quarantined: Share = 0.02
    near_duplicates: Annotated[float, Field(ge=0.5, le=1.0)] | None = None
    max_near_duplicates: Share = 0.1
    labels: Literal["none", "source", "folder", "filename"] = "none"
    filename_pattern: Annotated[str, Field(max_length=1000)] | None = None
    reference: ReferenceConfig = ReferenceConfig()
    protocol: Protocol = Protocol()

    @field_validator("path")
    @classmethod
    def _means_the_same_to_dvc(cls, value: str) -> str:
        """DVC takes the path as it is written."""
        if printable(value) != value or "\n" in value or "\t" in value:
            raise ValueError("holds control characters or bytes that are not UTF-8")
        if value.startswith("~"):
            raise ValueError(
                f"DVC does not know ~ for a home folder: write the absolute path{_expanded(value)}"
            )
        if "://" in value:
            raise ValueError(
                "is an address: bring the data here, for instance by `dvc import-url`, and name "
                "the folder"
            )
        # What file systems take; beyond it, asking whether there is such a file is an error.
        if any(len(part.encode()) > 255 for part in value.split("/")):
            raise ValueError("no name of a file or folder is longer than 255 bytes")
        return value

    @field_validator("split")
    @classmethod
    def _known_split(cls, value: str) -> str:
        if not _SPLIT.fullmatch(value):
            raise ValueError("use hash, group:COLUMN, official, position or position:file")
        return value

    @field_validator("filename_pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groupindex
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if not groups:
                raise ValueError("give it named groups, such as (?P<label>[0-9])")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.validation + self.test + self.confirmation >= 1.0:
            raise ValueError(
                "validation, test and confirmation together must be below 1: nothing is left"
            )
        if self.labels == "filename" and (
            self.filename_pattern is None
            or "label" not in re.compile(self.filename_pattern).groupindex
        ):
            raise ValueError("labels: filename needs a filename_pattern with a group (?P<label>…)")
        return self

    @property
    def group_column(self) -> str | None:
        """Manifest column whose values stay in one split, if any."""
        return self.split.removeprefix("group:") if self.split.startswith("group:") else None


def _expanded(path: str) -> str:
    try:
        return f" ({Path(path).expanduser()})"
    except RuntimeError:  # there is no such user
        return ""


class ImageDataset(_DatasetBase):
    """Images: uint8, N×C×resolution×resolution."""

    kind: Literal["image"]
    resolution: Annotated[int, Field(ge=SMALLEST_SIDE, le=1024)]
    mode: Literal["grey", "rgb"] | None = None
    bits: Annotated[int, Field(ge=1, le=16)] | Literal["set"] | None = None
    max_pixels: PositiveInt = 50_000_000
    stack: Stack | None = None

    @model_validator(mode="before")
    @classmethod
    def _size_has_another_name(cls, entry: Any) -> Any:
        if isinstance(entry, dict) and "size" in entry:
            raise ValueError(
                "the key size is called resolution now, since DVC's run-cache ignores keys called "
                "size: rename it"
            )
        return entry

    @model_validator(mode="after")
    def _has_parts(self) -> Self:
        if self.split == "position:file":
            raise ValueError("split: position:file cuts files, and an image is one item: use hash")
        return self

    @model_validator(mode="after")
    def _can_be_stacked(self) -> Self:
        if self.stack is not None and self.mode == "rgb":
            raise ValueError(
                "stack makes channels of grey images: set mode: grey, or leave stack out"
            )
        if self.stack is not None and self.labels == "none":
            raise ValueError(
                "stack makes its classes of the labels of single pictures, and labels is none: "
                "set labels: source, folder or filename, or leave stack out"
            )
        return self


class AudioDataset(_DatasetBase):
    """Clips: int16, N×T, T = seconds × sample_rate."""

    kind: Literal["audio"]
    sample_rate: Annotated[int, Field(ge=1000, le=192_000)]
    seconds: PositiveFloat
    channel: Literal["mix", "left", "right"] = "mix"
    windows: Literal["first", "all"] = "first"
    spectrogram: Spectrogram = Spectrogram()

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


class TextDataset(_DatasetBase):
    """Texts: token ids of characters, with a vocabulary taken from the training split."""

    kind: Literal["text"]
    min_count: PositiveInt = 1


Dataset = Annotated[ImageDataset | AudioDataset | TextDataset, Field(discriminator="kind")]
