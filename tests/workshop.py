"""A small project with real weights and real files, for all that comes after evaluation."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genmint.common.dvc_lock import md5_file, md5_folder, read_lock, stages_of
from genmint.common.files import sha256_bytes, sha256_file, write_json, write_text
from genmint.common.project import Project
from genmint.common.reading import read_yaml
from genmint.config import load_params
from genmint.decision.comparison import block_hash
from genmint.evaluation.code_hash import code_sha256
from genmint.registry.championship import Championship

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


def spread_of(model, block, protocol, metrics=("elbo",), deviation=1e-9, around=1.0):
    """Content of a spread file: five values with this standard deviation in each metric.

    By default it is so small that a change of seed decides nothing.
    """
    values = [around + deviation * step for step in (-1.0, -1.0, 0.0, 1.0, 1.0)]
    return {
        "model": model,
        "block": block,
        "seeds": list(range(5)),
        "protocol": protocol,
        "values": dict.fromkeys(metrics, values),
        "standard_deviation": {metric: statistics.stdev(values) for metric in metrics},
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
        from genmint.data.views.spec import DataSpec
        from genmint.models.shared import store

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
            "unfit": {},
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
        block = block_hash(self.params.models[name])
        spread = spread_of(name, block, PROTOCOL, deviation=deviation, around=-20.0)
        write_json(self.project.spread(name), {**spread, **changed})

    def write_entry(self, version, kind="promotion", reason="killed", name="tiny"):
        """Write into the journal as a process does that is killed before it moves an alias."""
        from genmint.registry import entries
        from genmint.registry.journal_entries import Move
        from genmint.registry.registry import Registry

        registry = Registry.open(self.project)
        found = registry.get(name, version)
        weights = "" if found is None else found.weights
        move = Move(kind=kind, version=version, reason=reason, weights=weights)
        judge = registry.judge(name, None)
        registry_state = Championship(registry).read(name, None)
        return entries.append(registry.client, name, registry_state, move, judge)

    def gate(self, name="tiny"):
        from genmint.stages import gate

        passed = gate.run(self.project, self.params, name)
        self.commit(name)
        return passed
