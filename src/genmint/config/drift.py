"""The `drift` map of params.yaml."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveInt


class DriftRule(Frozen):
    """Rule by which new data of a data set call for a retraining."""

    window: Annotated[int, Field(ge=20)] = Field(
        100,
        description="Number of new items that are tested together. "
        "A larger window detects smaller changes, and later. "
        "With 100, a column that moved by half a standard deviation is detected 8 times in 10.",
    )
    agree: PositiveInt = Field(
        2,
        description="Number of windows that must have drifted, the latest among them, out of the "
        "latest `of` windows. "
        "With 1, a single unusual delivery starts a retraining.",
    )
    of: PositiveInt = Field(
        3,
        description="Number of latest windows of which `agree` must have drifted.",
    )
    alpha: Annotated[float, Field(ge=0.0001, le=0.2)] = Field(
        0.01,
        description="Probability of calling a window drifted although nothing changed, over all of "
        "its tests together. "
        "A smaller value gives fewer false alarms and misses more changes.",
    )
    max_categories: Annotated[int, Field(ge=2)] = Field(
        50,
        description="Number of different values above which a column of words is not tested.",
    )

    @model_validator(mode="after")
    def _can_agree(self) -> Self:
        if self.agree > self.of:
            raise ValueError(f"agree ({self.agree}) must be at most of ({self.of})")
        return self
