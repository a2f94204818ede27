"""Small repositories with git and DVC, whose stages are lines of shell."""

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from genmint.common.project import Project

# One data set and two models, as dvc.yaml of the project has them, without their work.
DVC = """\
stages:
  ingest:
    foreach: ${{datasets}}
    do:
      cmd: mkdir -p data/raw && cp data/sources/${{key}}.yaml data/raw/${{key}}
      deps: ["data/sources/${{key}}.yaml"]
      outs: ["data/raw/${{key}}"]
  prepare:
    foreach: ${{datasets}}
    do:
      cmd: mkdir -p data/prepared && cp data/raw/${{key}} data/prepared/${{key}}
      deps: ["data/raw/${{key}}"]
      outs: ["data/prepared/${{key}}"]
  reference:
    foreach: ${{datasets}}
    do:
      cmd: mkdir -p data/reference && cp data/prepared/${{key}} data/reference/${{key}}
      deps: ["data/prepared/${{key}}"]
      outs: ["data/reference/${{key}}"]
  train:
    foreach: {{a: {a}, b: {b}}}
    do:
      cmd: ${{item}}
      params: ["models.${{key}}"]
      deps: [data/prepared/d]
      outs: ["models/${{key}}"]
  evaluate:
    foreach: ${{models}}
    do:
      cmd: mkdir -p metrics && cp models/${{key}} metrics/${{key}}.json
      deps: ["models/${{key}}", data/reference/d]
      outs: ["metrics/${{key}}.json"]
  gate:
    foreach: ${{models}}
    do:
      cmd: mkdir -p reports/gates && cp metrics/${{key}}.json reports/gates/${{key}}.json
      deps: ["metrics/${{key}}.json"]
      outs: ["reports/gates/${{key}}.json"]
"""
TRAIN = "mkdir -p models && cp data/prepared/d models/{name}"
PARAMS = """\
# What a person wrote.
datasets:
  d: {path: data/sources/d.yaml, kind: image, resolution: 8}  # eight pixels
models:
  a: {family: vae, dataset: d, hidden: [8], latent: 2, steps: 10}
  b: {family: vae, dataset: d, hidden: [8], latent: 2, steps: 10}
gates: {}
"""


def bare_git(root, *arguments):
    env = {**os.environ, "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t.org",
           "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t.org"}  # fmt: skip
    done = subprocess.run(["git", *arguments], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A repository as its user has it."""

    root: Path

    @property
    def project(self):
        return Project(self.root)

    def git(self, *arguments):
        return bare_git(self.root, *arguments)

    def commit(self, message="more"):
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def write_stages(self, **train):
        commands = {name: json.dumps(train.get(name, TRAIN.format(name=name))) for name in "ab"}
        (self.root / "dvc.yaml").write_text(DVC.format(**commands))

    def clone(self, target):
        bare_git(target.parent, "clone", "-q", str(self.root), str(target))
        return Repository(target)

    def fingerprint(self):
        """Everything that a user would see change: files, index, HEAD, branches but retrain/."""
        files = {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
            and path.relative_to(self.root).parts[0] not in (".git", ".genmint", ".dvc")
        }
        git = self.root / ".git"
        files |= {name: (git / name).read_bytes() for name in ("index", "HEAD", "config")}
        # git itself looks at times; the content is what counts.
        files["status"] = self.git("status", "--porcelain")
        files["index"] = self.git("ls-files", "--stage")
        files["branches"] = [
            line
            for line in self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
            if not line.startswith("refs/heads/retrain/")
        ]
        return files


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("DVC_ROOT", "DVC_EXP_BASELINE_REV", "GENMINT_DEVICE", "GIT_DIR"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "home"
    (root / "data" / "sources").mkdir(parents=True)
    (root / "data" / "sources" / "d.yaml").write_text("one\n")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    shutil.copy(Path(__file__).parents[2] / ".gitignore", root)
    (root / "params.yaml").write_text(PARAMS)
    made = Repository(root)
    made.write_stages()
    bare_git(root, "init", "-q", "-b", "main")
    made.commit("begin")
    return made
