"""Settings of the codebook of a VAE with `network: vq`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genmint.config.base import PositiveInt, Share
from genmint.config.models.base import Decay, GridConfig


class CodebookConfig(GridConfig):
    """The keys of vector quantisation (van den Oord et al. 2017)."""

    codes: Annotated[int, Field(ge=2)] = Field(
        512,
        description="Number of codes of network: vq. "
        "Each position of the innermost grid takes one of them. "
        "More codes give finer reconstructions and a longer description, by log2 of their number "
        "per position.",
    )
    code_width: PositiveInt = Field(
        64,
        description="Number of values of a code (network: vq). "
        "Small widths, 8 to 64, keep more codes in use.",
    )
    codebook_decay: Decay = Field(
        0.99,
        description="Decay rate, per step, of the running averages that the codes are computed "
        "from (network: vq). "
        "A code is the average of the encoder's outputs that are assigned to it. "
        "Small batches and few uses per code need rates nearer to 1.",
    )
    commitment: Annotated[float, Field(ge=0.0)] = Field(
        0.25,
        description="Weight of the commitment loss (network: vq): the squared distance of the "
        "encoder's outputs from their codes, summed over a whole item and added to its nats. "
        "0 means off: the outputs then drift away from their codes.",
    )
    restart_codes: Share = Field(
        0.0,
        description="Share of the average use below which a code is replaced by an output of the "
        "encoder for the present batch (network: vq). "
        "0.1 keeps nearly all codes in use, at no cost; without it many codes may become unused. "
        "0 means off.",
    )
