"""Data sets of images."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveInt, Seed
from genmint.config.datasets.base import SMALLEST_SIDE, DatasetBase


class Stack(Frozen):
    """Random images of one split as the channels of a new image.

    The classes are all combinations of the labels of the single images.
    """

    # Pages and sheets show one channel, or three as red, green and blue.
    channels: Literal[3] = Field(
        3, description="Number of images in one item: 3, shown as red, green and blue."
    )
    items: PositiveInt = Field(
        description="Number of items in the training split. "
        "The other splits get the same number of items per image."
    )
    seed: Seed = Field(
        0, description="Seed of the random combinations. Another seed gives other items."
    )


class ImageDataset(DatasetBase):
    """Images: uint8, N×C×resolution×resolution."""

    kind: Literal["image"] = Field(
        description="Kind of the items: image means files ending in png, jpg, webp or bmp."
    )
    resolution: Annotated[int, Field(ge=SMALLEST_SIDE, le=1024)] = Field(
        description="Height and width of the prepared images, in pixels. "
        "Images are scaled and cropped from the centre to squares of this side. "
        "Cost grows with its square, so start small."
    )
    mode: Literal["grey", "rgb"] | None = Field(
        None,
        description="Colour channels: grey (one) or rgb (three). "
        "null means rgb if any image of the set has colours, otherwise grey. "
        "Set it if files are added later: the first image with colours would change the shape of "
        "every model.",
    )
    bits: Annotated[int, Field(ge=1, le=16)] | Literal["set"] | None = Field(
        None,
        description="Number of bits of a value that the files use, or set. "
        "12 maps the values 0 to 4095 of 16-bit files to black and white, and refuses files with "
        "larger values. "
        "set maps the lowest and highest value of all files; a file outside that range changes all "
        "items. "
        "null means all bits, and ingest refuses a set that uses less than a quarter of its range.",
    )
    max_pixels: PositiveInt = Field(
        50_000_000,
        description="Largest number of pixels of a file. "
        "A larger image is quarantined before it is decoded, which limits memory.",
    )
    stack: Stack | None = Field(
        None,
        description="Makes each item of three random images of its split, as red, green and blue. "
        "The class of an item is the three labels together, for example 000 to 999 from digits. "
        "It tests how many modes a generator keeps. "
        "It needs grey images with labels. null means single images.",
    )

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
                "stack derives its classes from the labels of single images; labels is none: "
                "set labels: source, folder or filename, or leave stack out"
            )
        return self
