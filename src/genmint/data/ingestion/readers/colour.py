"""Colour profiles (ICC): conversion of images to sRGB, which models and metrics assume."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from genmint.common.escaping import printable

# Larger profiles are not read; those of printers have one or two megabytes.
LARGEST = 1 << 24
# Tolerance in levels for a profile to count as sRGB, since its versions differ by rounding.
_SAME = 2
_SHOWN = 60
_SPACES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}
_BAD = (ImageCms.PyCMSError, OSError, ValueError, TypeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class _Profile:
    """A parsed colour profile.

    Attributes:
        name: name stored in the profile.
        mode: mode of images that the profile applies to: L, RGB or CMYK; "" for other modes.
        transform: transform to 8-bit sRGB; None if the profile is sRGB, or is unusable.
    """

    name: str
    mode: str
    transform: ImageCms.ImageCmsTransform | None


def to_srgb(image: Image.Image, profile: bytes, why_not: str = "") -> tuple[Image.Image, str]:
    """Convert an image from its colour profile to sRGB (relative colorimetric).

    Args:
        image: image with 8 bits per channel, of any mode. Transparency is kept.
        profile: ICC profile of the file; empty if there is none.
        why_not: reason not to apply the profile; empty if it may be applied.

    Returns:
        The image, unchanged if its pixels are sRGB already; and a text for the manifest with the
        profile and its treatment, "" if there is none.
    """
    if not profile:
        return image, ""
    parsed = _read(profile)
    if parsed is None:
        return image, "unreadable profile: not applied"
    alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
    if image.mode in ("P", "PA") or (alpha and image.mode not in ("LA", "RGBA")):
        image = image.convert("RGBA" if alpha or image.mode == "PA" else "RGB")
        alpha = image.mode == "RGBA"
    base = image.mode.removesuffix("A") if alpha else image.mode
    if base != parsed.mode:
        why_not = why_not or f"it is for {parsed.mode or 'other'} images, not for {base}"
    if why_not:
        return image, f"{parsed.name}: not applied, {why_not}"
    if parsed.transform is None:
        return image, f"{parsed.name}: is sRGB, unchanged"
    return _applied(image, parsed.transform, alpha=alpha), f"{parsed.name}: converted to sRGB"


def _applied(
    image: Image.Image, transform: ImageCms.ImageCmsTransform, *, alpha: bool
) -> Image.Image:
    bands = image.split()
    colours = image
    if alpha:
        colours = bands[0] if image.mode == "LA" else Image.merge("RGB", bands[:-1])
    converted = ImageCms.applyTransform(colours, transform)
    assert converted is not None  # it returns None only in place
    if image.mode in ("L", "LA"):
        converted = converted.getchannel("G")
    return Image.merge(image.mode, (*converted.split(), bands[-1])) if alpha else converted


@lru_cache(maxsize=8)
def _read(profile: bytes) -> _Profile | None:
    """Parse a profile; None if it is damaged. Cached, since a folder has only a few profiles."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = printable(" ".join((opened.profile.profile_description or "").split()))[:_SHOWN]
        name = name or "profile without a name"
        mode = _SPACES.get(opened.profile.xcolor_space, "")
        if not mode:
            return _Profile(name, mode, None)
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return _Profile(name, mode, None if _changes_nothing(transform, mode) else transform)
    except _BAD:
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether the transform leaves a grid of colours unchanged."""
    if mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 256 if mode == "L" else 17).round().astype(np.uint8)
    grid = steps[np.newaxis] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    if mode == "RGB":
        grid = grid.reshape(17, 17 * 17, 3)
    converted = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(grid)), transform)
    after = np.asarray(converted).astype(np.int64)
    before = grid[..., np.newaxis] if mode == "L" else grid
    return int(np.abs(after - before).max()) <= _SAME
