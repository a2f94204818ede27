"""Sizes of items in lossless codecs, in bits; headers and containers are counted as they are."""

from __future__ import annotations

import io
import lzma
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

from genmint.common.array_types import Floats

Pixels = npt.NDArray[np.uint8]

# Largest side of a WebP image, in pixels.
_WEBP_SIDE = 16_383
# Dictionary of LZMA2 in bytes: longer than the input it has no effect but its memory.
_LEAST_DICTIONARY, _MOST_DICTIONARY = 1 << 12, 1 << 26


def png_bits(grids: Pixels) -> Floats:
    """Return the size of each image as a PNG file; bits, float64 N.

    Pillow with `optimize=True` (deflate at its highest level, libpng's choice of filters).

    Args:
        grids: uint8 N×C×H×W with one channel (grey) or three (RGB).
    """
    return _sizes(grids, format="PNG", optimize=True)


def webp_bits(grids: Pixels) -> Floats:
    """Return the size of each image as a lossless WebP file; bits, float64 N.

    Pillow with `lossless=True, quality=80, method=4`. Lossless WebP has no grey images: the three
    equal channels of a grey one are coded as RGB, which costs next to nothing.

    Args:
        grids: uint8 N×C×H×W with one channel (grey) or three (RGB).
    """
    return _sizes(grids, format="WEBP", lossless=True, quality=80, method=4)


def webp_mosaic_bits(grids: Pixels) -> float | None:
    """Return the size of all images as the tiles of one lossless WebP file; bits.

    One file has one header, and its code adapts to all images. None if a side of the mosaic would
    exceed 16,383 pixels.

    Args:
        grids: uint8 N×C×H×W with one channel (grey) or three (RGB).
    """
    items, channels, height, width = grids.shape
    columns = math.ceil(math.sqrt(items))
    rows = math.ceil(items / columns)
    if max(rows * height, columns * width) > _WEBP_SIDE:
        return None
    tiles = np.zeros((rows * columns, channels, height, width), dtype=np.uint8)
    tiles[:items] = grids
    mosaic = tiles.reshape(rows, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    return float(webp_bits(mosaic.reshape(1, channels, rows * height, columns * width))[0])


def flac_bits(symbols: npt.NDArray[np.uint8], sample_rate: int) -> Floats:
    """Return the size of each clip as a FLAC file of 8-bit samples; bits, float64 N.

    libsndfile at its highest compression level.

    Args:
        symbols: uint8 N×T, 0…255 from the lowest amplitude to the highest.
        sample_rate: in Hz; it is a part of the header only.
    """
    sizes = np.empty(len(symbols))
    for number, clip in enumerate(symbols):
        file = io.BytesIO()
        # libsndfile takes the upper 8 of 16 bits.
        samples = (clip.astype(np.int16) - 128) << 8
        soundfile.write(
            file, samples, sample_rate, format="FLAC", subtype="PCM_S8", compression_level=1.0
        )
        sizes[number] = 8 * len(file.getvalue())
    return sizes


def xz_bits(symbols: npt.NDArray[Any]) -> float:
    """Return the size of a sequence of symbols as an xz file at level 9; bits.

    Args:
        symbols: integers T of any shape, as one or two bytes each (little-endian).
    """
    wide = symbols.size > 0 and int(symbols.max()) > 255
    data = symbols.astype("<u2" if wide else np.uint8).tobytes()
    needed = 1 << max(0, len(data) - 1).bit_length()
    dictionary = min(max(needed, _LEAST_DICTIONARY), _MOST_DICTIONARY)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": dictionary}]
    return 8.0 * len(lzma.compress(data, format=lzma.FORMAT_XZ, filters=filters))


def _sizes(grids: Pixels, **settings: Any) -> Floats:
    sizes = np.empty(len(grids))
    for number, grid in enumerate(grids):
        file = io.BytesIO()
        values = grid[0] if len(grid) == 1 else np.ascontiguousarray(grid.transpose(1, 2, 0))
        Image.fromarray(values).save(file, **settings)
        sizes[number] = 8 * file.tell()
    return sizes
