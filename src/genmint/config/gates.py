"""The `gates` map of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, PositiveFloat, PositiveInt


class Bound(Frozen):
    """An absolute bound on a metric, and the trivial baseline that it must beat as well."""

    min: float | None = None
    max: float | None = None
    baseline: str | None = None
    margin: Annotated[float, Field(ge=0.0)] = 0.0

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if (self.min is None) == (self.max is None):
            raise ValueError("give min (higher is better) or max (lower is better), and only one")
        return self


class Health(Frozen):
    """Limits on what training showed."""

    max_nonfinite: Annotated[int, Field(ge=0)] = 0
    min_active_units: PositiveInt | None = None


class Memorisation(Frozen):
    """Veto on models that replay their training data."""

    max_copied: PositiveFloat


class CostBudget(Frozen):
    """What a model may cost to train and to use."""

    max_parameters: PositiveInt | None = None
    max_megabytes: PositiveFloat | None = None
    max_train_seconds: PositiveFloat | None = None
    max_sample_milliseconds: PositiveFloat | None = None


class ChampionRule(Frozen):
    """By which metric, and by how much, a challenger must beat the champion."""

    metric: str
    noise_floors: Annotated[float, Field(ge=0.0)] = 1.0


class Gate(Frozen):
    """What stands between a model and promotion."""

    mode: Literal["enforce", "dry-run"] = "enforce"
    allow_overrides: bool = False
    thresholds: Annotated[dict[str, Bound], Field(min_length=1)]
    health: Health = Health()
    memorisation: Memorisation | None = None
    cost: CostBudget = CostBudget()
    champion: ChampionRule
