"""Sheets of samples for visual inspection, and audio files for listening."""

from __future__ import annotations

import math
import textwrap
import wave
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Bytes = npt.NDArray[np.uint8]

_PAPER, _INK, _ACCENT, _GIVEN = (255, 255, 255), (33, 37, 41), (54, 96, 146), (120, 126, 133)
_GAP = 4
_CAPTION = 15
_WIDTH = 1040


def image_sheet(
    grids: Bytes,
    most: int = 64,
    *,
    columns: int | None = None,
    captions: Sequence[str] = (),
    width: int = _WIDTH,
) -> Image.Image:
    """Return a contact sheet of the first images, enlarged without smoothing.

    Args:
        grids: uint8 N×C×H×W, C = 1 or 3.
        most: maximum number of images.
        columns: images per row; None: as square as possible.
        captions: a line under each image; images beyond the last caption have none.
        width: approximate width of the sheet in pixels; images are enlarged by an integer factor.
    """
    shown = grids[:most]
    columns = columns or math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    high, wide = shown.shape[2:]
    factor = max(1, width // (columns * max(high, wide) + 1))
    caption = _CAPTION if captions else 0
    cell = (wide * factor + _GAP, high * factor + _GAP + caption)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), (222, 226, 230))
    pen = ImageDraw.Draw(sheet)
    for i, grid in enumerate(shown):
        picture = Image.fromarray(_colours(grid)).resize(
            (wide * factor, high * factor), Image.Resampling.NEAREST
        )
        at = (_GAP + i % columns * cell[0], _GAP + i // columns * cell[1])
        sheet.paste(picture, at)
        if i < len(captions):
            pen.text((at[0], at[1] + high * factor), captions[i], _INK, _font(11))
    return sheet


def sound_sheet(
    clips: npt.NDArray[np.int16],
    grids: Bytes,
    sample_rate: int,
    most: int = 16,
    *,
    columns: int = 4,
    captions: Sequence[str] = (),
    width: int = _WIDTH,
) -> Image.Image:
    """Return each clip's waveform above its log-mel spectrogram, low frequencies at the bottom.

    Args:
        clips: int16 N×T.
        grids: spectrograms of the clips, uint8 N×1×mels×frames.
        sample_rate: sample rate in Hz.
        most: maximum number of clips.
        columns: clips per row.
        captions: a line under each clip.
        width: width of the sheet in pixels.
    """
    number = min(most, len(clips))
    rows = math.ceil(number / columns)
    wide, wave_height, mel_height, note_height = width // columns - 16, 72, 96, 24
    cell = (wide + 16, wave_height + mel_height + 20)
    sheet = Image.new("RGB", (columns * cell[0] + 16, rows * cell[1] + 16 + note_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    colours = (mpl.colormaps["magma"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    for i in range(number):
        x, y = 16 + i % columns * cell[0], 16 + i // columns * cell[1]
        _draw_wave(pen, clips[i], (x, y, wide, wave_height))
        picture = Image.fromarray(colours[grids[i, 0, ::-1]])
        sheet.paste(
            picture.resize((wide, mel_height), Image.Resampling.BILINEAR), (x, y + wave_height)
        )
        if i < len(captions):
            pen.text((x, y + wave_height + mel_height + 1), captions[i], _INK, _font(11))
    seconds = clips.shape[1] / sample_rate
    note = f"{number} clips of {seconds:.2f} s at {sample_rate} Hz: waveform, log-mel spectrogram"
    pen.text((16, rows * cell[1] + 14), note, _INK, _font(15))
    return sheet


def text_sheet(
    texts: Sequence[str],
    most: int = 4,
    columns: int = 92,
    *,
    captions: Sequence[str] = (),
    prompts: Sequence[str] = (),
    width: int = _WIDTH,
) -> Image.Image:
    """Return the first texts as an image; unknown characters appear as �.

    Args:
        texts: generated texts.
        most: maximum number of texts.
        columns: characters per line.
        captions: a line above each text; `sample 0` and so on if empty.
        prompts: prompt of each text, shown before it in another colour.
        width: width of the sheet in pixels.
    """
    font = _font(17)
    lines: list[tuple[str, tuple[int, int, int]]] = []
    for i, text in enumerate(texts[:most]):
        lines.append((captions[i] if captions else f"sample {i}", _ACCENT))
        if prompts:
            lines += [(line, _GIVEN) for line in _wrapped(prompts[i], columns)]
        lines += [(line, _INK) for line in _wrapped(text, columns)]
        lines.append(("", _INK))
    leading = 23
    sheet = Image.new("RGB", (width, leading * len(lines) + 2 * _GAP + 24), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, (line, colour) in enumerate(lines):
        pen.text((28, 16 + i * leading), line, colour, font)
    return sheet


def stacked(parts: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Return one image with the sheets below each other, each under its heading."""
    heading = 32
    height = sum(sheet.height + heading for _, sheet in parts) + _GAP
    whole = Image.new("RGB", (max(sheet.width for _, sheet in parts), height), _PAPER)
    pen, y = ImageDraw.Draw(whole), 0
    for text, sheet in parts:
        pen.text((_GAP, y + 7), text, _ACCENT, _font(15))
        whole.paste(sheet, (0, y + heading))
        y += sheet.height + heading
    return whole


def abreast(sheets: Sequence[Image.Image]) -> Image.Image:
    """Return one image with the sheets side by side, aligned at the top."""
    gap = 28
    width = sum(sheet.width + gap for sheet in sheets) - gap
    whole = Image.new("RGB", (width, max(sheet.height for sheet in sheets)), _PAPER)
    x = 0
    for sheet in sheets:
        whole.paste(sheet, (x, 0))
        x += sheet.width + gap
    return whole


def write_strip(
    path: Path, clips: npt.NDArray[np.int16], sample_rate: int, most: int = 12, gap: float = 0.2
) -> None:
    """Write the first clips one after the other as a 16-bit mono WAV file.

    Args:
        path: path of the file.
        clips: int16 N×T.
        sample_rate: sample rate in Hz.
        most: maximum number of clips.
        gap: silence after each clip, in seconds.
    """
    shown = clips[:most]
    silence = np.zeros((len(shown), round(gap * sample_rate)), dtype=np.int16)
    strip = np.concatenate([shown, silence], axis=1).astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sample_rate)
        stream.writeframes(strip.tobytes())


def _wrapped(text: str, columns: int) -> list[str]:
    """Return lines of at most `columns` characters."""
    lines = text.replace("\r", "").split("\n")
    return [part for line in lines for part in textwrap.wrap(line, columns) or [""]]


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
    # matplotlib includes DejaVu, which covers most scripts; Pillow's default font is ASCII only.
    return ImageFont.truetype(
        str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"), size
    )
