"""docs/models.md on a new family, done as it is written there, on a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[3]
TOY = Path(__file__).parent / "toy"

PARAMS = """\
datasets:
  faces: {path: data/own/faces, kind: image, resolution: 8, confirmation: 0.0,
          protocol: {samples: 32, resamples: 2}, reference: {epochs: 1}}
models:
  toy: {family: toy, dataset: faces, steps: 200, batch_size: 32, validate_every: 50,
        augment: {shift: 1}}
gates:
  toy:
    thresholds:
      bits_per_dim: {max: 7.9}
    champion: {superior: [bits_per_dim]}
"""


class Copy:
    """A project whose package has one family more."""

    def __init__(self, root):
        self.root = root

    def run(self, *command, ok=True):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        env |= {
            "PATH": path, "PYTHONPATH": str(self.root / "src"),
            "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
        }  # fmt: skip
        done = subprocess.run(
            command, cwd=self.root, env=env, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == ok, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout if ok else done.stderr

    def genmint(self, *arguments, ok=True):
        return self.run(sys.executable, "-m", "genmint", *arguments, ok=ok)

    def json(self, path):
        return json.loads((self.root / path).read_text())


def add_family(package):
    """The folder, the block with its entry, and the entry of the model; no other file changes."""
    ignored = shutil.ignore_patterns("__pycache__", "block.py")
    shutil.copytree(TOY, package / "models" / "toy", ignore=ignored)
    shutil.copy(TOY / "block.py", package / "config" / "models" / "toy.py")
    change(
        package / "config" / "models" / "__init__.py",
        ("\n\n__all__", "\nfrom genmint.config.models.toy import ToyConfig\n\n__all__"),
        ('"rnn": RNNConfig}', '"rnn": RNNConfig, "toy": ToyConfig}'),
    )
    change(
        package / "models" / "shared" / "families.py",
        ("import VAE\n", "import VAE\nfrom genmint.models.toy.model import Toy\n"),
        ('"rnn": RNN}', '"rnn": RNN, "toy": Toy}'),
    )


def change(path, *edits):
    text = path.read_text()
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Trained, measured and gated by DVC, with the graph as it is."""
    root = tmp_path_factory.mktemp("toy") / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", root / "src", ignore=ignored)
    shutil.copytree(ROOT / "config", root / "config")
    shutil.copytree(ROOT / "data" / "sources", root / "data" / "sources")
    shutil.copy(ROOT / "dvc.yaml", root)
    add_family(root / "src" / "genmint")
    (root / "params.yaml").write_text(PARAMS)
    (root / "data/own/faces").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(400):
        pixels = rng.integers(0, 60, (8, 8)) + 150 * (np.arange(8) < 4)
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"data/own/faces/{number:03d}.png")
    copy = Copy(root)
    copy.run("dvc", "init", "-q", "--no-scm")
    copy.run("dvc", "repro", "gate@toy")
    return copy


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`"),
]


def test_it_is_trained_and_measured(project):
    assert project.json("models/toy/config.json")["model"]["family"] == "toy"
    metrics = project.json("metrics/toy.json")
    # Half of the values are below 60, the others of 150 and more: log2(60) each, if all is learnt.
    assert np.log2(60) < metrics["bits_per_dim"] < 7.0
    assert "elbo" not in metrics
    assert metrics["precision"] >= 0
    protocol = project.json("metrics/toy.protocol.json")
    assert protocol["protocol"]["observation"] == "8bit"
    assert "pixel_histogram" in protocol["baselines"]["bits_per_dim"]
    items = np.load(project.root / "samples/toy/items.npy")
    assert items.dtype.names == ("log_likelihood",)
    bits = -items["log_likelihood"].mean() / 64 / np.log(2)
    assert bits == pytest.approx(metrics["bits_per_dim"])
    probe = np.load(project.root / "samples/toy/probe.npz")
    assert probe["ids"][0].endswith("/u64/000")


def test_it_is_promoted(project):
    assert project.json("reports/gates/toy.json")["passed"]
    assert "promoted" in project.genmint("promote", "toy")
    project.genmint("sample", "toy@champion", "-n", "4", "--out", "four.npy")
    drawn = np.load(project.root / "four.npy")
    assert drawn.shape == (4, 1, 8, 8)
    assert drawn[..., :4].mean() > drawn[..., 4:].mean() + 100


def test_what_it_cannot_do_is_refused_in_words(project):
    assert "has no latents and does not read text" in project.genmint(
        "explore", "toy", "--out", "page.html", ok=False
    )
    assert "only an auto-encoder has an encoder" in project.genmint(
        "encode", "toy", "--out", "z.csv", ok=False
    )
    assert "temperature: only an RNN draws symbol by symbol" in project.genmint(
        "sample", "toy", "--temperature", "0.5", "--out", "one.png", ok=False
    )
    params = project.root / "params.yaml"
    change(params, ("{max: 7.9}", "{max: 7.9}\n      elbo: {min: -9.0}"))
    refusal = project.genmint("status", ok=False)
    params.write_text(PARAMS)
    assert "only family: vae has it, and this is a toy" in refusal
