"""Text reader: UTF-8 files as code points, in chunks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from genmint.config import TextDataset
from genmint.data.ingestion.readers.base import Statistics, UnreadableError, refuse_empty
from genmint.data.splitting.sketches import TextSketch

_BLOCK = 1 << 18  # characters
_NEWLINE = 10
_TAB = 9
_REPLACEMENT = 0xFFFD


@dataclass(frozen=True)
class TextReader:
    """Reads documents as UTF-8; drops a byte order mark and converts line ends to line feeds."""

    dataset: TextDataset

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".md")
    columns: ClassVar[Mapping[str, str]] = {
        "characters": "int64",
        "charset": "int64",
        "lines": "int64",
        "control": "float64",
        "visible": "int64",
    }

    def describe(self, path: Path) -> Statistics:
        """Describe a text: counts of characters, distinct characters, lines and visible characters.

        `control` is the fraction of control characters, 0…1. Replacement characters (U+FFFD,
        written by programs for undecodable bytes) count as control characters. Blanks and
        zero-width characters are not visible. item is the sha256 of the text as UTF-8 without byte
        order mark and with line feeds.
        """
        refuse_empty(path)
        characters, newlines, control, visible, last = 0, 0, 0, 0, _NEWLINE
        sketch = TextSketch()
        seen: set[int] = set()
        for codes in codepoints(path):
            distinct, counts = np.unique(codes, return_counts=True)
            seen.update(distinct.tolist())
            characters += len(codes)
            newlines += int(counts[distinct == _NEWLINE].sum())
            control += int(counts[_is_control(distinct)].sum())
            visible += int(counts[_is_visible(distinct)].sum())
            sketch.update(codes.tobytes().decode("utf-32-le"))
            last = int(codes[-1])
        shingles = sketch.sketch()
        return {
            "characters": characters,
            "charset": len(seen),
            "lines": newlines + (last != _NEWLINE),
            "control": round(control / characters, 6) if characters else 0.0,
            "visible": visible,
            "item": sketch.hexdigest(),
            "sketch": None if shingles is None else shingles.tobytes(),
        }


def codepoints(path: Path) -> Iterator[npt.NDArray[np.uint32]]:
    """Yield the Unicode code points of a file in non-empty chunks; uint32.

    Raises:
        UnreadableError: the file is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=None) as stream:
            while text := stream.read(_BLOCK):
                yield np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UnreadableError(f"not UTF-8 (byte 0x{byte:02x}); save it as UTF-8") from None


def _is_control(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Return which codes are control characters: C0 and C1 except tab and line feed, and U+FFFD."""
    low = (codes < 32) & (codes != _TAB) & (codes != _NEWLINE)
    control: npt.NDArray[np.bool_] = (
        low | ((codes >= 127) & (codes < 160)) | (codes == _REPLACEMENT)
    )
    return control


def _is_visible(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Return which codes are visible: not separators, control, format or unassigned characters."""
    categories = [unicodedata.category(chr(code)) for code in codes.tolist()]
    return np.array([category[0] not in "ZC" for category in categories], dtype=bool)
