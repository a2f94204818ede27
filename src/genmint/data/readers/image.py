"""Pictures: png, jpg, webp and bmp to uint8 of one size."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from genmint.config import ImageDataset
from genmint.data.readers.base import Statistics, UnreadableError, refuse_empty
from genmint.data.readers.finished import describe_images

# dataset.max_pixels takes the place of Pillow's own limit, which warns at one size, raises at
# another, and names neither the picture's size nor a way out. It is checked before decoding.
Image.MAX_IMAGE_PIXELS = None

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")

# What Pillow's decoders have been seen to raise on damaged files, besides OSError.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class ImageReader:
    """Reads images as uint8 C×resolution×resolution: oriented, flattened, scaled, centre-cropped.

    The shorter side is scaled to `resolution` (bicubic, with Pillow's low-pass when shrinking).
    16-bit grey is scaled to 8 bits, not clipped. Transparency is laid over white.
    """

    dataset: ImageDataset

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
    columns: ClassVar[Mapping[str, str]] = {
        "width": "int64",
        "height": "int64",
        "mode": "string",
        "mean": "float64",
        "std": "float64",
    }

    def describe(self, path: Path) -> Statistics:
        """Width and height in pixels, Pillow's mode; mean, std … of the finished item."""
        picture, width, height, mode = self._read(path)
        return {
            "width": width,
            "height": height,
            "mode": mode,
            **describe_images(picture[np.newaxis])[0],
        }

    def load(self, path: Path) -> npt.NDArray[np.uint8]:
        """One image, uint8 1×C×resolution×resolution."""
        return self._read(path)[0][np.newaxis]

    def describe_rows(self, rows: npt.NDArray[np.uint8]) -> list[Statistics]:
        """Columns for N×H×W grey or N×H×W×3 colour pictures."""
        mode = "L" if rows.ndim == 3 else "RGB"
        size = {"width": rows.shape[2], "height": rows.shape[1], "mode": mode}
        return [{**size, **found} for found in describe_images(self.load_rows(rows))]

    def load_rows(self, rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """N×H×W grey or N×H×W×3 colour images as uint8 N×C×resolution×resolution."""
        size, grey = self.dataset.resolution, self.dataset.mode == "grey"
        if rows.shape[1:] == (size, size) and grey:
            return np.ascontiguousarray(rows[:, np.newaxis])
        return np.stack([self._finish(Image.fromarray(row)) for row in rows])

    def _read(self, path: Path) -> tuple[npt.NDArray[np.uint8], int, int, str]:
        refuse_empty(path)
        try:
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > self.dataset.max_pixels:
                    raise UnreadableError(
                        f"{width}×{height} pixels are more than max_pixels "
                        f"({self.dataset.max_pixels}); not decoded"
                    )
                mode = image.mode
                return self._finish(ImageOps.exif_transpose(image)), width, height, mode
        except _DAMAGED as error:
            raise UnreadableError(_reason(error)) from None

    def _finish(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """A decoded image of any mode as uint8 C×resolution×resolution."""
        target = "L" if self.dataset.mode == "grey" else "RGB"
        flat = _flatten(_to_8_bit(image), target)
        size = (self.dataset.resolution, self.dataset.resolution)
        if flat.size != size:
            flat = ImageOps.fit(flat, size, method=Image.Resampling.BICUBIC)
        array = np.asarray(flat, dtype=np.uint8)
        return array[np.newaxis] if target == "L" else array.transpose(2, 0, 1)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit grey (modes I and I;16) scaled by 255/65535; other modes as they are."""
    if not image.mode.startswith("I"):
        return image
    wide = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))


def _flatten(image: Image.Image, target: str) -> Image.Image:
    """`image` in mode `target` (L or RGB), transparent parts over white."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(white, layer)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image if image.mode == target else image.convert(target)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a png, jpg, webp or bmp picture"
    return f"damaged picture: {' '.join(str(error).split()) or type(error).__name__}"
