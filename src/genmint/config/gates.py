"""The `gates` map of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, Key, PositiveFloat, PositiveInt, Share


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
    max_recoveries: Annotated[int, Field(ge=0)] | None = None
    min_active_units: PositiveInt | None = None
    min_coverage: Share | None = None


class Memorisation(Frozen):
    """Veto on models that replay their training data."""

    max_copied: Share | None = None
    min_copying_z: float | None = None
    max_near_duplicates: Share | None = None
    min_authenticity: Share | None = None
    max_copy_ratio: PositiveFloat | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if all(value is None for value in self.model_dump().values()):
            raise ValueError("asks nothing: give it a bound, or leave it out")
        return self


class CostBudget(Frozen):
    """What a model may cost to train and to use."""

    max_parameters: PositiveInt | None = None
    max_megabytes: PositiveFloat | None = None
    max_train_seconds: PositiveFloat | None = None
    max_sample_milliseconds: PositiveFloat | None = None


class ChampionRule(Frozen):
    """In which metrics a challenger must be better than the champion, and in which not worse.

    The bounds are margins that cover the spread between trainings which differ only by seed
    (`genmint spread`), so there is no number to choose but the confidence.
    """

    superior: Annotated[tuple[str, ...], Field(min_length=1)]
    non_inferior: tuple[str, ...] = ()
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        names = [*self.superior, *self.non_inferior]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice: superior already means not worse")
        return self


class Gate(Frozen):
    """What stands between a model and promotion."""

    mode: Literal["enforce", "dry-run"] = "enforce"
    allow_overrides: bool = False
    thresholds: Annotated[dict[Key, Bound], Field(min_length=1)]
    health: Health = Health()
    memorisation: Memorisation | None = None
    cost: CostBudget = CostBudget()
    champion: ChampionRule
