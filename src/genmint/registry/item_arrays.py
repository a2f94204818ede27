"""Arrays of users as tensors of a model, and back: items, class names and latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.common.errors import ConfigError
from genmint.data.views import mulaw, tensors
from genmint.data.views.spec import DataSpec
from genmint.data.views.spectrogram import to_grid
from genmint.models.shared.family import Family

# Symbol that begins each document of a text.
_START = 1


def described_items(spec: DataSpec) -> str:
    """Return what one call of a model takes and gives, as type and shape."""
    if spec.kind == "text":
        return "a list of strings"
    if spec.kind == "audio":
        clips = f"int16 N×{spec.samples} at {spec.sample_rate} Hz"
        return f"{clips}, or spectrograms {_grid(spec.shape)}" if spec.view == "grid" else clips
    return _grid(spec.image_shape or spec.shape)


def items_tensor(items: Any, spec: DataSpec) -> Tensor:
    """Convert items to the view of a model.

    Args:
        items: images uint8 N×C×H×W; clips int16 N×T; for a model of spectrograms clips, or
            spectrograms uint8 N×1×H×W.
        spec: specification of the model's data; not of text.

    Returns:
        uint8 N×C×H×W for grids, int64 N×T symbols for sequences.

    Raises:
        ConfigError: another type or shape, or no items.
    """
    array = np.asarray(items)
    if spec.kind == "audio" and _fits(array, np.int16, (spec.samples or 0,)):
        clips = torch.from_numpy(np.array(array))
        if spec.view == "sequence":
            return mulaw.encode(clips)
        assert spec.spectrogram is not None
        assert spec.sample_rate is not None
        return to_grid(clips, spec.spectrogram, spec.sample_rate)
    shape = spec.shape if spec.view == "grid" else spec.image_shape
    if shape is None or not _fits(array, np.uint8, shape):
        raise ConfigError(
            f"items: {_described(array)}; {spec.dataset} has {described_items(spec)}, N ≥ 1"
        )
    if spec.view == "grid":
        return torch.from_numpy(np.array(array))
    return torch.from_numpy(array.transpose(0, 2, 3, 1).reshape(len(array), -1).astype(np.int64))


def text_symbols(text: Any, spec: DataSpec) -> Tensor:
    """Convert a text to int64 symbols that begin with the start of a document.

    Raises:
        ConfigError: not a text, empty, or with characters that the training split did not have.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{type(text).__name__} is not text")
    return torch.cat([torch.tensor([_START]), tensors.to_symbols(text, spec)])


def latents_tensor(latents: Any, widths: Sequence[int]) -> Tensor:
    """Convert latents to float32 N×L.

    Args:
        latents: N×L numbers.
        widths: values of L that the model accepts.

    Raises:
        ConfigError: another type or shape, no rows, or a value that is not finite.
    """
    array = np.asarray(latents)
    wanted = " or ".join(f"N×{width}" for width in dict.fromkeys(widths))
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] not in widths:
        raise ConfigError(f"latents: {_described(array)}; the model has float32 {wanted}")
    if not len(array) or not np.isfinite(array).all():
        problem = "no rows" if not len(array) else "a value is not finite"
        raise ConfigError(f"latents: {problem}; the model has float32 {wanted}, N ≥ 1")
    return torch.from_numpy(array.astype(np.float32))


def labels_tensor(model: Family, labels: Any, n: int, *, needed: bool) -> Tensor | None:
    """Convert class names to label numbers, int64 n; None if there are none.

    Args:
        model: a model.
        labels: one name for all, n names, or None.
        n: number of items or samples.
        needed: whether a conditional model must be given labels.

    Raises:
        ConfigError: the model is not conditional, or is and needs them; a class that it does not
            know; another number of names.
    """
    known = None if model.classes is None else model.classes.names
    if labels is None:
        if needed and known is not None:
            raise ConfigError(
                f"labels: the model is conditional: name the class of each item, of {_few(known)}"
            )
        return None
    if known is None:
        raise ConfigError("labels: only a model with conditional: true takes labels; leave it out")
    names = [labels] * n if isinstance(labels, str) else list(labels)
    if len(names) != n:
        raise ConfigError(f"labels: {len(names)} names for {n} items")
    for name in names:
        if name not in known:
            raise ConfigError(f"labels: {name!r} is not a class; known: {_few(known)}")
    return torch.tensor([known.index(name) for name in names])


def whole_number(value: Any, key: str, low: int) -> int:
    """Return an integer argument.

    Raises:
        ConfigError: not an integer, or less than `low`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ConfigError(f"{key}: {value!r} is not a whole number from {low} on")
    return int(value)


def _fits(array: npt.NDArray[Any], dtype: Any, shape: tuple[int, ...]) -> bool:
    return array.dtype == dtype and array.shape[1:] == shape and array.ndim > 0 and len(array) > 0


def _grid(shape: Sequence[int]) -> str:
    return f"uint8 N×{'×'.join(map(str, shape))}"


def _described(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} {'×'.join(map(str, array.shape)) or 'scalar'}"


def _few(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
