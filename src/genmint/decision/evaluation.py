"""Evaluation of a model: the files that the evaluate stage wrote, and what they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

from genmint.common.errors import GenmintError


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of a JSON file is a number, finite or not; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class GateInput:
    """A file of an evaluation.

    Attributes:
        file: path relative to the project's root.
        sha256: hash of the file; None if the file does not exist.
        content: parsed content; None if only the hash is needed, and for unreadable files.
        problem: why the file could not be read, in one sentence; None if it could.
    """

    file: str
    sha256: str | None = None
    content: Any = None
    problem: str | None = None

    def mapping(self) -> dict[str, Any]:
        """Return the content of a JSON file; empty if it could not be read."""
        return self.content if isinstance(self.content, dict) else {}


@dataclass(frozen=True)
class Evaluation:
    """All files on which the gate and the comparison with the champion rest; each is read once.

    Attributes:
        name: name of the model entry.
        dataset: name of the data set entry that the model was trained on.
        weights: model.safetensors; its hash only.
        config: config.json of the model; its hash only.
        metrics: metrics by name.
        protocol: how the model was measured, and the hashes of the other files.
        items: by estimator, the log-likelihood of each held-out item; no file without a likelihood.
        resamples: by metric, the values of independent sets of samples.
        cost: times, memory and sizes by name.
        validation: report on the validation of the data set.
    """

    name: str
    dataset: str
    weights: GateInput
    config: GateInput
    metrics: GateInput
    protocol: GateInput
    items: GateInput
    resamples: GateInput
    cost: GateInput
    validation: GateInput

    def inputs(self) -> tuple[GateInput, ...]:
        """Return every file in the order of the gate record."""
        return (
            self.weights,
            self.config,
            self.metrics,
            self.protocol,
            self.items,
            self.resamples,
            self.cost,
            self.validation,
        )

    def measured(self) -> dict[str, Any]:
        """Return the content of the protocol file; the evaluation protocol is under `protocol`.

        Raises:
            GenmintError: the file is missing, unreadable or has no protocol.
        """
        content = self.protocol.mapping()
        if self.protocol.problem is not None:
            raise GenmintError(f"{self.protocol.problem}. {self._way_out}")
        if not isinstance(content.get("protocol"), dict):
            raise GenmintError(
                f"{self.protocol.file} does not say how {self.name} was measured. {self._way_out}"
            )
        return content

    def content(self, file: GateInput) -> Any:
        """Return the parsed content of one of the files.

        Raises:
            GenmintError: the file is missing or unreadable.
        """
        if file.problem is not None:
            raise GenmintError(f"{file.problem}. {self._way_out}")
        return file.content

    @property
    def _way_out(self) -> str:
        return f"Run `dvc repro gate@{self.name}`."
