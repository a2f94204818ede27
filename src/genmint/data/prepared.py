"""Access to prepared data: memory-mapped arrays with a meta.json."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from genmint.common.errors import DataError
from genmint.common.files import read_json, sha256_file
from genmint.common.layout import META
from genmint.config.base import Frozen, Kind, from_json
from genmint.config.datasets import Spectrogram
from genmint.config.models.base import View
from genmint.data.arrays import load_array
from genmint.data.splitting.fingerprints import Fingerprints
from genmint.data.views.spec import DataSpec

Split = Literal["train", "validation", "test", "confirmation"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "confirmation")
# Splits used for the comparison of models.
HELD_OUT: tuple[Split, ...] = ("test", "confirmation")
TRAINED = "train.items.npy"


class Meta(Frozen):
    """Content of meta.json of a prepared data set.

    Attributes:
        dataset: name of the data set entry.
        kind: image, audio or text.
        items: number of items (text: documents) in each split.
        shape: shape of one item: (C, H, W) for images, (T,) for audio, () for text.
        labels: class names in the order of the label numbers; None if unlabelled.
        stacked: class names of a single channel, in the order of their numbers; None if items are
            not stacks of images.
        sample_rate: sample rate in Hz; audio only.
        vocabulary: characters by token id; text only; starts with `<unk>`, `<s>`.
        spectrogram: settings of the grid view; audio only.
        files: sha256 of each array file by name.
        settings: settings of the data set entry that the arrays depend on; None if an older genmint
            prepared the set.
    """

    dataset: str
    kind: Kind
    items: dict[str, int]
    shape: tuple[int, ...]
    labels: tuple[str, ...] | None = None
    stacked: tuple[str, ...] | None = None
    sample_rate: int | None = None
    vocabulary: tuple[str, ...] | None = None
    spectrogram: Spectrogram | None = None
    files: dict[str, str]
    settings: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_the_shape_of_its_kind(self) -> Self:
        dimensions = {"image": 3, "audio": 1, "text": 0}[self.kind]
        if len(self.shape) != dimensions or min(self.shape, default=1) < 1:
            raise ValueError(f"items of kind {self.kind} have {dimensions} dimensions")
        return self

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, whose hash identifies the data; `stacked` is omitted if unused."""
        return self.model_dump(mode="json", exclude=None if self.stacked else {"stacked"})


@dataclass(frozen=True)
class Prepared:
    """A prepared data set on disk.

    Files: `{split}.npy` (image: uint8 N×C×H×W; audio: int16 N×T; text: uint16 stream of tokens),
    `{split}.labels.npy` (int64 N, if labelled), `train.groups.npy` (int64 N, near-duplicate groups,
    only if training items are near-duplicates), `{split}.offsets.npy` (int64 N+1, text only: start
    of each document in the stream; every document begins with the token `<s>`), `train.items.npy`
    and `{split}.origins.npy` (fingerprints, see `trained` and `origins`), `{split}.unknown.npy`
    (text only, see `unknown`). The confirmation split is empty if it is switched off.
    """

    path: Path

    @cached_property
    def meta(self) -> Meta:
        """Metadata of the arrays.

        Raises:
            GenmintError: the data are not prepared yet.
        """
        path, name = self.path / META, self.path.name
        raw = read_json(path, f"Run `dvc repro prepare@{name}` to make it.")
        return from_json(Meta, raw, path, f"Run `dvc repro -f prepare@{name}`.", DataError)

    def array(self, split: Split) -> npt.NDArray[Any]:
        """Return the items of a split, memory-mapped read-only."""
        return self._load(f"{split}.npy")

    def labels(self, split: Split) -> npt.NDArray[np.int64] | None:
        """Return the label numbers of a split, int64 N, or None for an unlabelled set."""
        return None if self.meta.labels is None else self._load(f"{split}.labels.npy")

    def groups(self) -> npt.NDArray[np.int64] | None:
        """Return the near-duplicate group of each training item, int64 N; None without any."""
        return self._load("train.groups.npy") if "train.groups.npy" in self.meta.files else None

    def offsets(self, split: Split) -> npt.NDArray[np.int64]:
        """Return the start of each document in the stream of a text split; int64 N+1."""
        return self._load(f"{split}.offsets.npy")

    def trained(self) -> Fingerprints:
        """Return the fingerprints of the training data, sorted; uint64 N.

        There is one per item (per image of a stack), or per 64 characters of a text.
        """
        return self._load(TRAINED)

    def origins(self, split: Split) -> Fingerprints:
        """Return the fingerprints that belong to items of test or confirmation; uint64 K×2.

        Each row has the number of an item and a fingerprint: of the item itself, of a
        near-duplicate that was left out, or of an image in its stack. Rows are sorted by item
        number. Not available for text.
        """
        return self._load(f"{split}.origins.npy")

    def unknown(self, split: Split) -> npt.NDArray[np.int64]:
        """Return the `<unk>` characters of a held-out text: stream position, code point; K×2."""
        return self._load(f"{split}.unknown.npy")

    def codes(self, split: Split) -> npt.NDArray[np.uint32]:
        """Return the code points of a held-out text, one per token of its stream; 0 for `<s>`."""
        vocabulary = self.meta.vocabulary or ()
        known = np.array([0, 0, *(ord(one) for one in vocabulary[2:])], dtype=np.uint32)
        symbols: npt.NDArray[np.uint32] = known[self.array(split)]
        unknown = self.unknown(split)
        symbols[unknown[:, 0]] = unknown[:, 1]
        return symbols

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole set: that of meta.json, which contains the hashes of the arrays."""
        return sha256_file(self.path / META)

    def check(self) -> None:
        """Compare every array with its hash in meta.json.

        Raises:
            DataError: a file is missing or was modified.
        """
        for name, expected in self.meta.files.items():
            file = self.path / name
            if not file.is_file() or sha256_file(file) != expected:
                raise DataError(
                    f"{file}: missing or changed since it was prepared. "
                    f"Run `dvc repro -f prepare@{self.path.name}`."
                )

    def spec(self, view: View) -> DataSpec:
        """What a model that sees this view must know of the set.

        Raises:
            DataError: a grid of text, which has none.
        """
        meta = self.meta
        common: dict[str, Any] = {
            "dataset": meta.dataset,
            "kind": meta.kind,
            "labels": meta.labels,
            "sample_rate": meta.sample_rate,
        }
        if meta.kind == "audio":
            common["samples"] = meta.shape[0]
        if view == "sequence":
            if meta.kind == "text":
                vocabulary = meta.vocabulary or ()
                return DataSpec(
                    view="sequence",
                    shape=(),
                    symbols=len(vocabulary),
                    vocabulary=vocabulary,
                    **common,
                )
            image_shape = meta.shape if meta.kind == "image" else None
            length = int(np.prod(meta.shape))
            return DataSpec(
                view="sequence", shape=(length,), symbols=256, image_shape=image_shape, **common
            )
        if meta.kind == "text":
            raise DataError(f"{meta.dataset} is text, which has no grid")
        if meta.kind == "image":
            return DataSpec(view="grid", shape=meta.shape, **common)
        spectrogram = meta.spectrogram or Spectrogram()
        frames = 1 + meta.shape[0] // spectrogram.hop
        return DataSpec(
            view="grid",
            shape=(1, spectrogram.mels, frames),
            spectrogram=spectrogram,
            **common,
        )

    def _load(self, name: str) -> npt.NDArray[Any]:
        way_out = f"Run `dvc repro -f prepare@{self.path.name}`."
        return load_array(self.path / name, way_out, mapped=True)
