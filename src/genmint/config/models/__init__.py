"""The `models` map of params.yaml: the entry of each family, and the table of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Union

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from genmint.config.models.base import (
    Augmentation,
    Batching,
    DecaySchedule,
    GridConfig,
    ModelConfig,
    Optimiser,
    Recovery,
    View,
)
from genmint.config.models.gan import Ada, GANConfig, Penalty
from genmint.config.models.hierarchy import Hierarchy, LatentSampling
from genmint.config.models.rnn import RNNConfig, SamplingConfig
from genmint.config.models.sampler import Sampler
from genmint.config.models.vae import KLWarmup, SecondLevel, VAEConfig

__all__ = [
    "BLOCKS",
    "Ada",
    "AnyModel",
    "Augmentation",
    "Batching",
    "DecaySchedule",
    "GANConfig",
    "GridConfig",
    "Hierarchy",
    "KLWarmup",
    "LatentSampling",
    "ModelConfig",
    "Optimiser",
    "Penalty",
    "RNNConfig",
    "Recovery",
    "Sampler",
    "SamplingConfig",
    "SecondLevel",
    "VAEConfig",
    "View",
    "families_that",
]

# Class of each family's model entry, by the value of `family:` in params.yaml. The corresponding
# table of models is in `genmint.models.shared.families`, which needs torch.
BLOCKS: dict[str, type[ModelConfig]] = {"vae": VAEConfig, "gan": GANConfig, "rnn": RNNConfig}


def families_that(answer: Callable[[type[ModelConfig]], bool]) -> str:
    """Return the families whose settings class satisfies `answer`, for a message: `vae or rnn`."""
    return " or ".join(name for name, block in BLOCKS.items() if answer(block))


class _ByFamily:
    """Makes pydantic validate a model entry as the class in BLOCKS for its `family`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        blocks: Any = Union[tuple(BLOCKS.values())]  # noqa: UP007 - known at run time only
        return handler.generate_schema(Annotated[blocks, Field(discriminator="family")])


# Type of a field that contains a model entry of any family.
AnyModel = Annotated[ModelConfig, _ByFamily()]
