"""The `datasets` map of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genmint.config.datasets.audio import AudioDataset, Spectrogram
from genmint.config.datasets.base import SMALLEST_SIDE
from genmint.config.datasets.image import ImageDataset, Stack
from genmint.config.datasets.protocol import Protocol, ReferenceConfig
from genmint.config.datasets.text import TextDataset

Dataset = Annotated[ImageDataset | AudioDataset | TextDataset, Field(discriminator="kind")]

__all__ = [
    "SMALLEST_SIDE",
    "AudioDataset",
    "Dataset",
    "ImageDataset",
    "Protocol",
    "ReferenceConfig",
    "Spectrogram",
    "Stack",
    "TextDataset",
]
