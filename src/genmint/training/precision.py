"""Which device trains, and in which precision."""

from __future__ import annotations

import torch

from genmint.models.family import Config


def choose_device() -> torch.device:
    """The first GPU that torch sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(config: Config, device: torch.device) -> str:
    """What `precision` means for this model on this device: fp32 or bf16.

    `auto` is bf16 for an RNN where the device multiplies bfloat16 in hardware (AMX on a CPU): its
    steps are large matrix products, and it trains about twice as fast. VAE and GAN keep fp32: their
    layers are small, and a GAN's balance suffers first from rounding.
    """
    if config.precision != "auto":
        return config.precision
    if config.family != "rnn":
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"
