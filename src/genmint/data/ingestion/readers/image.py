"""Image reader: png, jpg, webp and bmp to uint8 of one size."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from genmint.config import ImageDataset
from genmint.data.ingestion.readers.base import Statistics, UnreadableError, refuse_empty
from genmint.data.ingestion.readers.colour import to_srgb
from genmint.data.ingestion.readers.container import DAMAGED, Container
from genmint.data.ingestion.readers.finished import describe_images
from genmint.data.ingestion.readers.imagefile import open_image, verify

# dataset.max_pixels replaces Pillow's own limit, which warns at one size, raises at another, and
# names neither the image's size nor a remedy. It is checked before decoding.
Image.MAX_IMAGE_PIXELS = None

# Maximum difference between the channels of an item that counts as grey, in levels, since lossy
# formats and conversions round.
COLOURLESS = 2

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY = ("1", "L", "LA", "La")
# Modes whose values are light intensities, not palette indices or ink.
_LEVELS = ("L", "LA", "RGB", "RGBA")
# 16-bit modes that Pillow reads completely; of 16-bit colour it reads the upper bytes only.
_WHOLE_16 = ("I", "I;16", "I;16B", "I;16L")
_LOWER_16 = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageReader:
    """Reads images as uint8 C×resolution×resolution: oriented, scaled, cropped from the centre.

    The shorter side is scaled to `resolution` (bicubic, with Pillow's low-pass when shrinking).
    Transparent areas become white. Colours are converted to sRGB from the file's profile, if it has
    one, unless `bits` rescales its values. PNG's `gAMA`, `cHRM` and `cICP` are not applied.

    Attributes:
        dataset: data set entry.
        channels: 1 or 3; None keeps the channels of each image.
        ranges: lowest and highest value, which become 0 and 255, by the bits of a file's values;
            for `bits: set`.
    """

    dataset: ImageDataset
    channels: int | None = None
    ranges: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
    columns: ClassVar[Mapping[str, str]] = {
        "width": "int64",
        "height": "int64",
        "mode": "string",
        "bits": "int64",
        "range_low": "int64",
        "range_high": "int64",
        "frames": "int64",
        "colour_profile": "string",
        "colour": "int64",
        "mean": "float64",
        "std": "float64",
    }

    def describe(self, path: Path) -> Statistics:
        """Verify the whole file and describe it.

        Width and height in pixels; Pillow's mode; bits per value (16 or 8); lowest and highest
        value of the file (without transparency); number of frames; its colour profile and whether
        it was applied ("" if there is none); largest difference between the channels of the
        finished item, 0…255 (0 for a grey image); and the columns of `describe_images`.
        """
        container = self._opened(path)
        verify(container)
        image, low, high, mode, profile = self._decoded(container)
        item, colour = self._finished(image)
        return {
            "width": container.width,
            "height": container.height,
            "mode": mode,
            "bits": container.bits,
            "range_low": low,
            "range_high": high,
            "frames": container.frames,
            "colour_profile": profile,
            "colour": colour,
            **describe_images(item[np.newaxis])[0],
        }

    def load(self, path: Path) -> Pixels:
        """Load one image, uint8 1×C×resolution×resolution."""
        image = self._decoded(self._opened(path))[0]
        return self._finished(image, measured=False)[0][np.newaxis]

    def describe_rows(self, rows: Pixels) -> list[Statistics]:
        """Describe N×H×W grey or N×H×W×3 colour images."""
        flat = rows.reshape(len(rows), -1)
        colour = np.zeros(len(rows), dtype=np.int64)
        if rows.ndim == 4:
            spread = rows.max(axis=3).astype(np.int64) - rows.min(axis=3)
            colour = spread.reshape(len(rows), -1).max(axis=1)
        constant = {
            "width": rows.shape[2],
            "height": rows.shape[1],
            "mode": "L" if rows.ndim == 3 else "RGB",
            "bits": 8,
            "frames": 1,
            "colour_profile": "",
        }
        described = zip(
            flat.min(axis=1).tolist(),
            flat.max(axis=1).tolist(),
            colour.tolist(),
            strict=True,
        )
        names = ("range_low", "range_high", "colour")
        finished = describe_images(self.load_rows(rows))
        return [
            {**constant, **dict(zip(names, each, strict=True)), **item}
            for each, item in zip(described, finished, strict=True)
        ]

    def load_rows(self, rows: Pixels) -> Pixels:
        """Convert N×H×W grey or N×H×W×3 colour images to uint8 N×C×resolution×resolution."""
        size, colours = self.dataset.resolution, self._channels
        low, high = self._limits(8)
        if rows.shape[1:] == (size, size) and colours != 3 and (low, high) == (0, 255):
            return np.ascontiguousarray(rows[:, np.newaxis])
        images = (_scaled(Image.fromarray(row), low, high) for row in rows)
        return np.stack([self._finished(image, measured=False)[0] for image in images])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of an item; C is 1 if neither the entry nor the reader sets it."""
        return (self._channels or 1, self.dataset.resolution, self.dataset.resolution)

    @property
    def _channels(self) -> int | None:
        if self.channels is not None or self.dataset.mode is None:
            return self.channels
        return 1 if self.dataset.mode == "grey" else 3

    def _opened(self, path: Path) -> Container:
        refuse_empty(path)
        return open_image(path, self.dataset.max_pixels)

    def _limits(self, bits: int) -> tuple[int, int]:
        """Return the values of files with these bits that become 0 and 255."""
        if self.dataset.bits == "set":
            return self.ranges.get(bits, (0, 2**bits - 1))
        return 0, 2 ** min(bits, self.dataset.bits or bits) - 1

    def _decoded(self, container: Container) -> tuple[Image.Image, int, int, str, str]:
        """Return the oriented 8-bit sRGB image, lowest and highest value, mode, and profile."""
        image: Image.Image
        try:
            with Image.open(io.BytesIO(container.content), formats=(container.format,)) as file:
                mode = file.mode
                if container.bits == 16:
                    levels = _read_16(container, file)
                    low, high = int(levels.min()), int(levels.max())
                    image = _fitted_16(levels, file, *self._checked(low, high, 16))
                else:
                    file.load()
                    image = file
                    if mode == "CMYK":
                        image, done = to_srgb(file, container.profile)
                        image = image.convert("RGB")
                    low, high = _range(image)
                    if mode in _LEVELS:
                        image = _scaled(image, *self._checked(low, high, 8))
                if mode != "CMYK":
                    image, done = to_srgb(image, container.profile, self._stretch(container.bits))
                turn = _TURNS.get(container.orientation)
                return image if turn is None else image.transpose(turn), low, high, mode, done
        except DAMAGED as error:
            raise UnreadableError(_reason(error)) from None

    def _stretch(self, bits: int) -> str:
        """Return why the colour profile does not apply to rescaled values; "" if it does."""
        low, high = self._limits(bits)
        return "" if (low, high) == (0, 2**bits - 1) else f"bits stretches {low}…{high} to 0…255"

    def _checked(self, low: int, high: int, bits: int) -> tuple[int, int]:
        limits = self._limits(bits)
        if isinstance(self.dataset.bits, int) and high > limits[1]:
            raise UnreadableError(
                f"holds the value {high}, more than bits: {self.dataset.bits} allows ({limits[1]})"
            )
        return limits

    def _finished(self, image: Image.Image, *, measured: bool = True) -> tuple[Pixels, int]:
        """Return the item, uint8 C×resolution×resolution, and the difference of its channels.

        The difference is 0 for a grey image. Without `measured`, it is computed only if the number
        of channels depends on it.
        """
        grey, channels = image.mode in _GREY, self._channels
        if grey or (channels == 1 and not measured):
            item = self._fitted(image, "L")
            return (np.repeat(item, 3, axis=0) if channels == 3 else item), 0
        item = self._fitted(image, "RGB")
        colour = int((item.max(axis=0).astype(np.int64) - item.min(axis=0)).max())
        if channels == 1 or (channels is None and colour <= COLOURLESS):
            item = self._fitted(image, "L")
        return item, colour

    def _fitted(self, image: Image.Image, target: str) -> Pixels:
        flat = _flatten(image, target)
        size = (self.dataset.resolution, self.dataset.resolution)
        if flat.size != size:
            flat = ImageOps.fit(flat, size, method=Image.Resampling.BICUBIC)
        array = np.asarray(flat, dtype=np.uint8)
        return array[np.newaxis] if target == "L" else array.transpose(2, 0, 1)


def _range(image: Image.Image) -> tuple[int, int]:
    """Return lowest and highest value without transparency; of colours if there is a palette."""
    if image.mode not in (*_LEVELS, "1"):
        image = image.convert("RGBA")
    extrema: Any = image.getextrema()
    bands = [extrema] if isinstance(extrema[0], int | float) else list(extrema)
    if image.mode in ("LA", "RGBA"):
        bands = bands[:-1]
    return int(min(low for low, _ in bands)), int(max(high for _, high in bands))


def _scaled(image: Image.Image, low: int, high: int) -> Image.Image:
    """Scale an 8-bit image so that `low` and `high` become 0 and 255; alpha is unchanged."""
    if (low, high) == (0, 255):
        return image
    table = _to_8_bit(np.arange(256), low, high).tolist()
    if "transparency" in image.info:
        # The transparent value refers to the unscaled values of the file.
        image = image.convert("RGBA")
    alpha = image.mode in ("LA", "RGBA")
    colours = len(image.getbands()) - alpha
    return image.point(table * colours + list(range(256)) * alpha)


def _to_8_bit(values: npt.NDArray[Any], low: int, high: int) -> Pixels:
    """Scale values from `low` to `high` to 0…255, rounded to the nearest; others are clipped."""
    span = max(1, high - low)
    shifted = values.astype(np.int64).clip(low, high) - low
    return ((shifted * 255 + span // 2) // span).astype(np.uint8)


def _read_16(container: Container, image: ImageFile.ImageFile) -> npt.NDArray[np.uint16]:
    """Return all 16 bits of the values, H×W or H×W×3; Pillow reads 16-bit colour as 8 bits."""
    rawmode = str(image.tile[0].args)
    if image.mode in _WHOLE_16:
        return np.asarray(image).clip(0, 65535).astype(np.uint16)
    # Pillow's big-endian colour decoders keep the upper byte of each value. Its little-endian ones,
    # given the same data, keep the lower byte. Grey with alpha has four bytes per pixel, like RGBA.
    with Image.open(io.BytesIO(container.content), formats=("PNG",)) as reopened:
        reopened.tile = [each._replace(args=_LOWER_16[rawmode]) for each in reopened.tile]
        lower = np.asarray(reopened)
    if rawmode == "LA;16B":
        upper, lower = lower[..., 0], lower[..., 1]
    else:
        upper, lower = np.asarray(image)[..., :3], lower[..., :3]
    levels: npt.NDArray[np.uint16] = upper.astype(np.uint16) << 8 | lower
    return levels


def _fitted_16(
    levels: npt.NDArray[np.uint16], image: Image.Image, low: int, high: int
) -> Image.Image:
    """Convert 16-bit values to an 8-bit image, with the transparency of the file."""
    flat = Image.fromarray(_to_8_bit(np.arange(2**16), low, high)[levels])
    mark = image.info.get("transparency")
    alpha: Image.Image | None = None
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
    elif mark is not None:
        # The transparent colour is one value, or one value per channel.
        same = levels == np.array(mark)
        same = same.all(axis=-1) if same.ndim == 3 else same
        alpha = Image.fromarray(np.where(same, 0, 255).astype(np.uint8))
    if alpha is None:
        return flat
    return Image.merge("LA" if flat.mode == "L" else "RGBA", (*flat.split(), alpha))


def _flatten(image: Image.Image, target: str) -> Image.Image:
    """Convert `image` to mode `target` (L or RGB), with transparent areas white."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(white, layer)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image if image.mode == target else image.convert(target)


def _reason(error: Exception) -> str:
    return f"damaged image: {' '.join(str(error).split()) or type(error).__name__}"
