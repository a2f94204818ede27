"""μ-law companding of 16-bit audio to 256 levels (ITU-T G.711's curve, μ = 255)."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 256
_MU = 255.0
_FULL_SCALE = 32768.0


def encode(samples: Tensor) -> Tensor:
    """Encode int16 samples of any shape as int64 symbols 0…255, with silence at 128."""
    x = samples.to(torch.float32) / _FULL_SCALE
    companded = torch.sign(x) * torch.log1p(_MU * x.abs()) / torch.log1p(torch.tensor(_MU))
    # 127 steps on either side of an exact zero, so that silence is decoded as silence.
    return (torch.round(companded * 127) + 128).to(torch.int64).clamp_(0, LEVELS - 1)


def decode(symbols: Tensor) -> Tensor:
    """Decode int64 symbols 0…255 of any shape to int16 samples."""
    y = (symbols.to(torch.float32) - 128) / 127
    y = y.clamp(-1, 1)
    x = torch.sign(y) * torch.expm1(y.abs() * torch.log1p(torch.tensor(_MU))) / _MU
    return (x * _FULL_SCALE).round().clamp(-32768, 32767).to(torch.int16)
