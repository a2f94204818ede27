"""Measure how many damaged files enter unnoticed, per format.

    python benchmarks/damage.py [--files 1000] [--seed 0] [FORMAT …]

Makes images and audio clips, writes them in each format, damages each file once at random, and
reads it as ingest does. Counted are files whose item changes by more than one level (of 256, audio:
of 65,536), or that an indulgent decoder cannot read at all. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image, ImageFile, PngImagePlugin

from genmint.config import AudioDataset, ImageDataset
from genmint.data.ingestion.readers import AudioReader, ImageReader, UnreadableError
from genmint.data.ingestion.readers.container import DAMAGED

Generator = np.random.Generator
RESOLUTION = 64
IMAGES = ImageReader(ImageDataset(kind="image", path="x", resolution=RESOLUTION, mode="rgb"))
SOUNDS = AudioReader(AudioDataset(kind="audio", path="x", sample_rate=8000, seconds=0.5))


@dataclass
class Tally:
    """What became of damaged files.

    Attributes:
        damaged: files whose item changed by more than one level, or that cannot be decoded.
        unnoticed: of these, files that the reader takes.
        by_decoder: of these, files that the decoder by itself takes (strict, as it comes).
        same: files whose item did not change.
        refused_same: of these, files that the reader refuses.
    """

    damaged: int = 0
    unnoticed: int = 0
    by_decoder: int = 0
    same: int = 0
    refused_same: int = 0


# --- damage ---------------------------------------------------------------------------------------


def _flip_bits(content: bytearray, random: Generator) -> None:
    for position in random.integers(len(content), size=random.integers(1, 5)):
        content[position] ^= 1 << int(random.integers(8))


def _overwrite(content: bytearray, random: Generator) -> None:
    start, count = _span(content, random, 64)
    content[start : start + count] = random.bytes(count)


def _zero(content: bytearray, random: Generator) -> None:
    start, count = _span(content, random, 512)
    content[start : start + count] = bytes(count)


def _delete(content: bytearray, random: Generator) -> None:
    start, count = _span(content, random, 200)
    del content[start : start + count]


def _insert(content: bytearray, random: Generator) -> None:
    start, count = _span(content, random, 64)
    content[start:start] = random.bytes(count)


def _repeat(content: bytearray, random: Generator) -> None:
    """A block lies where another belongs, as after a failed copy."""
    start, count = _span(content, random, 256)
    source = int(random.integers(len(content) - count + 1))
    content[start : start + count] = content[source : source + count]


def _cut(content: bytearray, random: Generator) -> None:
    del content[int(random.integers(1, len(content))) :]


def _span(content: bytearray, random: Generator, most: int) -> tuple[int, int]:
    count = int(random.integers(1, min(most, len(content) // 2) + 1))
    return int(random.integers(len(content) - count + 1)), count


DAMAGES = (_flip_bits, _overwrite, _zero, _delete, _insert, _repeat, _cut)


# --- files ----------------------------------------------------------------------------------------


def picture(random: Generator) -> Image.Image:
    """A colour image with smooth parts, edges and noise, RESOLUTION pixels on the shorter side."""
    height = RESOLUTION
    width = RESOLUTION + int(random.integers(0, 40))
    y, x = np.mgrid[:height, :width]
    waves = [
        127 + 90 * np.sin(x / random.uniform(4, 20) + c) * np.cos(y / random.uniform(4, 20))
        for c in range(3)
    ]
    pixels = np.stack(waves, axis=-1) + random.normal(0, random.uniform(0, 12), (height, width, 3))
    for _ in range(4):
        top, left = random.integers(height - 8), random.integers(width - 8)
        pixels[top : top + 20, left : left + 20] = random.integers(0, 256, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _png(random: Generator) -> bytes:
    image = picture(random)
    mode = random.choice(["L", "RGB", "RGBA", "P", "1", "I;16"])
    if mode == "I;16":
        wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
        image = Image.fromarray(wide)
    elif mode == "RGBA":
        image.putalpha(image.convert("L"))
    else:
        image = image.convert(mode)
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "made for a measurement")
    return _saved(image, "PNG", pnginfo=note)


def _jpeg(random: Generator) -> bytes:
    image = picture(random)
    image = image.convert("L") if random.random() < 0.2 else image
    return _saved(
        image,
        "JPEG",
        quality=int(random.choice([60, 75, 85, 92])),
        subsampling=int(random.choice([0, 2])),
        progressive=bool(random.random() < 0.2),
        restart_marker_rows=int(random.random() < 0.1),
    )


def _webp(random: Generator) -> bytes:
    image = picture(random)
    if random.random() < 0.2:
        image.putalpha(image.convert("L"))
    return _saved(
        image, "WEBP", lossless=bool(random.random() < 0.4), quality=int(random.integers(50, 95))
    )


def _bmp(random: Generator) -> bytes:
    return _saved(picture(random).convert(random.choice(["RGB", "L", "P"])), "BMP")


def _saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def _sound(random: Generator) -> np.ndarray:
    """A decaying tone with overtones and noise, 0.5 s at 8 kHz, one or two channels."""
    time = np.arange(4000) / 8000
    pitch = random.uniform(80, 900)
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5))
    tone = 0.3 * tone * np.exp(-time * random.uniform(0, 6)) + random.normal(0, 0.01, len(time))
    return np.stack([tone, 0.8 * tone], axis=1) if random.random() < 0.3 else tone


def _wav(random: Generator) -> bytes:
    return _heard(random, "WAV", random.choice(["PCM_16", "PCM_24", "PCM_U8", "FLOAT"]))


def _flac(random: Generator) -> bytes:
    return _heard(random, "FLAC", random.choice(["PCM_16", "PCM_24"]))


def _heard(random: Generator, file_format: str, subtype: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, _sound(random), 8000, format=file_format, subtype=subtype)
    return stream.getvalue()


# --- reading --------------------------------------------------------------------------------------


def _strict_image(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _indulgent_image(path: Path) -> np.ndarray | None:
    """The item as Pillow makes it of whatever is left of the file."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "BMP")) as image:
            image.load()
            flat = io.BytesIO()
            image.save(flat, "PNG")
    except (*DAMAGED, MemoryError):
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    kept = path.with_name("indulgent")
    kept.write_bytes(flat.getvalue())
    try:
        return IMAGES.load(kept)
    except UnreadableError:
        return None


def _strict_sound(path: Path) -> None:
    soundfile.read(path)


def _indulgent_sound(path: Path) -> np.ndarray | None:
    """All that libsndfile can read, as one clip at the rate of the header."""
    try:
        with soundfile.SoundFile(path) as stream:
            rate, blocks = stream.samplerate, []
            while len(block := stream.read(1000, always_2d=True)) and len(blocks) < 100:
                blocks.append(block)
    except (soundfile.SoundFileError, ValueError, MemoryError):
        return None
    if not blocks or not 1000 <= rate <= 192_000:
        return None
    kept = path.with_name("indulgent")
    soundfile.write(kept, np.concatenate(blocks), rate, subtype="FLOAT", format="WAV")
    try:
        return SOUNDS.load(kept)
    except UnreadableError:
        return None


@dataclass(frozen=True)
class Kind:
    """How files of a format are made and read."""

    make: Callable[[Generator], bytes]
    reader: Any
    strict: Callable[[Path], None]
    indulgent: Callable[[Path], np.ndarray | None]


KINDS = {
    "PNG": Kind(_png, IMAGES, _strict_image, _indulgent_image),
    "JPEG": Kind(_jpeg, IMAGES, _strict_image, _indulgent_image),
    "WebP": Kind(_webp, IMAGES, _strict_image, _indulgent_image),
    "BMP": Kind(_bmp, IMAGES, _strict_image, _indulgent_image),
    "WAV": Kind(_wav, SOUNDS, _strict_sound, _indulgent_sound),
    "FLAC": Kind(_flac, SOUNDS, _strict_sound, _indulgent_sound),
}


def measure(name: str, files: int, seed: int, folder: Path) -> Tally:
    """Damage files of a format until `files` of them have another item than before.

    Raises:
        AssertionError: a file is refused before it is damaged.
    """
    kind, tally = KINDS[name], Tally()
    random = np.random.default_rng([seed, sorted(KINDS).index(name)])
    path = folder / "file"
    while tally.damaged < files:
        content = bytearray(kind.make(random))
        path.write_bytes(content)
        kind.reader.describe(path)
        before = kind.reader.load(path)
        DAMAGES[int(random.integers(len(DAMAGES)))](content, random)
        path.write_bytes(content)
        _count(tally, kind, path, before)
    return tally


def _count(tally: Tally, kind: Kind, path: Path, before: np.ndarray) -> None:
    entered = _read(kind.reader, path)
    item = kind.indulgent(path) if entered is None else entered
    if item is not None and _same(item, before):
        tally.same += 1
        tally.refused_same += entered is None
        return
    tally.damaged += 1
    tally.unnoticed += entered is not None
    try:
        kind.strict(path)
        tally.by_decoder += 1
    except (*DAMAGED, soundfile.SoundFileError, MemoryError):
        pass


def _read(reader: Any, path: Path) -> np.ndarray | None:
    try:
        reader.describe(path)
        item: np.ndarray = reader.load(path)
    except UnreadableError:
        return None
    return item


def _same(other: np.ndarray, before: np.ndarray) -> bool:
    return other.shape == before.shape and (
        int(np.abs(other.astype(np.int64) - before.astype(np.int64)).max()) <= 1
    )


def table(tallies: dict[str, Tally]) -> str:
    """Markdown, a row a format."""
    lines = [
        "| format | damaged | enter unnoticed | taken by the decoder alone "
        "| refused though the item is the same |",
        "|---|---|---|---|---|",
    ]
    for name, tally in tallies.items():
        unnoticed, alone = tally.unnoticed / tally.damaged, tally.by_decoder / tally.damaged
        lines.append(
            f"| {name} | {tally.damaged:,} | {unnoticed:.1%} | {alone:.1%} "
            f"| {tally.refused_same} of {tally.same} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("formats", nargs="*", default=list(KINDS), metavar="FORMAT")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tallies = {}
    for name in arguments.formats:
        if name not in KINDS:
            parser.error(f"{name}: one of {', '.join(KINDS)}")
        with tempfile.TemporaryDirectory() as folder:
            tallies[name] = measure(name, arguments.files, arguments.seed, Path(folder))
    print(table(tallies))


if __name__ == "__main__":
    main()
