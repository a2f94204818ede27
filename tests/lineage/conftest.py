"""A project in git and DVC whose files are made by hand, as is the dvc.lock that tells of them."""

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from genmint import lineage, tracking
from genmint.common.files import read_json, sha256_file, write_json
from genmint.promotion.promote import promote
from genmint.registry.registry import Registry

# stage: what it reads, what it writes
STAGES = {
    "ingest@dots": (["code/ingest.py", "data/sources/dots.yaml"], ["data/manifest/dots.parquet"]),
    "validate@dots": (
        ["data/manifest/dots.parquet", "config/expectations/image.yaml"],
        ["reports/data/dots.json"],
    ),
    "prepare@dots": (
        ["data/manifest/dots.parquet", "reports/data/dots.json"],
        ["data/prepared/dots/meta.json"],
    ),
    "reference@dots": (["data/prepared/dots/meta.json"], ["data/reference/dots/reference.json"]),
    "train@tiny": (
        ["code/train.py", "data/prepared/dots/meta.json"],
        ["models/tiny/config.json", "models/tiny/model.safetensors"],
    ),
    "evaluate@tiny": (
        ["data/reference/dots/reference.json", "models/tiny/model.safetensors"],
        ["metrics/tiny.cost.json", "metrics/tiny.json", "metrics/tiny.protocol.json"],
    ),
    "gate@tiny": (
        ["metrics/tiny.json", "models/tiny/model.safetensors", "reports/data/dots.json"],
        ["reports/gates/tiny.json"],
    ),
}
PARAMETERS = {"ingest@dots": "datasets.dots", "train@tiny": "models.tiny", "gate@tiny": "gates"}
IGNORED = """\
/models/
/metrics/
/reports/
/samples/
/data/manifest/
/data/prepared/
/data/reference/
/mlflow.db*
/mlartifacts/
/.genmint/
"""
YAML_ = YAML(typ="safe", pure=True)
YAML_.default_flow_style = False


@dataclass
class Repository:
    """The workshop in git and DVC."""

    workshop: object

    @property
    def root(self):
        return self.workshop.root

    @property
    def project(self):
        return self.workshop.project

    def git(self, *arguments):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, message="work"):
        self.git("add", ".")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def run(self, **made):
        """What `dvc repro gate@tiny` does: make the files, cache them, write the lock."""
        self.write("data/manifest/dots.parquet", "rows")
        self.workshop.make(gate=False, **made)
        report = read_json(self.project.validation("dots"))
        expectation = {
            "name": "expect_table_row_count_to_be_between", "level": "set", "passed": True,
            "observed": 100, "arguments": {"min_value": 30},
        }  # fmt: skip
        about = {"quarantined": 3, "max_quarantined": 0.1, "manifest": "a" * 64}
        write_json(
            self.project.validation("dots"), {**report, **about, "expectations": [expectation]}
        )
        self.workshop.gate()
        self.lock()

    def lock(self):
        params = YAML_.load(self.root / "params.yaml")
        stages = {}
        for stage, (deps, outs) in STAGES.items():
            entry = {"cmd": command(stage), "deps": [self._hashed(path) for path in deps]}
            if stage in PARAMETERS:
                key = PARAMETERS[stage]
                value = params
                for part in key.split("."):
                    value = value[part]
                entry["params"] = {"params.yaml": {key: value}}
            entry["outs"] = [self._hashed(path, cache=True) for path in outs]
            stages[stage] = entry
        with (self.root / "dvc.lock").open("w") as stream:
            YAML_.dump({"schema": "2.0", "stages": stages}, stream)

    def _hashed(self, path, *, cache=False):
        content = (self.root / path).read_bytes()
        digest = hashlib.md5(content).hexdigest()  # noqa: S324 - DVC's hash
        if cache:
            kept = self.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
        return {"path": path, "hash": "md5", "md5": digest, "size": len(content)}

    def train(self):
        """The run that a training leaves in the tracker; its id."""
        weights = sha256_file(self.root / "models/tiny/model.safetensors")
        with tracking.start_run(self.project, "tiny", {"steps": 10}) as run:
            run.finish(weights)
        return run.run_id

    def promote(self):
        (outcome,) = promote(self.project, self.workshop.params, ["tiny"])
        return outcome

    def stored(self, version, target):
        """The version, and the files that were stored with it."""
        registry = Registry.open(self.project)
        found = registry.get("tiny", version)
        return registry, found, registry.evaluation(found, target, as_stored=True)

    def trace(self, tmp_path, version="1"):
        target = tmp_path / f"stored-{version}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        registry, found, evaluation = self.stored(version, target)
        return lineage.trace(registry, found, evaluation), evaluation


def command(stage):
    return f"python -m genmint {stage.replace('@', ' ')}"


@pytest.fixture
def repository(workshop):
    root: Path = workshop.root
    shown = {
        stage: {
            "cmd": command(stage),
            "deps": deps,
            **({"params": [PARAMETERS[stage]]} if stage in PARAMETERS else {}),
            "outs": outs,
        }
        for stage, (deps, outs) in STAGES.items()
    }
    # As templates name them: a stage called X@Y exists only below a foreach.
    templated = {}
    for stage, entry in shown.items():
        kind, _, key = stage.partition("@")
        templated[kind] = {"foreach": [key], "do": entry}
    with (root / "dvc.yaml").open("w") as stream:
        YAML_.dump({"stages": templated}, stream)
    made = Repository(workshop)
    made.write(".dvc/config", "[core]\n    analytics = false\n")
    made.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
    made.write(".gitignore", IGNORED)
    made.write("code/ingest.py", "# reads\n")
    made.write("code/train.py", "# trains\n")
    made.write("config/expectations/image.yaml", "set: []\n")
    made.write("data/sources/dots.yaml", "source: dots\n")
    made.git("init", "-q", "-b", "main")
    made.commit("start")
    return made
