"""The `drift` map of params.yaml."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveInt


class DriftRule(Frozen):
    """When new data of a set call for a retraining.

    Attributes:
        window: new items that are tested together.
        agree: windows that must have drifted, the latest among them …
        of: … among so many latest ones.
        alpha: chance that a window of data that did not drift is called drifted.
        max_categories: values of a column of words above which it is not tested.
    """

    window: Annotated[int, Field(ge=20)] = 100
    agree: PositiveInt = 2
    of: PositiveInt = 3
    alpha: Annotated[float, Field(ge=0.0001, le=0.2)] = 0.01
    max_categories: Annotated[int, Field(ge=2)] = 50

    @model_validator(mode="after")
    def _can_agree(self) -> Self:
        if self.agree > self.of:
            raise ValueError(f"agree ({self.agree}) must be at most of ({self.of})")
        return self
