"""Data specification: what a model must know about its data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from genmint.config.base import Frozen, Kind, PositiveInt
from genmint.config.datasets import Spectrogram
from genmint.config.models.base import View

# What the likelihood of a pixel is of: whether it is on or off, or its value of 8 bits.
Observation = Literal["binary", "8bit"]


class DataSpec(Frozen):
    """Shape and meaning of one example; stored in a model's config.json.

    view "grid": `shape` is (C, H, W), values uint8 0…255. view "sequence": symbols 0…symbols−1;
    `shape` is (T,) for items of fixed length (clips, images in raster order) and () for a stream of
    text.

    Attributes:
        dataset: name of the data set entry.
        kind: image, audio or text.
        view: grid or sequence.
        shape: see above.
        symbols: size of the alphabet; sequences only. Audio: 256 μ-law levels. Images: 256 grey
            levels. Text: size of the vocabulary.
        vocabulary: character of each symbol; text only. The first two are `<unk>` and `<s>` (start
            of a document).
        labels: name of each class, if the set has labels.
        sample_rate: sample rate in Hz; audio only.
        samples: length T of a clip; audio only (needed to invert a spectrogram).
        image_shape: (C, H, W) of the image behind a raster sequence; images only.
        spectrogram: settings of the spectrogram; audio grids only.
    """

    dataset: str
    kind: Kind
    view: View
    shape: tuple[PositiveInt, ...]
    symbols: PositiveInt | None = None
    vocabulary: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    sample_rate: PositiveInt | None = None
    samples: PositiveInt | None = None
    image_shape: tuple[PositiveInt, ...] | None = None
    spectrogram: Spectrogram | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.view == "grid" and len(self.shape) != 3:
            raise ValueError("a grid has the shape (C, H, W)")
        if self.view == "sequence" and self.symbols is None:
            raise ValueError("a sequence needs the size of its alphabet")
        return self
