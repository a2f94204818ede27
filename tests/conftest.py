"""A small project with real weights and real files, for all that comes after evaluation."""

import contextlib
import json
import shutil
import signal
import sqlite3
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from genmint import tracking
from genmint.comparison import block_hash
from genmint.config import load_params
from genmint.files import sha256_file, write_json
from genmint.project import Project

# A shell that starts us in the background has SIGINT ignored, and our children would inherit that:
# then no test could interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)

PARAMS = """\
datasets:
  dots: {path: data/sources/dots.yaml, kind: image, size: 4, confirmation: 0.0}
models:
  tiny: {family: vae, dataset: dots, hidden: [4], latent: 2, steps: 10}
  other: {family: vae, dataset: dots, hidden: [4], latent: 2, steps: 10}
gates:
  tiny:
    thresholds:
      elbo: {min: -30.0, baseline: pixel_bernoulli, margin: 1.0}
    champion: {superior: [elbo]}
"""


PROTOCOL = {"data": "d" * 64, "samples": 16, "seed": 1, "observation": "binary"}


@dataclass
class Workshop:
    """A project whose models are made by hand, so that their scores can be chosen."""

    root: Path

    @property
    def project(self):
        return Project(self.root)

    @property
    def params(self):
        return load_params(self.root / "params.yaml")

    def edit(self, old, new):
        path = self.root / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def make(self, name="tiny", *, seed=0, elbo=-20.0, items=True, gate=True, **metrics):
        """Write a model with its history, evaluation and gate record; return its weights' hash."""
        from genmint.config import VAEConfig
        from genmint.data.spec import DataSpec
        from genmint.models import store

        folder = self.root / "models" / name
        folder.mkdir(parents=True, exist_ok=True)
        config = VAEConfig(family="vae", dataset="dots", hidden=(4,), latent=2, steps=10, seed=seed)
        spec = DataSpec(dataset="dots", kind="image", view="grid", shape=(1, 4, 4))
        described = {
            "name": name,
            "model": config,
            "data": spec,
            "prepared": "d" * 64,
            "resolved": {"precision": "fp32"},
        }
        record = store.save(folder, store.build(config, spec), described)
        rows = [f"{step},0,{30 - step},{31 - step}" for step in range(1, 4)]
        history = "\n".join(["step,epoch,train_loss,validation_loss", *rows]) + "\n"
        (folder / "history.csv").write_text(history)
        write_json(folder / "health.json", {"recoveries": [], "seeds": [{}], "seed_spread": 0.0})
        self.evaluate(name, record.weights, elbo, items, metrics)
        if gate:
            self.gate(name)
        return record.weights

    def evaluate(self, name, weights, elbo, items, metrics):
        values = {"elbo": elbo, "elbo_stderr": 0.1, "nonfinite": 0.0, **metrics}
        path = self.root / "metrics" / f"{name}.json"
        # By hand, since a test may want a NaN there.
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(values))
        samples = self.root / "samples" / name
        samples.mkdir(parents=True, exist_ok=True)
        items_path = samples / "items.npy"
        items_path.unlink(missing_ok=True)
        if items:
            noise = np.random.default_rng(0).normal(size=100)
            self.write_items(elbo + noise - noise.mean(), name)
        write_json(samples / "resamples.json", {})
        cost = {"parameters": 100, "megabytes": 0.01, "sample_milliseconds": 1.0}
        write_json(path.with_name(f"{name}.cost.json"), cost)
        measured = {
            "model": name,
            "weights": weights,
            "dataset": "dots",
            "metrics": sha256_file(path),
            "items": sha256_file(items_path) if items else None,
            "resamples": sha256_file(samples / "resamples.json"),
            "reference": "e" * 64,
            "protocol": PROTOCOL,
            "baselines": {"elbo": {"pixel_bernoulli": -40.0}},
            "noise_floor": {"elbo": 0.5},
        }
        write_json(path.with_name(f"{name}.protocol.json"), measured)
        validation = {"dataset": "dots", "kind": "image", "passed": 1, "items": 100}
        write_json(self.root / "reports" / "data" / "dots.json", validation)

    def write_items(self, values, name="tiny"):
        table = np.array(list(values), dtype=[("elbo", "<f8")])
        np.save(self.root / "samples" / name / "items.npy", table)

    def rewrite_items(self, values, name="tiny"):
        """Put other items in the place of a model's, as if evaluate had written them."""
        self.write_items(values, name)
        path = self.root / "metrics" / f"{name}.protocol.json"
        items = sha256_file(self.root / "samples" / name / "items.npy")
        write_json(path, {**json.loads(path.read_text()), "items": items})

    def spread(self, deviation=0.5, name="tiny", **changed):
        """Write how far trainings of a block differ: five values with this standard deviation."""
        values = [-20.0 + deviation * step for step in (-1.0, -1.0, 0.0, 1.0, 1.0)]
        spread = {
            "model": name,
            "block": block_hash(self.params.models[name].model_dump(mode="json")),
            "seeds": list(range(5)),
            "protocol": PROTOCOL,
            "values": {"elbo": values},
            "standard_deviation": {"elbo": statistics.stdev(values)},
        }
        write_json(self.project.spread(name), {**spread, **changed})

    def gate(self, name="tiny"):
        from genmint.stages import gate

        return gate.run(self.project, self.params, name)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An embedded store without runs: its schema takes seconds to create, a copy none."""
    root = tmp_path_factory.mktemp("store")
    (root / "params.yaml").touch()
    tracking.create_store(Project(root))
    return root / "mlflow.db"


@pytest.fixture
def workshop(tmp_path, monkeypatch, empty_store):
    """A project outside of git, with an embedded store of its own without runs."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text("stages: {}\n")
    shutil.copy(empty_store, root / "mlflow.db")
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database:
        database.execute(
            "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
            (empty_store.parent.as_uri(), root.as_uri()),
        )
        database.commit()
    made = Workshop(root)
    made.spread()
    return made


def pytest_collection_modifyitems(items):
    """One test of the whole pipeline goes first, so that its making overlaps with all others."""
    whole = [item for item in items if "e2e" in item.path.parts]
    rest = [item for item in items if "e2e" not in item.path.parts]
    items[:] = [*whole[:1], *rest, *whole[1:]]
