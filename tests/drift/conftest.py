"""A repository whose models learned a folder of pictures: real git, real DVC, real stages."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from tests.e2e.conftest import Checkout, clone_of_the_project

from genmint.common.files import sha256_file
from genmint.common.project import Project

PARAMS = """\
datasets:
  shapes: {path: data/own/shapes, kind: image, resolution: 8, confirmation: 0.0, test: 0.2,
           validation: 0.2, reference: {epochs: 3}}
models:
  shapes-vae: {family: vae, dataset: shapes, hidden: [8], latent: 2, steps: 20}
gates:
  shapes-vae: {thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}
drift:
  shapes: {window: 30, agree: 2, of: 3, alpha: 0.01}
"""


def picture(seed, bright=200):
    """A ramp from dark to light with noise, 8×8, so that its rotation can be told."""
    generator = np.random.default_rng(seed)
    ramp = np.linspace(20, bright, 8)[:, None] + np.zeros((8, 8))
    return (ramp + generator.normal(0, 12, (8, 8))).clip(0, 255).round().astype(np.uint8)


@dataclass
class Watched:
    """A checkout and what a person does in it."""

    checkout: Checkout

    @property
    def home(self):
        return Project(self.checkout.root)

    @property
    def folder(self):
        return self.checkout.root / "data" / "own" / "shapes"

    def deliver(self, first, count, *, bright=200):
        self.folder.mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + count):
            Image.fromarray(picture(seed, bright)).save(self.folder / f"{seed:05d}.png")

    def deliver_bad(self, count):
        for number in range(count):
            (self.folder / f"bad-{number:03d}.png").write_bytes(b"not a picture %d" % number)

    def everything(self):
        """Content of every file of the user's, and where git's HEAD, index and branch stand."""
        root = self.checkout.root
        files = {
            str(path.relative_to(root)): (sha256_file(path), path.stat().st_mode)
            for path in sorted(root.rglob("*"))
            if path.is_file() and not {".genmint", ".git", "cache", "tmp"} & set(path.parts)
        }
        index = sha256_file(root / ".git" / "index")
        head = (root / ".git" / "HEAD").read_text()
        commit = self.checkout.run("git", "rev-parse", "HEAD").stdout
        return files, index, head, commit


@pytest.fixture(scope="session")
def learned(tmp_path_factory, worker_id):
    """150 pictures whose reference was made and committed; once for all of pytest's workers."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent
    root = base / "watched"
    with FileLock(base / "watched.lock"):
        if not (base / "watched.finished").exists():
            shutil.rmtree(root, ignore_errors=True)
            made = Watched(clone_of_the_project(root))
            (root / "params.yaml").write_text(PARAMS)
            made.deliver(0, 150)
            made.checkout.run("dvc", "repro", "-q", "reference@shapes")
            made.checkout.commit("what was learned")
            (base / "watched.finished").touch()
    return root


@pytest.fixture
def watched(learned, tmp_path, monkeypatch):
    """A copy of `learned`, to do anything with."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "home"
    shutil.copytree(learned, root, symlinks=True)
    subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=root, check=False)
    return Watched(Checkout(Path(root)))
