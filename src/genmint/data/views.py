"""The two views through which families see data: grid and sequence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.config import ModelConfig
from genmint.data import mulaw
from genmint.data.prepared import Prepared, Split
from genmint.data.spec import DataSpec
from genmint.data.spectrogram import to_grid
from genmint.errors import ConfigError, DataError

# Bytes of images that are read as a whole.
_IN_MEMORY = 1 << 26
# Samples of sound that are encoded at a time.
_SAMPLES = 1 << 23


def load(prepared: Prepared, split: Split, spec: DataSpec) -> Tensor:
    """A whole split in the view of `spec`.

    Returns:
        grid: uint8 N×C×H×W (images; log-mel pictures of clips).
        sequence: uint8 N×T symbols (clips in μ-law, images in raster order: row by row, the
        channels of a pixel side by side), or the int64 stream of a text.

    Symbols of items stay in 8 bits here, an eighth of what int64 takes; batches widen them.
    """
    array = prepared.array(split)
    if spec.view == "grid":
        if spec.kind == "image":
            return torch.from_numpy(_images(prepared, split))
        assert spec.spectrogram is not None
        assert spec.sample_rate is not None
        return to_grid(torch.from_numpy(np.array(array)), spec.spectrogram, spec.sample_rate)
    if spec.kind == "text":
        return torch.from_numpy(array.astype(np.int64))
    if spec.kind == "audio":
        symbols = torch.empty(array.shape, dtype=torch.uint8)
        rows = max(1, _SAMPLES // max(1, array.shape[1]))
        for start in range(0, len(array), rows):
            part = torch.from_numpy(np.array(array[start : start + rows]))
            symbols[start : start + rows] = mulaw.encode(part).to(torch.uint8)
        return symbols
    raster = np.array(array.transpose(0, 2, 3, 1), order="C").reshape(len(array), -1)
    return torch.from_numpy(raster)


def _images(prepared: Prepared, split: Split) -> npt.NDArray[np.uint8]:
    """The images of a split; many stay in their file, of which the system keeps what is in use."""
    array: npt.NDArray[np.uint8] = prepared.array(split)
    if array.nbytes <= _IN_MEMORY:
        return np.array(array)
    # Copy on write: torch wants arrays that may be written to, and the file stays as it is.
    mapped: npt.NDArray[np.uint8] = np.load(
        prepared.path / f"{split}.npy", mmap_mode="c", allow_pickle=False
    )
    return mapped


def labels_for(config: ModelConfig, prepared: Prepared, split: Split) -> Tensor | None:
    """Label numbers of a split, int64 N, for a conditional model; None for all others.

    Raises:
        DataError: a conditional model, and the set has no labels of items, or a single one.
    """
    if not config.conditional:
        return None
    found = None if prepared.meta.kind == "text" else prepared.labels(split)
    if found is None:
        raise DataError(
            f"conditional: {prepared.path} holds no labels of items. Say where they come from in "
            f"datasets.{prepared.path.name}.labels and run `dvc repro prepare@"
            f"{prepared.path.name}`, or set conditional to false."
        )
    if len(prepared.meta.labels or ()) < 2:
        raise DataError(
            f"conditional: all items of {prepared.path} have one label, so there is nothing to "
            "condition on; set conditional to false."
        )
    return torch.from_numpy(np.array(found))


def to_symbols(text: str, spec: DataSpec) -> Tensor:
    """A text as the symbols of a model's vocabulary, int64 T.

    Raises:
        ConfigError: it is empty, or has characters that the training split did not have.
    """
    known = {character: i for i, character in enumerate(spec.vocabulary or ()) if i > 1}
    # As line ends are read from files.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    unknown = sorted({character for character in text if character not in known})
    if unknown:
        named = ", ".join(f"{one!r} (U+{ord(one):04X})" for one in unknown[:10])
        raise ConfigError(
            f"{named}: {spec.dataset} has no such character in its training split; leave it out, "
            f"or write it with these: {''.join(known)!r}"
        )
    if not text:
        raise ConfigError("nothing to go on from: give at least one character, or leave it out")
    return torch.tensor([known[character] for character in text])


def from_symbols(symbols: Tensor, spec: DataSpec) -> Tensor | list[str]:
    """What generated symbols stand for.

    Args:
        symbols: int64 N×T.
        spec: of the model that drew them.

    Returns:
        audio: int16 N×T; images: uint8 N×C×H×W; text: N strings, `<s>` as an empty line,
        `<unk>` as U+FFFD.
    """
    if spec.kind == "text":
        vocabulary = spec.vocabulary or ()
        shown = {0: "\ufffd", 1: "\n"}
        return ["".join(shown.get(i, vocabulary[i]) for i in row) for row in symbols.tolist()]
    if spec.kind == "audio":
        return mulaw.decode(symbols)
    assert spec.image_shape is not None
    channels, height, width = spec.image_shape
    pixels = symbols.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    return pixels.to(torch.uint8).contiguous()
