"""Opening an image file of any of the formats that are read."""

from __future__ import annotations

from pathlib import Path

from genmint.data.readers import bmp, jpeg, png, webp
from genmint.data.readers.base import UnreadableError
from genmint.data.readers.container import Container

_CHECKS = {"PNG": png.verify, "JPEG": jpeg.verify, "WEBP": webp.verify, "BMP": bmp.verify}


def open_image(path: Path, max_pixels: int) -> Container:
    """Read the structure of an image file; nothing is decoded.

    Raises:
        UnreadableError: none of the formats, damaged, cut short, or too large.
    """
    with path.open("rb") as stream:
        magic = stream.read(2)
        if magic == b"\xff\xd8":
            return jpeg.read(stream, max_pixels)
        if magic == b"BM":
            return bmp.read(stream, max_pixels)
        magic += stream.read(2)
        if magic == b"RIFF":
            return webp.read(stream, max_pixels)
        if magic + stream.read(4) == png.SIGNATURE:
            return png.read(stream, max_pixels)
    raise UnreadableError("not a png, jpg, webp or bmp image")


def verify(container: Container) -> None:
    """Check what the format offers beyond its structure; decodes the image up to three times.

    Raises:
        UnreadableError: the image data are damaged.
    """
    _CHECKS[container.format](container)
