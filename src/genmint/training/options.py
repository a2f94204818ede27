"""Settings that change the speed of a training run, as a combination."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from genmint.config import ModelConfig
from genmint.data.views.spec import DataSpec
from genmint.training.devices import (
    can_compute,
    has_compiler,
    multiplies_bf16,
    resolve_channels_last,
    resolve_compile,
    resolve_precision,
)


@dataclass(frozen=True)
class SpeedOptions:
    """A combination of training settings.

    Attributes:
        precision: fp32, bf16 or fp16.
        compile: whether torch.compile is used.
        channels_last: whether images are stored with channels innermost.
    """

    precision: str
    compile: bool
    channels_last: bool

    def __str__(self) -> str:
        """Return the settings as written in params.yaml."""
        text = f"precision: {self.precision}, compile: {str(self.compile).lower()}"
        return f"{text}, channels_last: true" if self.channels_last else text


def by_rule(config: ModelConfig, device: torch.device) -> SpeedOptions:
    """The settings of a model entry, with `auto` by rule.

    Raises:
        ConfigError: the device cannot compute what is requested.
    """
    precision = resolve_precision(config, device)
    return SpeedOptions(
        precision, resolve_compile(config, device), resolve_channels_last(config, precision)
    )


def possible(config: ModelConfig, spec: DataSpec, device: torch.device) -> Iterator[SpeedOptions]:
    """All settings that a model can be trained with on this device, the plainest first.

    The values of the model entry are ignored.
    """
    offered = ["fp32", "bf16", "fp16"] if device.type == "cuda" else ["fp32", "bf16"]
    compiles = [False, True] if config.compilable and has_compiler(device) else [False]
    layouts = [False, True] if config.convolves and len(spec.shape) == 3 else [False]
    for precision in (name for name in offered if can_compute(config, name, device)):
        for compiled in compiles:
            for layout in layouts:
                yield SpeedOptions(precision, compiled, layout)


def allowed(config: ModelConfig, spec: DataSpec, device: torch.device) -> list[SpeedOptions]:
    """The settings of `possible` that `auto` of a model entry may take, the plainest first.

    They have the values that the entry sets. bf16 is allowed where its models are as good and the
    device multiplies it in hardware; fp16, which overflows, never is.
    """
    bf16 = config.bf16_pays and multiplies_bf16(device)
    precisions = ["fp32", "bf16"] if bf16 else ["fp32"]
    return [
        options
        for options in possible(config, spec, device)
        if options.precision in (precisions if config.precision == "auto" else [config.precision])
        and config.compile in ("auto", options.compile)
        and config.channels_last in ("auto", options.channels_last)
    ]
