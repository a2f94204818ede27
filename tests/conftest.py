"""A small project with real weights and real files, for all that comes after evaluation."""

import contextlib
import functools
import json
import os
import shutil
import signal
import sqlite3
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from genmint import tracking
from genmint.comparison import block_hash
from genmint.config import load_params
from genmint.files import sha256_bytes, sha256_file, write_json, write_text
from genmint.lock import md5_file, md5_folder, read_lock, stages_of
from genmint.metrics.code import code_sha256
from genmint.project import Project
from genmint.reading import read_yaml

# A shell that starts us in the background has SIGINT ignored, and our children would inherit that:
# then no test could interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)
# As nohup does with SIGHUP.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# MLflow's server starts half a dozen processes for jobs that we have none of, and each of them
# imports MLflow: a server is ready in half the time without them.
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")

PARAMS = """\
datasets:
  dots: {path: data/sources/dots.yaml, kind: image, resolution: 8, confirmation: 0.0}
models:
  tiny: {family: vae, dataset: dots, hidden: [4], latent: 2, steps: 10}
  other: {family: vae, dataset: dots, hidden: [4], latent: 2, steps: 10}
gates:
  tiny:
    thresholds:
      elbo: {min: -30.0, baseline: pixel_bernoulli, margin: 1.0}
    champion: {superior: [elbo]}
"""


# What prepare and reference leave of `dots`, as far as promotion asks: meta.json without arrays.
META = """\
{
  "dataset": "dots",
  "kind": "image",
  "items": {"train": 80, "validation": 10, "test": 100, "confirmation": 0},
  "shape": [1, 4, 4],
  "files": {}
}
"""
REFERENCE = json.dumps({
    "dataset": "dots",
    "data": sha256_bytes(META.encode()),
    "protocol": {"samples": 16, "seed": 1},
    "extractor": None,
    "baselines": {},
    "noise_floor": {},
    "real": {},
})  # fmt: skip

PROTOCOL = {
    "data": sha256_bytes(META.encode()),
    "samples": 16,
    "seed": 1,
    "observation": "binary",
    "code": code_sha256("vae"),
}


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
            "prepared": PROTOCOL["data"],
            "resolved": {"precision": "fp32"},
        }
        record = store.save(folder, store.build(config, spec), described)
        rows = [f"{step},0,{30 - step},{31 - step}" for step in range(1, 4)]
        history = "\n".join(["step,epoch,train_loss,validation_loss", *rows]) + "\n"
        (folder / "history.csv").write_text(history)
        write_json(folder / "health.json", {"recoveries": [], "seeds": [{}], "seed_spread": 0.0})
        write_text(self.project.prepared("dots") / "meta.json", META)
        write_text(self.project.reference("dots") / "reference.json", REFERENCE)
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
            "config": sha256_file(self.root / "models" / name / "config.json"),
            "dataset": "dots",
            "metrics": sha256_file(path),
            "items": sha256_file(items_path) if items else None,
            "resamples": sha256_file(samples / "resamples.json"),
            "reference": sha256_bytes(REFERENCE.encode()),
            "protocol": PROTOCOL,
            "baselines": {"elbo": {"pixel_bernoulli": -40.0}},
            "noise_floor": {"elbo": 0.5},
        }
        write_json(path.with_name(f"{name}.protocol.json"), measured)
        validation = {
            "dataset": "dots",
            "kind": "image",
            "passed": 1,
            "items": 100,
            "quarantined": 0,
        }
        write_json(self.root / "reports" / "data" / "dots.json", validation)
        self.commit(name)

    def commit(self, name="tiny"):
        """Write into dvc.lock that the stages wrote the files that lie here, as `dvc commit`."""
        stages = stages_of(name, self.params.models[name].dataset)
        lock = read_lock(self.project.lock) | {stage: self.lock_entry(stage) for stage in stages}
        # DVC reads JSON as well, which is YAML.
        self.project.lock.write_text(json.dumps({"schema": "2.0", "stages": lock}))

    def lock_entry(self, stage):
        """What DVC writes into dvc.lock of a stage; here that is what promotion reads of it."""
        verb, _, of = stage.partition("@")
        project, model = self.project, self.project.model(of)
        outs = {
            "ingest": [project.manifest(of)],
            "validate": [project.validation(of), project.quarantine(of)],
            "prepare": [project.prepared(of)],
            "reference": [project.reference(of)],
            "train": [model / "model.safetensors", model / "config.json", model / "history.csv"],
            "evaluate": [
                project.metrics(of),
                project.cost(of),
                project.metrics(of).with_name(f"{of}.protocol.json"),
                project.samples(of),
            ],
            "gate": [project.gate_record(of)],
        }[verb]
        top = {"train": "models", "evaluate": "", "gate": "gates"}.get(verb, "datasets")
        settings = read_yaml(project.params).get(top, {})
        named = {top: settings} if verb == "gate" else {f"{top}.{of}": settings.get(of)}
        return {
            "cmd": f"python -m genmint {verb} {of}",
            "params": {"params.yaml": named} if top else {},
            "outs": [
                {
                    "path": path.relative_to(self.root).as_posix(),
                    "md5": md5_folder(path) if path.is_dir() else md5_file(path),
                }
                for path in outs
                if path.exists()
            ],
        }

    def write_items(self, values, name="tiny"):
        table = np.array(list(values), dtype=[("elbo", "<f8")])
        np.save(self.root / "samples" / name / "items.npy", table)

    def rewrite_items(self, values, name="tiny"):
        """Put other items in the place of a model's, as if evaluate had written them."""
        self.write_items(values, name)
        path = self.root / "metrics" / f"{name}.protocol.json"
        items = sha256_file(self.root / "samples" / name / "items.npy")
        write_json(path, {**json.loads(path.read_text()), "items": items})
        self.commit(name)

    def spread(self, deviation=0.5, name="tiny", **changed):
        """Write how far trainings of a block differ: five values with this standard deviation."""
        values = [-20.0 + deviation * step for step in (-1.0, -1.0, 0.0, 1.0, 1.0)]
        spread = {
            "model": name,
            "block": block_hash(self.params.models[name]),
            "seeds": list(range(5)),
            "protocol": PROTOCOL,
            "values": {"elbo": values},
            "standard_deviation": {"elbo": statistics.stdev(values)},
        }
        write_json(self.project.spread(name), {**spread, **changed})

    def write_entry(self, version, kind="promotion", reason="killed", name="tiny"):
        """Write into the journal as a process does that is killed before it moves an alias."""
        from genmint import entries
        from genmint.history import Move
        from genmint.registry import Registry

        registry = Registry.open(self.project)
        found = registry.get(name, version)
        weights = "" if found is None else found.weights
        move = Move(kind=kind, version=version, reason=reason, weights=weights)
        judge = registry._judge(name, None)
        standing = registry.read(name, None)
        return entries.append(registry.client, name, standing, move, judge)

    def gate(self, name="tiny"):
        from genmint.stages import gate

        passed = gate.run(self.project, self.params, name)
        self.commit(name)
        return passed


@pytest.fixture
def one_thread():
    """Torch computes on one thread, so that the same comes out whatever else runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def denormal_numbers():
    """A training flushes them for its whole process, which is no business of other tests."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An embedded store without runs: its schema takes seconds to create, a copy none."""
    from mlflow.store.db import utils

    root = tmp_path_factory.mktemp("store")
    (root / "params.yaml").touch()
    tracking.create_store(Project(root))
    # MLflow reads all its migration scripts again for every store that it opens.
    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)
    return root / "mlflow.db"


def move_artefacts(database_file, old, new):
    """Make a copied store find its artefacts under another root."""
    columns = {
        "experiments": ("artifact_location",),
        "runs": ("artifact_uri",),
        "model_versions": ("source", "storage_location"),
    }
    with contextlib.closing(sqlite3.connect(database_file)) as database:
        for table, names in columns.items():
            for name in names:
                database.execute(
                    f"UPDATE {table} SET {name} = replace({name}, ?, ?)",  # noqa: S608
                    (old.as_uri(), new.as_uri()),
                )
        database.commit()


@pytest.fixture(scope="session")
def copy_store(empty_store):
    """Puts a store without runs into a folder; returns its address."""

    def copy(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_store, folder / "mlflow.db")
        move_artefacts(folder / "mlflow.db", empty_store.parent, folder)
        return f"sqlite:///{folder}/mlflow.db"

    return copy


@pytest.fixture(scope="session")
def open_workshop(copy_store):
    """Makes projects outside of git, each with an embedded store of its own without runs."""

    def make(root):
        copy_store(root)
        (root / "params.yaml").write_text(PARAMS)
        (root / "dvc.yaml").write_text("stages: {}\n")
        made = Workshop(root)
        made.spread()
        return made

    return make


@pytest.fixture
def no_tracker(monkeypatch):
    """Nothing of the caller's environment names a tracker."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workshop(tmp_path, no_tracker, open_workshop):
    """A project outside of git, with an embedded store of its own without runs."""
    return open_workshop(tmp_path / "project")


GATE_OF_OTHER = """gates:
  other:
    thresholds:
      elbo: {min: -30.0}
    champion: {superior: [elbo]}
"""


@pytest.fixture(scope="session")
def stock(tmp_path_factory, open_workshop):
    """A workshop whose registry holds something; look, and change nothing.

    Of `tiny`: 1, which was champion; 2, which is; 3, which its gate refused; 4, which passed and is
    not better. Of `other`: 1, champion.
    """
    from genmint import serving
    from genmint.promotion import promote

    root = tmp_path_factory.mktemp("stock") / "project"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        # The code that serves a version is many files, and nothing that is looked at.
        patch.setattr(serving, "_CODE", ("__init__.py",))
        made = open_workshop(root)
        made.edit("gates:\n", GATE_OF_OTHER)
        verdicts = []
        for name, seed, elbo in (
            *(("tiny", 0, -20.0), ("tiny", 1, -15.0), ("tiny", 2, -35.0), ("tiny", 3, -18.0)),
            ("other", 4, -10.0),
        ):
            made.make(name, seed=seed, elbo=elbo)
            verdicts += [outcome.verdict for outcome in promote(made.project, made.params, [name])]
    assert verdicts == ["promoted", "promoted", "refused", "not better", "promoted"]
    return made


@pytest.fixture(scope="session")
def restock(stock):
    """Makes copies of `stock`, or of such a copy, each to do anything with."""
    from mlflow.tracking._tracking_service import utils

    def copy(root, of=stock):
        shutil.copytree(of.root, root)
        move_artefacts(root / "mlflow.db", of.root, root)
        # MLflow remembers where the artefacts of a run are; in a copy they are elsewhere.
        utils._artifact_repos_cache.clear()
        return Workshop(root)

    return copy


@pytest.fixture
def stocked(restock, no_tracker, tmp_path):
    """A copy of `stock`."""
    return restock(tmp_path / "project")


def pytest_collection_modifyitems(items):
    """One test of the whole pipeline goes first, so that its making overlaps with all others."""
    first = [item for item in items if item.path.name == "test_pipeline.py"][:1]
    whole = [item for item in items if "e2e" in item.path.parts and item not in first]
    rest = [item for item in items if "e2e" not in item.path.parts]
    items[:] = [*first, *rest, *whole]


@pytest.fixture
def by_hand(empty_store, monkeypatch):
    """Make a project that can train: `dots` (60 noise pictures, 8×8) and `words` (a text)."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def write(folder, splits, **meta):
        folder.mkdir(parents=True)
        for split, array in splits.items():
            np.save(folder / f"{split}.npy", array)
        items = {split: len(array) for split, array in splits.items()}
        files = {path.name: sha256_file(path) for path in sorted(folder.glob("*.npy"))}
        write_json(folder / "meta.json", {"items": items, "files": files, **meta})

    def make(root, params):
        root.mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(params)
        (root / "dvc.yaml").write_text("stages: {}\n")
        shutil.copy(empty_store, root / "mlflow.db")
        project = Project(root)
        rng = np.random.default_rng(0)
        sizes = {"train": 60, "validation": 10, "test": 10}
        dots = {
            split: rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8) for split, n in sizes.items()
        }
        write(project.prepared("dots"), dots, dataset="dots", kind="image", shape=[1, 8, 8])
        words = {
            split: (np.cumsum(rng.integers(1, 3, 20 * n)) % 8 + 2).astype(np.uint16)
            for split, n in sizes.items()
        }
        about = {"dataset": "words", "kind": "text", "shape": []}
        write(project.prepared("words"), words, vocabulary=["<unk>", "<s>", *"abcdefgh"], **about)
        return project

    return make
