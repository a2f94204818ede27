"""What a model must know of the data it was built for, and nothing more."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from genmint.config.base import Frozen, PositiveInt
from genmint.config.datasets import Spectrogram


class DataSpec(Frozen):
    """Shape and meaning of one example; travels in a model's config.json.

    view "grid": `shape` is (C, H, W), values uint8 0…255.
    view "sequence": symbols 0…symbols−1; `shape` is (T,) for items of fixed length (clips, images
    in raster order) and () for a stream of text.

    Attributes:
        dataset: name of the data set's block.
        kind: image, audio or text.
        view: grid or sequence.
        shape: see above.
        symbols: size of the alphabet; sequences only. Audio: 256 μ-law levels. Images: 256 grey
            levels. Text: the size of the vocabulary.
        vocabulary: character of each symbol; text only. The first two are `<unk>` and `<s>` (the
            start of a document).
        labels: name of each class, if the set has labels.
        sample_rate: Hz; audio only.
        samples: T of a clip; audio only (a grid needs it to become sound again).
        image_shape: (C, H, W) of the picture that a raster sequence stands for; images only.
        spectrogram: how a clip became a grid; audio grids only.
    """

    dataset: str
    kind: Literal["image", "audio", "text"]
    view: Literal["grid", "sequence"]
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
