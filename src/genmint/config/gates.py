"""The `gates` map of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genmint.config.base import Frozen, Key, PositiveFloat, PositiveInt, Share


class Bound(Frozen):
    """What a metric must reach: an absolute bound, a skill, a baseline, or several of them."""

    min: float | None = Field(
        None,
        description="Smallest value that passes, in the unit of the metric (nats for elbo; a "
        "distance has no unit). For metrics of which higher is better. null means none.",
    )
    max: float | None = Field(
        None,
        description="Largest value that passes, in the unit of the metric. "
        "For metrics of which lower is better. null means none.",
    )
    skill: Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(
        None,
        description="Smallest skill that passes: 0 is the best trivial baseline of the metric, 1 "
        "is real data. It means the same on every data set. Not for likelihoods, which need "
        "baseline. null means none.",
    )
    baseline: str | None = Field(
        None,
        description="Model or codec of the data set's reference that must be beaten by more than "
        "margin, for example pixel_bernoulli, mean_plus_noise, trigram, order_1, png or xz. "
        "null means none.",
    )
    margin: Annotated[float, Field(ge=0.0)] = Field(
        0.0,
        description="Difference by which the baseline must be exceeded, in the unit of the metric. "
        "Raise it to refuse models that learn little.",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is not None and self.max is not None:
            raise ValueError("give min (higher is better) or max (lower is better), and only one")
        if self.min is None and self.max is None and self.skill is None and self.baseline is None:
            raise ValueError("bounds nothing: give min or max, skill or baseline")
        return self


class Health(Frozen):
    """Limits on symptoms of a failed training run."""

    max_nonfinite: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Largest number of NaN or infinite losses during training. "
        "Use 0 unless recoveries are expected.",
    )
    max_recoveries: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Largest number of times that training went back to an earlier state. "
        "null means no limit.",
    )
    min_active_units: PositiveInt | None = Field(
        None,
        description="Smallest number of latent dimensions that a VAE must use. "
        "Fewer indicate a collapsed posterior. null means no limit.",
    )
    min_coverage: Share | None = Field(
        None,
        description="Smallest share of held-out items that must have a sample among their "
        "neighbours. "
        "A smaller share indicates that kinds of items are left out. "
        "Not for text. null means no limit.",
    )


class Memorisation(Frozen):
    """Limits on samples that reproduce training data. At least one key must be set."""

    max_copied: Share | None = Field(
        None,
        description="Largest share of samples that are closer to a training item than 99 % of "
        "the held-out items are. "
        "By chance it is 0.01. null means no limit.",
    )
    min_copying_z: float | None = Field(
        None,
        description="Smallest z-score of the data-copying test, in standard deviations. "
        "It is well below 0 if samples are closer to training items than held-out items are; "
        "-5 is usual. null means no limit.",
    )
    max_near_duplicates: Share | None = Field(
        None,
        description="Largest share of samples that are nearly identical to a training item. "
        "null means no limit.",
    )
    min_authenticity: Share | None = Field(
        None,
        description="Smallest share of samples that are not closer to a training item than other "
        "training items are. null means no limit.",
    )
    max_copy_ratio: PositiveFloat | None = Field(
        None,
        description="Largest ratio, without unit, of the longest copy of training text in the "
        "samples to the longest one in held-out text. "
        "Text only; 2 is usual. null means no limit.",
    )

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if all(value is None for value in self.model_dump().values()):
            raise ValueError("has no bound: set one, or remove it")
        return self


class CostBudget(Frozen):
    """Budgets for training and using a model. Times depend on the machine that measured them."""

    max_parameters: PositiveInt | None = Field(
        None, description="Largest number of weights of the model. null means no limit."
    )
    max_megabytes: PositiveFloat | None = Field(
        None, description="Largest size of the weight file, in MB (10⁶ bytes). null means no limit."
    )
    max_train_seconds: PositiveFloat | None = Field(
        None,
        description="Longest wall-clock time of the training run, in seconds. "
        "It depends on the machine. null means no limit.",
    )
    max_sample_milliseconds: PositiveFloat | None = Field(
        None,
        description="Longest median time to draw a single sample, in milliseconds. "
        "It depends on the machine. null means no limit.",
    )


class ChampionRule(Frozen):
    """Metrics in which a challenger must be better than the champion, or not worse.

    The margins cover the spread between training runs that differ only by seed
    (`genmint spread`), so the confidence is the only number to choose.
    """

    superior: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="Metrics in which the challenger must be better than the champion. "
        "The difference must exceed that of training runs that differ only by seed, which "
        "`genmint spread NAME` measures. At least one metric."
    )
    non_inferior: tuple[str, ...] = Field(
        (),
        description="Metrics in which the challenger must not be worse than the champion. "
        "A deficit as large as between training runs that differ only by seed is allowed.",
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(
        0.95,
        description="Confidence level of every interval and margin, without unit. "
        "A higher level gives fewer false promotions and misses more true improvements.",
    )

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        names = [*self.superior, *self.non_inferior]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice: superior already means not worse")
        return self


class Gate(Frozen):
    """Checks that a model must pass before it can be promoted."""

    mode: Literal["enforce", "dry-run"] = Field(
        "enforce",
        description="What follows from a passed gate. "
        "enforce: the model may become champion. "
        "dry-run: the model is judged and registered, but no alias moves. "
        "Use dry-run to try a new gate on a model that people use.",
    )
    allow_overrides: bool = Field(
        False,
        description="Whether a person may overrule the gate in MLflow. "
        "false: an alias that was moved to a version which failed its gate is reverted. "
        "true: it stays if the version has the tag override with the reason, which is recorded in "
        "the journal. "
        "For emergencies; see docs/registry.md.",
    )
    thresholds: Annotated[dict[Key, Bound], Field(min_length=1)] = Field(
        description="Bounds on metrics of metrics/NAME.json, by name. "
        "All must hold. A metric that is missing or not finite fails. "
        "At least one metric."
    )
    health: Health = Field(
        Health(), description="Limits on symptoms of a failed training run, such as NaN losses."
    )
    memorisation: Memorisation | None = Field(
        None,
        description="Limits on samples that reproduce training data. "
        "At least one key must be set. null means no check.",
    )
    cost: CostBudget = Field(
        CostBudget(),
        description="Budgets for size, training time and sampling time. "
        "Example: {max_parameters: 1000000, max_megabytes: 4.0, max_train_seconds: 300.0, "
        "max_sample_milliseconds: 50.0}.",
    )
    champion: ChampionRule = Field(description="Rule by which a model replaces the champion.")
