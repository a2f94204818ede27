"""Draws of samples on request: checked arguments, and the samples as values.

`genmint.load`, `genmint sample` and a served model all draw with these functions, so the same seed
gives the same samples in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.common.errors import ConfigError
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec
from genmint.data.views.spectrogram import to_sound
from genmint.models.shared.conditioning import labels_of_class
from genmint.models.shared.family import Family

# Length of a text that is requested without a length, in symbols.
TEXT_LENGTH = 512


def draw_arguments(
    model: Family,
    n: int,
    *,
    length: int | None = None,
    label: str | None = None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of `draw`, checked before anything is drawn.

    Args:
        model: model on any device.
        n: number of samples.
        length: symbols of a text; None: `TEXT_LENGTH`.
        label: class of all samples of a conditional model; None: all classes, with the shares of
            the training split.
        options: a subset of `genmint.models.shared.family.SAMPLING_OPTIONS`.

    Raises:
        ConfigError: the model does not support an option, or the option is out of range.
    """
    spec = model.spec
    if spec.shape and length is not None:
        raise ConfigError(f"length: {spec.dataset} has items of a fixed length; leave it out")
    return {
        "length": None if spec.shape else length or TEXT_LENGTH,
        "labels": labels_of_class(model.classes, label, n),
        **model.sampling_arguments(n, options),
    }


def draw(model: Family, n: int, *, seed: int, arguments: Mapping[str, Any]) -> Tensor | list[str]:
    """Draw n samples, which begin with their prompt if there is one.

    Args:
        model: model on any device.
        n: number of samples.
        seed: the same seed gives the same samples.
        arguments: result of `draw_arguments`.

    Returns:
        uint8 n×C×H×W for images and spectrograms, int16 n×T for audio drawn sample by sample, n
        strings for texts.
    """
    drawn = model.sample(n, seed=seed, **arguments)
    if "prompt" in arguments:
        drawn = torch.cat([arguments["prompt"], drawn], dim=1)
    return drawn if model.spec.view == "grid" else tensors.from_symbols(drawn, model.spec)


def to_clips(samples: Tensor, spec: DataSpec) -> npt.NDArray[np.int16]:
    """Return samples of an audio model as int16 N×T; spectrograms are inverted by Griffin–Lim."""
    if spec.view == "grid":
        assert spec.spectrogram is not None
        assert spec.sample_rate is not None
        assert spec.samples is not None
        samples = to_sound(samples, spec.spectrogram, spec.sample_rate, spec.samples)
    clips: npt.NDArray[np.int16] = samples.numpy()
    return clips
