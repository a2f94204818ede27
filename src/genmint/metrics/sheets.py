"""Samples as pictures and sound that people look at and listen to."""

from __future__ import annotations

import math
import textwrap
import wave
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Bytes = npt.NDArray[np.uint8]

_PAPER, _INK, _ACCENT = (255, 255, 255), (33, 37, 41), (54, 96, 146)
_GAP = 4
_WIDTH = 1040


def image_sheet(grids: Bytes, most: int = 64) -> Image.Image:
    """Contact sheet of the first pictures, enlarged without smoothing.

    Args:
        grids: uint8 N×C×H×W, C = 1 or 3.
        most: pictures shown.
    """
    shown = grids[:most]
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    height, width = shown.shape[2:]
    factor = max(1, _WIDTH // (columns * max(height, width) + 1))
    cell = (width * factor + _GAP, height * factor + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), (222, 226, 230))
    for i, grid in enumerate(shown):
        picture = Image.fromarray(_colours(grid)).resize(
            (width * factor, height * factor), Image.Resampling.NEAREST
        )
        at = (_GAP + i % columns * cell[0], _GAP + i // columns * cell[1])
        sheet.paste(picture, at)
    return sheet


def sound_sheet(
    clips: npt.NDArray[np.int16], grids: Bytes, sample_rate: int, most: int = 16
) -> Image.Image:
    """Each clip's waveform over its log-mel spectrogram, low frequencies at the bottom.

    Args:
        clips: int16 N×T.
        grids: their spectrograms, uint8 N×1×mels×frames.
        sample_rate: Hz.
        most: clips shown.
    """
    columns, number = 4, min(most, len(clips))
    rows = math.ceil(number / columns)
    width, wave_height, mel_height, caption = _WIDTH // columns - 16, 72, 96, 24
    cell = (width + 16, wave_height + mel_height + 20)
    sheet = Image.new("RGB", (columns * cell[0] + 16, rows * cell[1] + 16 + caption), _PAPER)
    pen = ImageDraw.Draw(sheet)
    colours = (mpl.colormaps["magma"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    for i in range(number):
        x, y = 16 + i % columns * cell[0], 16 + i // columns * cell[1]
        _draw_wave(pen, clips[i], (x, y, width, wave_height))
        picture = Image.fromarray(colours[grids[i, 0, ::-1]])
        sheet.paste(
            picture.resize((width, mel_height), Image.Resampling.BILINEAR), (x, y + wave_height)
        )
    seconds = clips.shape[1] / sample_rate
    note = f"{number} clips of {seconds:.2f} s at {sample_rate} Hz: waveform, log-mel spectrogram"
    pen.text((16, rows * cell[1] + 14), note, _INK, _font(15))
    return sheet


def text_sheet(texts: list[str], most: int = 4, columns: int = 92) -> Image.Image:
    """The first texts, typeset; unknown characters as �.

    Args:
        texts: generated.
        most: texts shown.
        columns: characters a line.
    """
    font = _font(17)
    lines: list[tuple[str, tuple[int, int, int]]] = []
    for i, text in enumerate(texts[:most]):
        lines.append((f"sample {i}", _ACCENT))
        for line in text.replace("\r", "").split("\n"):
            lines += [(part, _INK) for part in textwrap.wrap(line, columns) or [""]]
        lines.append(("", _INK))
    leading = 23
    sheet = Image.new("RGB", (_WIDTH, leading * len(lines) + 2 * _GAP + 24), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, (line, colour) in enumerate(lines):
        pen.text((28, 16 + i * leading), line, colour, font)
    return sheet


def write_strip(
    path: Path, clips: npt.NDArray[np.int16], sample_rate: int, most: int = 12, gap: float = 0.2
) -> None:
    """Write the first clips one after the other as a 16-bit mono wav.

    Args:
        path: of the file.
        clips: int16 N×T.
        sample_rate: Hz.
        most: clips written.
        gap: silence after each, seconds.
    """
    shown = clips[:most]
    silence = np.zeros((len(shown), round(gap * sample_rate)), dtype=np.int16)
    strip = np.concatenate([shown, silence], axis=1).astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sample_rate)
        stream.writeframes(strip.tobytes())


def _colours(grid: Bytes) -> Bytes:
    channels = grid if len(grid) == 3 else np.repeat(grid[:1], 3, axis=0)
    return np.ascontiguousarray(channels.transpose(1, 2, 0))


def _draw_wave(
    pen: ImageDraw.ImageDraw, clip: npt.NDArray[np.int16], box: tuple[int, int, int, int]
) -> None:
    x, y, width, height = box
    middle, half = y + height / 2, height / 2 - 3
    parts = np.array_split(clip.astype(np.float64) / 32768, width)
    pen.line([(x, middle), (x + width - 1, middle)], (206, 212, 218))
    for i, part in enumerate(parts):
        if len(part):
            top, bottom = middle - part.max() * half, middle - part.min() * half
            pen.line([(x + i, top), (x + i, bottom)], _ACCENT)


def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib ships DejaVu, which has most scripts; Pillow's own font has ASCII only.
    return ImageFont.truetype(
        str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"), size
    )
