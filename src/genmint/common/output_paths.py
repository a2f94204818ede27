"""Paths of what the stages write: of a data set, and of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataPaths:
    """Paths of a data set below `root`, the folder of params.yaml."""

    root: Path

    def manifest(self, dataset: str) -> Path:
        """Manifest table of a data set (written by ingest)."""
        return self.root / "data" / "manifest" / f"{dataset}.parquet"

    def raw(self, dataset: str) -> Path:
        """Folder with the fetched or generated files of a data set (written by ingest)."""
        return self.root / "data" / "raw" / dataset

    def quarantine(self, dataset: str) -> Path:
        """CSV of the rejected items with reasons (written by validate)."""
        return self.root / "data" / "quarantine" / f"{dataset}.csv"

    def validation(self, dataset: str) -> Path:
        """Result of the validation (written by validate)."""
        return self.root / "reports" / "data" / f"{dataset}.json"

    def validation_page(self, dataset: str) -> Path:
        """HTML page of the validation (written by validate)."""
        return self.root / "reports" / "data" / f"{dataset}.html"

    def prepared(self, dataset: str) -> Path:
        """Folder of memory-mapped arrays (written by prepare)."""
        return self.root / "data" / "prepared" / dataset

    def trained(self, dataset: str) -> Path:
        """Fingerprints of the training items; exists only in copies and stored versions."""
        return self.root / "data" / "trained" / f"{dataset}.npy"

    def reference(self, dataset: str) -> Path:
        """Reference statistics for evaluating the models of a data set (written by reference)."""
        return self.root / "data" / "reference" / dataset


@dataclass(frozen=True)
class ModelPaths:
    """Paths of a model below `root`, the folder of params.yaml."""

    root: Path

    def model(self, name: str) -> Path:
        """Folder of a model: weights, config.json, history.csv, health.json (by train)."""
        return self.root / "models" / name

    def metrics(self, name: str) -> Path:
        """Metrics that are compared (written by evaluate)."""
        return self.root / "metrics" / f"{name}.json"

    def protocol(self, name: str) -> Path:
        """How a model was measured, and the hashes of what was measured (written by evaluate)."""
        return self.root / "metrics" / f"{name}.protocol.json"

    def cost(self, name: str) -> Path:
        """Times, memory and sizes; cached separately, never compared (written by evaluate)."""
        return self.root / "metrics" / f"{name}.cost.json"

    def headline(self, name: str) -> Path:
        """The few numbers that DVC shows of a model (written by gate)."""
        return self.root / "metrics" / f"{name}.yaml"

    def samples(self, name: str) -> Path:
        """Folder of a model's samples and per-item likelihoods (written by evaluate)."""
        return self.root / "samples" / name

    def sheet(self, name: str) -> Path:
        """Image of samples as a file of its own, which DVC can plot (written by evaluate)."""
        return self.root / "samples" / f"{name}.png"

    def items(self, name: str) -> Path:
        """Log-likelihood of each held-out item; none without a likelihood (written by evaluate)."""
        return self.samples(name) / "items.npy"

    def resamples(self, name: str) -> Path:
        """Metrics of several independent sets of samples (written by evaluate)."""
        return self.samples(name) / "resamples.json"

    def gate_record(self, name: str) -> Path:
        """Gate record of a model (written by gate)."""
        return self.root / "reports" / "gates" / f"{name}.json"

    def gate_margins(self, name: str) -> Path:
        """Distances of measured values from the bounds of the gate, as a table (by gate)."""
        return self.root / "reports" / "gates" / f"{name}.csv"

    def spread(self, name: str) -> Path:
        """Variation between training runs by seed; tracked by git (written by `genmint spread`)."""
        return self.root / "results" / "seed_spread" / f"{name}.json"
