"""Opening of image files of all supported formats."""

from __future__ import annotations

from pathlib import Path

from genmint.data.ingestion.readers import bmp, jpeg, png, webp
from genmint.data.ingestion.readers.base import UnreadableError
from genmint.data.ingestion.readers.container import Container

_CHECKS = {"PNG": png.verify, "JPEG": jpeg.verify, "WEBP": webp.verify, "BMP": bmp.verify}


def open_image(path: Path, max_pixels: int) -> Container:
    """Read the structure of an image file without decoding it.

    Raises:
        UnreadableError: the format is not supported, or the file is damaged, truncated or too
            large.
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
    """Run the format's integrity checks beyond the structure; decodes the image up to three times.

    Raises:
        UnreadableError: the image data are damaged.
    """
    _CHECKS[container.format](container)
