"""Settings of a hierarchical VAE."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveInt


class Hierarchy(Frozen):
    """Latents and networks of a VAE with `network: hierarchical`."""

    groups: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = Field(
        (2, 3, 4, 2),
        description="Numbers of groups of latents at each resolution, coarsest first. "
        "The last number is of the resolution of the data; each resolution has half the height and "
        "width of the next. "
        "Groups are drawn one after the other, each given all groups before it. "
        "0 means no latents at that resolution; the first number must be 1 or more. "
        "A step takes time in proportion to the groups of the finest resolution.",
    )
    width: PositiveInt = Field(
        48,
        description="Number of channels of the network, at all resolutions. "
        "Twice the width costs up to four times the time. Not below 16 for photographs.",
    )
    channels: PositiveInt = Field(
        8,
        description="Number of latent channels of a group: it has as many latents per position. "
        "16 in the papers.",
    )
    bottleneck: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5,
        description="Share of the width in the inner layers of each residual block. "
        "0.25 in the papers, whose networks are wide; 0.5 for a width below 100.",
    )

    @model_validator(mode="after")
    def _the_coarsest_resolution_has_latents(self) -> Self:
        if self.groups[0] == 0:
            raise ValueError(
                "groups must begin with 1 or more: a coarsest resolution without latents is the "
                "same for all items"
            )
        return self


class LatentSampling(Frozen):
    """How the latents of a sample are drawn with `network: hierarchical`."""

    temperature: (
        Annotated[float, Field(ge=0.0, le=10.0)]
        | Annotated[tuple[Annotated[float, Field(ge=0.0, le=10.0)], ...], Field(min_length=1)]
    ) = Field(
        1.0,
        description="Factor on the standard deviation of the prior. "
        "A list has one number per resolution of hierarchy.groups, coarsest first. "
        "1 samples from the model itself. "
        "0.7 to 0.9 give more regular samples with less variety. "
        "It has no effect on training and likelihoods.",
    )
