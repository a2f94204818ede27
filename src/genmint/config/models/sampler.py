"""Settings of what the latents of a VAE's samples are drawn from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genmint.config.base import Frozen, PositiveInt

# Most latents that a mixture is fitted to. A covariance of 256 latents has 33,000 values, which are
# estimated from some 10,000 draws, and each component stores one.
MIXED_LATENTS = 256


class Sampler(Frozen):
    """Distribution that the latents of samples are drawn from."""

    name: Literal["prior", "gmm"] = Field(
        "prior",
        description="Distribution of the latents. prior: that of the model. "
        "gmm: a Gaussian mixture, fitted to the latents of the training split after training "
        "(Ghosh et al. 2020). "
        "Use it if reconstructions are good and samples are not. "
        "It has no effect on likelihoods. "
        "Fitting takes seconds for 16 latents, and minutes for 256, which are the most.",
    )
    components: PositiveInt = Field(
        10,
        description="Number of components of gmm, each with a full covariance. "
        "10 in the paper; with many more, samples resemble training items. "
        "A conditional model has as many for each class. No effect with prior.",
    )

    def problem(self, latents: int) -> str | None:
        """Why a distribution of so many latents cannot be fitted; None if it can."""
        if self.name == "prior" or latents <= MIXED_LATENTS:
            return None
        return f"sampler.name: gmm takes at most {MIXED_LATENTS}"
