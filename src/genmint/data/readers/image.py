"""Images: png, jpg, webp and bmp to uint8 of one size."""

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
from genmint.data.readers.base import Statistics, UnreadableError, refuse_empty
from genmint.data.readers.container import DAMAGED, Container
from genmint.data.readers.finished import describe_images
from genmint.data.readers.imagefile import open_image, verify

# dataset.max_pixels takes the place of Pillow's own limit, which warns at one size, raises at
# another, and names neither the image's size nor a way out. It is checked before decoding.
Image.MAX_IMAGE_PIXELS = None

# Levels by which the channels of an item may differ while it counts as grey: lossy formats and
# conversions round.
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
# Modes whose values are levels of light: not indices, nor ink.
_LEVELS = ("L", "LA", "RGB", "RGBA")
# 16-bit modes of Pillow that hold every bit; it reads colours as their upper bytes alone.
_WHOLE_16 = ("I", "I;16", "I;16B", "I;16L")
_LOWER_16 = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageReader:
    """Reads images as uint8 C×resolution×resolution: oriented, scaled, cropped from the centre.

    The shorter side is scaled to `resolution` (bicubic, with Pillow's low-pass when shrinking).
    Transparency is laid over white. Colour profiles and gamma are not applied.

    Attributes:
        dataset: its entry.
        channels: 1 or 3; None gives each image those that it has.
        ranges: lowest and highest value that become 0 and 255, by the bits of a file's values;
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
        "colour": "int64",
        "mean": "float64",
        "std": "float64",
    }

    def describe(self, path: Path) -> Statistics:
        """Check the whole file and describe it.

        Width and height in pixels, Pillow's mode; bits of a value (16 or 8), lowest and highest
        value of the file (transparency apart); number of frames; largest difference between the
        channels of the finished item, 0…255 (0 where it has no colours); and what
        `describe_images` says of it.
        """
        container = self._opened(path)
        verify(container)
        image, low, high, mode = self._decoded(container)
        item, colour = self._finished(image)
        return {
            "width": container.width,
            "height": container.height,
            "mode": mode,
            "bits": container.bits,
            "range_low": low,
            "range_high": high,
            "frames": container.frames,
            "colour": colour,
            **describe_images(item[np.newaxis])[0],
        }

    def load(self, path: Path) -> Pixels:
        """One image, uint8 1×C×resolution×resolution."""
        image = self._decoded(self._opened(path))[0]
        return self._finished(image, measured=False)[0][np.newaxis]

    def describe_rows(self, rows: Pixels) -> list[Statistics]:
        """Columns for N×H×W grey or N×H×W×3 colour images."""
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
        }
        found = zip(
            flat.min(axis=1).tolist(),
            flat.max(axis=1).tolist(),
            colour.tolist(),
            strict=True,
        )
        names = ("range_low", "range_high", "colour")
        finished = describe_images(self.load_rows(rows))
        return [
            {**constant, **dict(zip(names, each, strict=True)), **item}
            for each, item in zip(found, finished, strict=True)
        ]

    def load_rows(self, rows: Pixels) -> Pixels:
        """N×H×W grey or N×H×W×3 colour images as uint8 N×C×resolution×resolution."""
        size, colours = self.dataset.resolution, self._channels
        low, high = self._limits(8)
        if rows.shape[1:] == (size, size) and colours != 3 and (low, high) == (0, 255):
            return np.ascontiguousarray(rows[:, np.newaxis])
        images = (_scaled(Image.fromarray(row), low, high) for row in rows)
        return np.stack([self._finished(image, measured=False)[0] for image in images])

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of an item; C is 1 where it is neither set nor settled."""
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
        """Values of files of so many bits that become 0 and 255."""
        if self.dataset.bits == "set":
            return self.ranges.get(bits, (0, 2**bits - 1))
        return 0, 2 ** min(bits, self.dataset.bits or bits) - 1

    def _decoded(self, container: Container) -> tuple[Image.Image, int, int, str]:
        """8-bit image the right way up; lowest and highest value and mode of the file."""
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
                    image = file.convert("RGB") if mode == "CMYK" else file
                    low, high = _range(image)
                    if mode in _LEVELS:
                        image = _scaled(image, *self._checked(low, high, 8))
                turn = _TURNS.get(container.orientation)
                return image if turn is None else image.transpose(turn), low, high, mode
        except DAMAGED as error:
            raise UnreadableError(_reason(error)) from None

    def _checked(self, low: int, high: int, bits: int) -> tuple[int, int]:
        limits = self._limits(bits)
        if isinstance(self.dataset.bits, int) and high > limits[1]:
            raise UnreadableError(
                f"holds the value {high}, more than bits: {self.dataset.bits} allows ({limits[1]})"
            )
        return limits

    def _finished(self, image: Image.Image, *, measured: bool = True) -> tuple[Pixels, int]:
        """The item uint8 C×resolution×resolution, and how far its channels differ.

        The difference is 0 for what cannot be coloured; where it is not `measured`, it is only
        determined as far as the number of channels depends on it.
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
    """Lowest and highest value, transparency apart; of colours where the file has indices."""
    if image.mode not in (*_LEVELS, "1"):
        image = image.convert("RGBA")
    found: Any = image.getextrema()
    bands = [found] if isinstance(found[0], int | float) else list(found)
    if image.mode in ("LA", "RGBA"):
        bands = bands[:-1]
    return int(min(low for low, _ in bands)), int(max(high for _, high in bands))


def _scaled(image: Image.Image, low: int, high: int) -> Image.Image:
    """An 8-bit image with `low` and `high` becoming 0 and 255; alpha stays as it is."""
    if (low, high) == (0, 255):
        return image
    table = _to_8_bit(np.arange(256), low, high).tolist()
    if "transparency" in image.info:
        # The value that stands for transparency is one of the file's.
        image = image.convert("RGBA")
    alpha = image.mode in ("LA", "RGBA")
    colours = len(image.getbands()) - alpha
    return image.point(table * colours + list(range(256)) * alpha)


def _to_8_bit(values: npt.NDArray[Any], low: int, high: int) -> Pixels:
    """Values from `low` to `high` as 0…255, rounded to the nearest; others are clipped."""
    span = max(1, high - low)
    shifted = values.astype(np.int64).clip(low, high) - low
    return ((shifted * 255 + span // 2) // span).astype(np.uint8)


def _read_16(container: Container, image: ImageFile.ImageFile) -> npt.NDArray[np.uint16]:
    """All 16 bits of the levels, H×W or H×W×3; Pillow reads colours as 8 bits."""
    rawmode = str(image.tile[0].args)
    if image.mode in _WHOLE_16:
        return np.asarray(image).clip(0, 65535).astype(np.uint16)
    # Pillow's readers of big-endian colours keep the upper byte of each value; those of
    # little-endian ones, given the same data, the lower byte. Grey with alpha has four bytes a
    # pixel, as RGBA has.
    with Image.open(io.BytesIO(container.content), formats=("PNG",)) as again:
        again.tile = [each._replace(args=_LOWER_16[rawmode]) for each in again.tile]
        lower = np.asarray(again)
    if rawmode == "LA;16B":
        upper, lower = lower[..., 0], lower[..., 1]
    else:
        upper, lower = np.asarray(image)[..., :3], lower[..., :3]
    levels: npt.NDArray[np.uint16] = upper.astype(np.uint16) << 8 | lower
    return levels


def _fitted_16(
    levels: npt.NDArray[np.uint16], image: Image.Image, low: int, high: int
) -> Image.Image:
    """The 8-bit image of 16-bit levels, with the transparency of the file."""
    flat = Image.fromarray(_to_8_bit(np.arange(2**16), low, high)[levels])
    mark = image.info.get("transparency")
    alpha: Image.Image | None = None
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
    elif mark is not None:
        # One value, or one for each channel, is transparent.
        same = levels == np.array(mark)
        same = same.all(axis=-1) if same.ndim == 3 else same
        alpha = Image.fromarray(np.where(same, 0, 255).astype(np.uint8))
    if alpha is None:
        return flat
    return Image.merge("LA" if flat.mode == "L" else "RGBA", (*flat.split(), alpha))


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
    return f"damaged image: {' '.join(str(error).split()) or type(error).__name__}"
