"""Reading what prepare wrote: memory-mapped arrays with a meta.json."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from genmint.config.base import Frozen, from_json
from genmint.config.datasets import Spectrogram
from genmint.data.arrays import load_array
from genmint.data.spec import DataSpec
from genmint.errors import DataError
from genmint.files import read_json, sha256_file

Split = Literal["train", "validation", "test", "confirmation"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "confirmation")


class Meta(Frozen):
    """meta.json of a prepared data set.

    Attributes:
        dataset: name of the block.
        kind: image, audio or text.
        items: number of items (text: documents) in each split.
        shape: of one item: (C, H, W) for images, (T,) for audio, () for text.
        labels: class names in the order of the label numbers; None if unlabelled.
        stacked: class names of a single channel, in the order of their numbers; None where items
            are not stacks of pictures.
        sample_rate: Hz; audio only.
        vocabulary: characters by token id; text only; starts with `<unk>`, `<s>`.
        spectrogram: the grid view's settings; audio only.
        files: sha256 of each array file by its name.
        settings: of the data set entry, as far as the arrays depend on them; None where an older
            version of genmint prepared the set.
    """

    dataset: str
    kind: Literal["image", "audio", "text"]
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
        """As in meta.json, whose hash names the data: a set without stacks has no word of them."""
        return self.model_dump(mode="json", exclude=None if self.stacked else {"stacked"})


@dataclass(frozen=True)
class Prepared:
    """A prepared data set on disk.

    Files: `{split}.npy` (image: uint8 N×C×H×W; audio: int16 N×T; text: uint16 stream of tokens),
    `{split}.labels.npy` (int64 N, if labelled), `train.groups.npy` (int64 N, groups of
    near-duplicates, only where two training items are), `{split}.offsets.npy` (int64 N+1, text
    only: where each document begins in the stream; every document begins with the token `<s>`).
    The split confirmation is empty where it is switched off.
    """

    path: Path

    @cached_property
    def meta(self) -> Meta:
        """What the arrays are.

        Raises:
            GenmintError: not prepared yet.
        """
        path, name = self.path / "meta.json", self.path.name
        raw = read_json(path, f"Run `dvc repro prepare@{name}` to make it.")
        return from_json(Meta, raw, path, f"Run `dvc repro -f prepare@{name}`.", DataError)

    def array(self, split: Split) -> npt.NDArray[Any]:
        """The items of a split, memory-mapped read-only."""
        return self._load(f"{split}.npy")

    def labels(self, split: Split) -> npt.NDArray[np.int64] | None:
        """Label numbers of a split, int64 N, or None for an unlabelled set."""
        return None if self.meta.labels is None else self._load(f"{split}.labels.npy")

    def groups(self) -> npt.NDArray[np.int64] | None:
        """Group of near-duplicates of each training item, int64 N; None where there are none."""
        return self._load("train.groups.npy") if "train.groups.npy" in self.meta.files else None

    def offsets(self, split: Split) -> npt.NDArray[np.int64]:
        """Where each document begins in the stream of a text split; int64 N+1."""
        return self._load(f"{split}.offsets.npy")

    @cached_property
    def sha256(self) -> str:
        """One hash for the whole set: that of meta.json, which holds those of the arrays."""
        return sha256_file(self.path / "meta.json")

    def check(self) -> None:
        """Compare every array with the hash that meta.json gives for it.

        Raises:
            DataError: a file is missing or not what was prepared.
        """
        for name, expected in self.meta.files.items():
            file = self.path / name
            if not file.is_file() or sha256_file(file) != expected:
                raise DataError(
                    f"{file}: missing or changed since it was prepared. "
                    f"Run `dvc repro -f prepare@{self.path.name}`."
                )

    def spec(self, family: Literal["vae", "gan", "rnn"]) -> DataSpec:
        """What a model of `family` must know of this set: grid for VAE and GAN, else sequence."""
        meta = self.meta
        common: dict[str, Any] = {
            "dataset": meta.dataset,
            "kind": meta.kind,
            "labels": meta.labels,
            "sample_rate": meta.sample_rate,
        }
        if meta.kind == "audio":
            common["samples"] = meta.shape[0]
        if family == "rnn":
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
            raise DataError(f"{meta.dataset} is text: a {family} needs a grid")
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
