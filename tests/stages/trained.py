"""Trained models of each family, and what evaluate wrote of them."""

import json
import shutil

import numpy as np
import pytest
import torch

from genmint.common.files import sha256_file, write_json
from genmint.common.project import Project
from genmint.config import load_params
from genmint.data.prepared import Prepared
from genmint.models.shared import store
from genmint.stages import evaluate, reference

PROTOCOL = {"samples": 24, "importance_samples": 4, "seed": 5, "batch_size": 16}


SPECTROGRAM = {"n_fft": 64, "hop": 32, "mels": 8, "dynamic_range": 80.0}


PARAMS = {
    "datasets": {
        "shapes": {
            "path": "own", "kind": "image", "resolution": 8, "labels": "folder",
            "protocol": PROTOCOL,
        },
        "tones": {
            "path": "own",
            "kind": "audio",
            "sample_rate": 4000,
            "seconds": 0.128,
            "spectrogram": SPECTROGRAM,
            "protocol": PROTOCOL,
        },
        "prose": {
            "path": "own",
            "kind": "text",
            "protocol": PROTOCOL | {"samples": 4, "sample_length": 60},
        },
    },
    "models": {
        "vae": {"family": "vae", "dataset": "shapes", "hidden": [8], "latent": 3, "steps": 1},
        "eight-bit": {
            "family": "vae",
            "dataset": "shapes",
            "hidden": [8],
            "latent": 3,
            "steps": 1,
            "likelihood": "discretised-logistic",
        },
        "coded": {"family": "vae", "dataset": "shapes", "network": "vq", "steps": 1, "hidden": [4],
                  "codes": 5, "code_width": 2},
        "deep": {"family": "vae", "dataset": "shapes", "network": "hierarchical", "steps": 1,
                 "hierarchy": {"groups": [1, 1], "width": 4, "channels": 2},
                 "sampling": {"temperature": [1.0, 0.5]}},
        "gan": {"family": "gan", "dataset": "shapes", "hidden": [8], "latent": 3, "steps": 1},
        "asked": {"family": "vae", "dataset": "shapes", "hidden": [8], "steps": 1,
                  "conditional": True},
        "raster": {"family": "rnn", "dataset": "shapes", "hidden": 8, "steps": 1},
        "sound": {"family": "rnn", "dataset": "tones", "hidden": 8, "steps": 1},
        "picture": {"family": "vae", "dataset": "tones", "hidden": [8], "latent": 3, "steps": 1},
        "writer": {"family": "rnn", "dataset": "prose", "hidden": 8, "steps": 1},
    },
    "gates": {},
}  # fmt: skip


def prepare(project, name, arrays, numbers=None, **meta):
    folder = project.prepared(name)
    folder.mkdir(parents=True)
    for split, array in arrays.items():
        np.save(folder / f"{split}.npy", array)
        if numbers is not None:
            np.save(folder / f"{split}.labels.npy", numbers[split])
    files = {path.name: sha256_file(path) for path in sorted(folder.glob("*.npy"))}
    items = {split: len(array) for split, array in arrays.items()}
    write_json(folder / "meta.json", {"dataset": name, "items": items, "files": files, **meta})


def prepare_all(project):
    rng = np.random.default_rng(0)
    sizes = {"train": 90, "validation": 30, "test": 40}
    numbers = {split: rng.integers(0, 3, n) for split, n in sizes.items()}
    grids = {split: rng.integers(0, 99, (n, 1, 8, 8), dtype=np.uint8) for split, n in sizes.items()}
    for split, classes in numbers.items():
        grids[split][classes == 0, :, :3] += 120
        grids[split][classes == 1, :, :, :3] += 120
    prepare(
        project, "shapes", grids, numbers, kind="image", shape=[1, 8, 8], labels=["a", "b", "c"]
    )
    time = np.arange(512) / 4000
    clips = {}
    for split, n in sizes.items():
        played = rng.choice([200.0, 300.0], n)
        clip = 9000 * np.sin(2 * np.pi * played[:, None] * time) + rng.normal(0, 40, (n, 512))
        clips[split] = clip.astype(np.int16)
    prepare(
        project, "tones", clips, kind="audio", shape=[512], sample_rate=4000,
        spectrogram=SPECTROGRAM,
    )  # fmt: skip
    words = ["abba ", "cab ", "bad ", "dab "]
    letters = "abcd "
    prose = {}
    for split, n in {"train": 900, "validation": 300, "test": 700}.items():
        characters = "".join(rng.choice(words, n))
        prose[split] = np.array([1, *(letters.index(c) + 2 for c in characters)], dtype=np.uint16)
    prepare(project, "prose", prose, kind="text", shape=[], vocabulary=["<unk>", "<s>", *letters])


HEALTHY = {"recoveries": [], "steps": 2, "seeds": [{"seed": 0, "best_step": 2, "loss": 1.5}],
           "seed_spread": 0.0}  # fmt: skip


def write_model(project, params, name, seed=0):
    config = params.models[name].model_copy(update={"seed": seed})
    prepared = Prepared(project.prepared(config.dataset))
    spec = prepared.spec(config.view)
    folder = project.model(name)
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "name": name,
        "model": config,
        "data": spec,
        "prepared": prepared.sha256,
        "resolved": {"precision": "fp32"},
    }
    record = store.save(folder, store.build(config, spec), described)
    (folder / "history.csv").write_text("step,validation_loss,nonfinite\n1,2.0,0\n2,1.5,0\n")
    write_json(folder / "health.json", HEALTHY)
    return record


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Data, references and untrained models: real files that no test changes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("finished")
    (root / "dvc.yaml").write_text("stages: {}\n")
    project = Project(root)
    project.params.write_text(json.dumps(PARAMS))
    params = load_params(project.params)
    prepare_all(project)
    for name in params.datasets:
        reference.run(project, params, name)
    for name in params.models:
        write_model(project, params, name)
    yield root
    torch.set_num_threads(threads)


@pytest.fixture
def project(finished, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    return Project(root)


def run(project, name="vae"):
    evaluate.run(project, load_params(project.params), name)
    return json.loads(project.metrics(name).read_text())


def protocol_of(project, name):
    return json.loads((project.root / "metrics" / f"{name}.protocol.json").read_text())
