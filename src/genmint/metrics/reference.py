"""reference.json: what models of a data set are judged against."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from genmint.config import Frozen, Protocol, ReferenceConfig
from genmint.config.base import Share, from_json
from genmint.errors import DataError
from genmint.files import read_json, write_json

Observation = Literal["binary", "8bit"]

REFERENCE = "reference.json"


class Baseline(Frozen):
    """Score of a trivial model on the test split.

    Attributes:
        value: of the metric.
        stderr: of the value over the test split; None for metrics of samples.
        observation: what the likelihood is of; None where there is but one kind. A binary pixel and
            an 8-bit one are different random variables, so their likelihoods do not compare.
    """

    value: float
    stderr: float | None = None
    observation: Observation | None = None


class FrozenExtractor(Frozen):
    """Which feature extractor distances are taken in; sha256 is that of its weight file."""

    name: str
    task: Literal["labels", "rotation", "order"]
    accuracy: Share
    sha256: str


class Reference(Frozen):
    """The whole of reference.json.

    Attributes:
        dataset: name of the block.
        data: sha256 of the prepared data set.
        protocol: how samples are drawn and judged.
        extractor: None for text.
        baselines: by metric and name of the baseline.
        noise_floor: by metric: how far real items are from real items, by sampling alone.
        real: by metric: what items of the validation split score in the place of samples, as many
            as the protocol draws, or all where there are fewer.
        pitches: Hz; the notes of the real clips, if they play notes.
        left_out: by metric that has no meaning for this data set: why.
        settings: `reference` of the data set entry; None in one of an older version of genmint.
    """

    dataset: str
    data: str
    protocol: Protocol
    extractor: FrozenExtractor | None
    baselines: dict[str, dict[str, Baseline]]
    noise_floor: dict[str, float]
    real: dict[str, float]
    pitches: tuple[float, ...] | None = None
    left_out: dict[str, str] = Field(default_factory=dict)
    settings: ReferenceConfig | None = None

    def baselines_for(
        self, metrics: dict[str, float], observation: Observation | None
    ) -> dict[str, dict[str, Baseline]]:
        """Those baselines that a model with these metrics and this kind of likelihood faces."""
        fitting = {
            metric: {
                name: entry
                for name, entry in entries.items()
                if entry.observation in (None, observation)
            }
            for metric, entries in self.baselines.items()
            if metric in metrics
        }
        return {metric: entries for metric, entries in fitting.items() if entries}

    def noise_floors_for(
        self, metrics: dict[str, float], observation: Observation | None
    ) -> dict[str, float]:
        """How far chance alone moves each metric.

        For metrics of samples, real against real. For likelihoods, the standard error over the test
        split of the baseline that the model faces; of several, the smallest.
        """
        floors = {name: value for name, value in self.noise_floor.items() if name in metrics}
        for name, entries in self.baselines_for(metrics, observation).items():
            errors = [entry.stderr for entry in entries.values() if entry.stderr is not None]
            if errors:
                floors.setdefault(name, min(errors))
        return floors


def write_reference(folder: Path, reference: Reference) -> None:
    """Write reference.json into `folder`."""
    write_json(folder / REFERENCE, reference.model_dump(mode="json"))


def read_reference(folder: Path) -> Reference:
    """Read it back.

    Raises:
        GenmintError: missing or not JSON.
        DataError: not a reference.
    """
    way_out = f"Run `dvc repro -f reference@{folder.name}` to make it."
    path = folder / REFERENCE
    return from_json(Reference, read_json(path, way_out), path, way_out, DataError)
