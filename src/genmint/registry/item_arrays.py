"""Arrays of users as tensors of a model, and back: items, class names and latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.common.errors import ConfigError
from genmint.common.reading import shortened
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
    array = as_array(items, "items")
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


def as_array(values: Any, key: str) -> npt.NDArray[Any]:
    """Convert values to an array of any type and shape.

    Raises:
        ConfigError: they are no array, such as rows of different lengths.
    """
    try:
        return np.asarray(values)
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(
            f"{key}: {type(values).__name__} is no array of numbers: its rows must be of one shape"
        ) from None


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
        ConfigError: another type or shape, no rows, or a value that is not finite in float32.
    """
    array = as_array(latents, "latents")
    wanted = " or ".join(f"N×{width}" for width in dict.fromkeys(widths))
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] not in widths:
        raise ConfigError(f"latents: {_described(array)}; the model has float32 {wanted}")
    # A float64 may be finite and exceed the range of float32.
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not len(values) or not np.isfinite(values).all():
        problem = "no rows" if not len(values) else "a value is not finite"
        raise ConfigError(f"latents: {problem}; the model has float32 {wanted}, N ≥ 1")
    return torch.from_numpy(values)


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
    if not isinstance(labels, str | Sequence | np.ndarray):
        raise ConfigError(f"labels: {shortened(labels)} is neither a name nor a list of names")
    names = [labels] * n if isinstance(labels, str) else list(labels)
    if len(names) != n:
        raise ConfigError(f"labels: {len(names)} names for {n} items")
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ConfigError(f"labels: {shortened(name)} is not a class; known: {_few(known)}")
    return torch.tensor([known.index(name) for name in names])


def whole_number(value: Any, key: str, low: int, high: int | None = None) -> int:
    """Return an integer argument.

    Raises:
        ConfigError: not an integer, less than `low`, or more than `high`, if there is a limit.
    """
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < low or (high is not None and value > high):
        limits = f"from {low} on" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{key}: {shortened(value)} is not a whole number {limits}")
    return int(value)


def _fits(array: npt.NDArray[Any], dtype: Any, shape: tuple[int, ...]) -> bool:
    return array.dtype == dtype and array.shape[1:] == shape and array.ndim > 0 and len(array) > 0


def _grid(shape: Sequence[int]) -> str:
    return f"uint8 N×{'×'.join(map(str, shape))}"


def _described(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} {'×'.join(map(str, array.shape)) or 'scalar'}"


def _few(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
