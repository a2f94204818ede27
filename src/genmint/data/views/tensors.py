"""Loading of data as grid or sequence tensors, the two views of model families."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.common.errors import ConfigError, DataError, MismatchError
from genmint.common.reading import shortened
from genmint.config import ModelConfig
from genmint.data.prepared import Prepared, Split
from genmint.data.views import mulaw
from genmint.data.views.spec import DataSpec
from genmint.data.views.spectrogram import to_grid

# Bytes of images that are read into memory as a whole.
_IN_MEMORY = 1 << 26
# Index of `<s>` in every vocabulary.
_START = 1
# Known characters that a message lists; Chinese texts have thousands.
_SHOWN = 200
# Audio samples encoded at a time.
_SAMPLES = 1 << 23


def load(prepared: Prepared, split: Split, spec: DataSpec) -> Tensor:
    """Load a whole split in the view of `spec`.

    Returns:
        grid: uint8 N×C×H×W (images; log-mel spectrograms of clips).
        sequence: uint8 N×T symbols (clips in μ-law; images in raster order: row by row, with the
            channels of a pixel side by side), or the int64 stream of a text.

    Symbols of items stay in 8 bits, an eighth of the size of int64; batches convert them.
    """
    array = prepared.array(split)
    if spec.view == "grid":
        if spec.kind == "image":
            return torch.from_numpy(_images(prepared, split))
        assert spec.spectrogram is not None
        assert spec.sample_rate is not None
        return to_grid(torch.from_numpy(np.array(array)), spec.spectrogram, spec.sample_rate)
    if spec.kind == "text":
        if spec.vocabulary == prepared.meta.vocabulary:
            return torch.from_numpy(array.astype(np.int64))
        return torch.from_numpy(_encoded(prepared, split, spec.vocabulary or ()))
    if spec.kind == "audio":
        symbols = torch.empty(array.shape, dtype=torch.uint8)
        rows = max(1, _SAMPLES // max(1, array.shape[1]))
        for start in range(0, len(array), rows):
            part = torch.from_numpy(np.array(array[start : start + rows]))
            symbols[start : start + rows] = mulaw.encode(part).to(torch.uint8)
        return symbols
    raster = np.array(array.transpose(0, 2, 3, 1), order="C").reshape(len(array), -1)
    return torch.from_numpy(raster)


def _encoded(prepared: Prepared, split: Split, vocabulary: Sequence[str]) -> npt.NDArray[np.int64]:
    """Encode a held-out text in another vocabulary than that of its own training split."""
    codes = prepared.codes(split)
    known = np.array([ord(one) for one in vocabulary[2:]], dtype=np.uint32)
    order = np.argsort(known)
    tokens = np.zeros(codes.shape, dtype=np.int64)
    if len(known):
        places = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
        tokens = np.where(known[order][places] == codes, order[places] + 2, 0)
    return np.where(prepared.array(split) == _START, _START, tokens).astype(np.int64)


def positions_in(
    names: Sequence[str] | None, others: Sequence[str] | None
) -> npt.NDArray[np.int64]:
    """Return the index of each of `names` in `others`, −1 if it is missing; int64 N."""
    numbers = {name: number for number, name in enumerate(others or ())}
    return np.array([numbers.get(name, -1) for name in names or ()], dtype=np.int64)


def _images(prepared: Prepared, split: Split) -> npt.NDArray[np.uint8]:
    """Return the images of a split; a large split is memory-mapped to load used pages only."""
    array: npt.NDArray[np.uint8] = prepared.array(split)
    if array.nbytes <= _IN_MEMORY:
        return np.array(array)
    # Copy-on-write, because torch requires writable arrays, and the file must not change.
    mapped: npt.NDArray[np.uint8] = np.load(
        prepared.path / f"{split}.npy", mmap_mode="c", allow_pickle=False
    )
    return mapped


def labels_for(
    config: ModelConfig, prepared: Prepared, split: Split, known: Sequence[str] | None = None
) -> Tensor | None:
    """Return the label numbers of a split, int64 N, for a conditional model; None for others.

    Args:
        config: model entry.
        prepared: the data set.
        split: split of the data set.
        known: class names of the model, in its order; None for those of the data set.

    Raises:
        DataError: the model is conditional, but the set has no labels of items, or a single one.
        MismatchError: an item has a class that the model does not know.
    """
    if not config.conditional:
        return None
    labels = None if prepared.meta.kind == "text" else prepared.labels(split)
    if labels is None:
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
    if known is not None and tuple(known) != prepared.meta.labels:
        labels = positions_in(prepared.meta.labels, known)[labels]
        if (labels < 0).any():
            raise MismatchError(
                f"{(labels < 0).sum()} items of {prepared.path} have classes that the model was "
                "not trained on"
            )
    return torch.from_numpy(np.array(labels))


def to_symbols(text: str, spec: DataSpec) -> Tensor:
    """Encode a text in the symbols of a model's vocabulary, int64 T.

    Raises:
        ConfigError: the text is empty, or has characters that the training split did not have.
    """
    known = {character: i for i, character in enumerate(spec.vocabulary or ()) if i > 1}
    # Files are read with the same conversion of line ends.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    unknown = sorted({character for character in text if character not in known})
    if unknown:
        named = ", ".join(f"{one!r} (U+{ord(one):04X})" for one in unknown[:10])
        raise ConfigError(
            f"{named}: not in the training split of {spec.dataset}; leave it out, or use only "
            f"these characters: {shortened(''.join(known), _SHOWN)}"
        )
    if not text:
        raise ConfigError("it is empty: give at least one character, or leave it out")
    return torch.tensor([known[character] for character in text])


def from_symbols(symbols: Tensor, spec: DataSpec) -> Tensor | list[str]:
    """Decode generated symbols.

    Args:
        symbols: int64 N×T.
        spec: specification of the model that generated them.

    Returns:
        audio: int16 N×T; images: uint8 N×C×H×W; text: N strings, with `<s>` as an empty line and
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
