"""Sheet of the probe set of one version, or of two side by side; also as audio and text files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from genmint.common.files import write_text
from genmint.evaluation.probe import ProbeOutput, common
from genmint.evaluation.sheets import (
    abreast,
    image_sheet,
    sound_sheet,
    stacked,
    text_sheet,
    write_strip,
)

_WIDTH = 660
_PICTURES, _CLIPS = 8, 2
# Characters per line and texts per sheet.
_LINE, _TEXTS = 58, 8


def write_sheet(folder: Path, stem: str, parts: Sequence[tuple[str, ProbeOutput]]) -> list[Path]:
    """Write the files of a probe set into `folder` and return their paths.

    The files are STEM.png, for audio also STEM.wav, and for text also STEM.txt.

    Args:
        folder: existing folder.
        stem: stem of the files' names.
        parts: heading and probe of one version, or of two that are reduced to common ids. The audio
            file has, for each id, the clips of all versions.
    """
    if len(parts) == 2:
        (first, one), (second, other) = parts
        one, other = common(one, other)
        parts = [(first, one), (second, other)]
    picture = folder / f"{stem}.png"
    abreast([_sheet(heading, probe) for heading, probe in parts]).save(picture)
    written = [picture]
    probes = [probe for _, probe in parts]
    clips = [probe.clips for probe in probes if probe.clips is not None]
    if clips and probes[0].rate is not None:
        number = min(len(each) for each in clips)
        if len({each.shape[1] for each in clips}) == 1:
            rows = np.stack([each[:number] for each in clips], axis=1)
            strip = folder / f"{stem}.wav"
            write_strip(strip, rows.reshape(-1, rows.shape[-1]), probes[0].rate, most=rows.size)
            written.append(strip)
    if probes[0].texts is not None:
        written.append(folder / f"{stem}.txt")
        write_text(written[-1], "\n".join(_text(heading, probe) for heading, probe in parts))
    return written


def _sheet(heading: str, probe: ProbeOutput) -> Image.Image:
    draws = _captions(probe.ids)
    where = probe.ids[0].rpartition("/")[0]
    if probe.kind == "text":
        assert probe.texts is not None
        assert probe.prompts is not None
        sheet = text_sheet(
            probe.texts, _TEXTS, _LINE, captions=probe.ids, prompts=probe.prompts, width=_WIDTH
        )
        return stacked([(f"{heading}: the prompt is grey", sheet)])
    assert probe.grids is not None
    if probe.clips is not None:
        assert probe.rate is not None
        sheet = sound_sheet(
            probe.clips, probe.grids, probe.rate, columns=_CLIPS, captions=draws, width=_WIDTH
        )
    else:
        sheet = image_sheet(probe.grids, columns=_PICTURES, captions=draws, width=_WIDTH)
    parts = [(f"{heading}: {where}/…", sheet)]
    if probe.items is not None and probe.reconstructions is not None:
        parts.append(("held-out items, and below each its reconstruction", _pairs(probe)))
    return stacked(parts)


def _pairs(probe: ProbeOutput) -> Image.Image:
    """Return rows of held-out items, each above the row of their reconstructions."""
    assert probe.items is not None
    assert probe.reconstructions is not None
    rows, captions = [], []
    for start in range(0, len(probe.items), _PICTURES):
        part = slice(start, start + _PICTURES)
        for grids, names in ((probe.items, _captions(probe.item_ids)), (probe.reconstructions, ())):
            row = grids[part]
            blank = np.full((_PICTURES - len(row), *row.shape[1:]), 222, np.uint8)
            rows += [row, blank]
            captions += [*names[part], *[""] * (_PICTURES - len(names[part]))]
    pictures = np.concatenate(rows)
    if probe.kind == "audio":
        pictures = pictures[:, :, ::-1]  # low frequencies at the bottom
    return image_sheet(pictures, columns=_PICTURES, captions=captions, width=_WIDTH)


def _captions(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(each.rpartition("/")[2] for each in ids)


def _text(heading: str, probe: ProbeOutput) -> str:
    assert probe.prompts is not None
    assert probe.texts is not None
    rule = "─" * 72
    lines = [heading]
    for name, prompt, text in zip(probe.ids, probe.prompts, probe.texts, strict=True):
        lines += [rule, name, f"[given] {prompt}", f"[written] {text}"]
    return "\n".join(lines) + "\n"
