"""Items of a data set, as a user's folder holds them."""

from collections.abc import Callable
from pathlib import Path

from tests.awkward.images import images
from tests.awkward.images import ordinary as ordinary_images
from tests.awkward.sounds import ordinary as ordinary_sounds
from tests.awkward.sounds import sounds
from tests.fuzz.target import SMALL, Target, file

from genmint.config import AudioDataset, ImageDataset, TextDataset
from genmint.data.ingestion.mnist import read_idx
from genmint.data.ingestion.readers import reader_of


def items(folder: Path) -> list[Target]:
    def reads(dataset, suffix: str) -> Callable[[bytes], object]:
        reader = reader_of(dataset)

        def read(path: Path) -> None:
            reader.describe(path)
            if not isinstance(dataset, TextDataset):
                reader.load(path)

        return file(folder / f"item{suffix}", read)

    common = {"path": "data/own/x", "split": "hash", "max_quarantined": 1.0}
    # 4 million pixels: decoding more is work, not a fault.
    image = ImageDataset(**common, kind="image", resolution=16, max_pixels=4_000_000)
    audio = AudioDataset(**common, kind="audio", sample_rate=8000, seconds=0.25, windows="all")
    text = TextDataset(**common, kind="text")
    files = [(each.name, each.content) for each in (*images(), *sounds())]
    files += [*ordinary_images(3).items(), *ordinary_sounds(3).items()]

    def seeds(*suffixes: str) -> list[bytes]:
        return [data for name, data in files if name.endswith(suffixes) and len(data) < SMALL]

    idx = b"\0\0\x08\x03" + bytes([0, 0, 0, 2] * 3) + bytes(8)
    lines = "First line\r\nzweite Zeile – drei\n四行目\n".encode() * 20
    return [
        Target("png", seeds(".png"), reads(image, ".png"), 12),
        Target("jpeg", seeds(".jpg", ".jpeg"), reads(image, ".jpg"), 12),
        Target("webp", seeds(".webp"), reads(image, ".webp"), 8),
        Target("bmp", seeds(".bmp"), reads(image, ".bmp"), 6),
        Target("wav", seeds(".wav"), reads(audio, ".wav"), 10),
        Target("flac", seeds(".flac"), reads(audio, ".flac"), 10),
        Target("text", [lines], reads(text, ".txt")),
        Target("idx", [idx], file(folder / "images-idx3-ubyte", read_idx), 2),
    ]
