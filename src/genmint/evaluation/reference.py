"""reference.json: baselines, noise floors and settings for measuring models of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from genmint.common.errors import DataError
from genmint.common.files import read_json, sha256_file, write_json
from genmint.common.layout import EXTRACTOR
from genmint.config import Frozen, Protocol, ReferenceConfig
from genmint.config.base import Share, from_json
from genmint.config.metric_catalogue import CODECS, STDERR
from genmint.data.views.spec import Observation
from genmint.evaluation.stored_network import remedy

REFERENCE = "reference.json"


class Baseline(Frozen):
    """Score of a trivial model, or of a lossless codec, on the test split.

    Attributes:
        value: value of the metric.
        stderr: standard error of the value over the test split; None for metrics of samples, and
            for a codec of the whole split.
        observation: type of random variable that the likelihood refers to; None if there is only
            one type. Likelihoods of binary and of 8-bit pixels cannot be compared.
    """

    value: float
    stderr: float | None = None
    observation: Observation | None = None


class FrozenExtractor(Frozen):
    """The feature extractor of the distances.

    Attributes:
        name: name of the features, the suffix of the distances' names.
        task: task that it was trained on. For a named extractor that of the data set's own
            classifier (labels), or named without one.
        accuracy: share of correct answers on the test split; None for a named extractor without a
            classifier.
        sha256: hash of the weight file.
    """

    name: str
    task: Literal["labels", "rotation", "order", "next_character", "named"]
    accuracy: Share | None
    sha256: str


class Reference(Frozen):
    """Content of reference.json.

    Attributes:
        dataset: name of the data set.
        data: sha256 of the prepared data set.
        protocol: how samples are drawn and measured.
        extractor: feature extractor, or reference network of a text; None for a text in a file of
            an older version of genmint.
        baselines: baselines by metric and name.
        noise_floor: by metric, the difference between real items that is due to sampling alone.
        real: by metric, the score of items of the validation split in place of samples. Their
            number is that of the protocol, or all if there are fewer.
        pitches: notes of the real clips in Hz, if they play notes.
        left_out: by metric that does not apply to this data set, the reason.
        unfit: by metric that cannot tell real items from corrupted ones, the reason, see
            `genmint.evaluation.fitness`; None in a file of an older version of genmint.
        settings: `reference` of the data set entry; None in a file of an older version of genmint.
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
    unfit: dict[str, str] | None = None
    settings: ReferenceConfig | None = None

    def baselines_for(
        self, metrics: dict[str, float], observation: Observation | None
    ) -> dict[str, dict[str, Baseline]]:
        """Return the baselines that apply to a model with these metrics and observation type."""
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

    def real_for(self, metrics: dict[str, float]) -> dict[str, float]:
        """Return the scores of real data in these metrics, with their standard errors."""
        return {
            name: value for name, value in self.real.items() if name.removesuffix(STDERR) in metrics
        }

    def noise_floors_for(
        self, metrics: dict[str, float], observation: Observation | None
    ) -> dict[str, float]:
        """Return the noise floor of each metric.

        For metrics of samples it is the difference between two sets of real items. For likelihoods
        it is the standard error over the test split of the trivial model that applies to the model;
        if several apply, the smallest.
        """
        floors = {name: value for name, value in self.noise_floor.items() if name in metrics}
        for name, entries in self.baselines_for(metrics, observation).items():
            errors = [
                entry.stderr
                for baseline, entry in entries.items()
                if entry.stderr is not None and baseline not in CODECS
            ]
            if errors:
                floors.setdefault(name, min(errors))
        return floors


def check_extractor(folder: Path, reference: Reference) -> FrozenExtractor:
    """Return the record of the extractor after a comparison with its weights in `folder`.

    Raises:
        DataError: the reference names no extractor, or other weights.
    """
    path, record = folder / EXTRACTOR, reference.extractor
    if record is None or sha256_file(path) != record.sha256:
        raise DataError(f"{path}: not the extractor that {REFERENCE} names. {remedy(folder)}")
    return record


def write_reference(folder: Path, reference: Reference) -> None:
    """Write reference.json into `folder`."""
    write_json(folder / REFERENCE, reference.model_dump(mode="json"))


def read_reference(folder: Path) -> Reference:
    """Read a file written by `write_reference`.

    Raises:
        GenmintError: the file is missing or not JSON.
        DataError: the file is not a reference.
    """
    way_out = f"Run `dvc repro -f reference@{folder.name}` to make it."
    path = folder / REFERENCE
    return from_json(Reference, read_json(path, way_out), path, way_out, DataError)
