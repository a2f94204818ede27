import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from genmint import tracking
from genmint.config import load_params
from genmint.errors import ConfigError, DataError, GenmintError
from genmint.files import sha256_file, write_json
from genmint.models import store
from genmint.project import Project
from genmint.stages import train

PARAMS = """\
datasets:
  dots: {path: data/sources/dots.yaml, kind: image, size: 8}
models:
  tiny:
    family: vae
    dataset: dots
    hidden: [8]
    latent: 2
    steps: 20
    validate_every: 10
    batch_size: 8
    optimiser: {name: adam, lr: 1e-3}
gates: {}
"""
OUTS = ["config.json", "history.csv", "model.safetensors"]


@pytest.fixture
def project(tmp_path, monkeypatch, empty_store):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    found = Project(tmp_path)
    folder = found.prepared("dots")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    items = {"train": 60, "validation": 10, "test": 10}
    for split, n in items.items():
        np.save(folder / f"{split}.npy", rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8))
    files = {path.name: sha256_file(path) for path in folder.glob("*.npy")}
    meta = {"dataset": "dots", "kind": "image", "items": items, "shape": [1, 8, 8], "files": files}
    write_json(folder / "meta.json", meta)
    return found


def run(project, name="tiny"):
    train.run(project, load_params(project.params), name)


def test_it_writes_three_files_that_belong_together_and_a_run(project, capsys):
    run(project)
    folder = project.model("tiny")
    assert sorted(path.name for path in folder.iterdir()) == OUTS
    _, record = store.load(folder)
    assert record.name == "tiny"
    assert record.prepared == sha256_file(project.prepared("dots") / "meta.json")
    assert record.resolved["precision"] == "fp32"
    with (folder / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["10", "20"]
    assert {"train_loss", "validation_loss", "nonfinite"} < set(rows[0])
    assert "best validation loss" in capsys.readouterr().out

    client = tracking.connect(project)
    found = client.get_run(tracking.find_run(client, "tiny", record.weights))
    assert found.info.status == "FINISHED"
    assert found.data.params["optimiser.lr"] == "0.001"
    assert found.data.params["resolved.precision"] == "fp32"
    assert found.data.metrics["validation_loss"] == float(rows[-1]["validation_loss"])
    assert found.data.tags["env.torch"]
    assert found.inputs.dataset_inputs[0].dataset.name == "dots"
    held = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert held == {"config.json", "history.csv"}

    cost = json.loads((project.state / "cost" / f"{record.weights}.json").read_text())
    assert cost["train_seconds"] > 0


def test_the_same_inputs_give_the_same_files(project):
    hashes = []
    for _ in range(2):
        run(project)
        hashes.append({name: sha256_file(project.model("tiny") / name) for name in OUTS})
        shutil.rmtree(project.model("tiny"))
    assert hashes[0] == hashes[1]


def test_training_goes_on_without_a_tracker_and_says_what_was_not_sent(
    project, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run(project)
    assert sorted(path.name for path in project.model("tiny").iterdir()) == OUTS
    said = capsys.readouterr().err
    assert "the run was not sent to the tracker" in said
    assert "genmint promote tiny" in said


def test_changed_data_are_refused(project):
    path = project.prepared("dots") / "train.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.npy: missing or changed.*prepare@dots"):
        run(project)
    assert not project.model("tiny").exists()


def test_data_of_another_set_are_refused(project):
    path = project.prepared("dots") / "meta.json"
    write_json(path, {**json.loads(path.read_text()), "dataset": "other"})
    with pytest.raises(DataError, match="is of 'other'"):
        run(project)


def test_data_that_are_not_prepared_name_the_way_out(project):
    shutil.rmtree(project.prepared("dots"))
    with pytest.raises(GenmintError, match="prepare@dots"):
        run(project)


def test_an_unknown_model_is_refused(project):
    with pytest.raises(ConfigError, match="no block 'nobody'"):
        run(project, "nobody")


def test_a_failed_training_leaves_the_old_model_whole(project):
    run(project)
    before = {name: sha256_file(project.model("tiny") / name) for name in OUTS}
    text = PARAMS.replace("name: adam, lr: 1e-3", "name: sgd, lr: 1e9")
    project.params.write_text(text)
    with pytest.raises(GenmintError, match=r"models\.tiny: .* became .* at step"):
        run(project)
    assert {name: sha256_file(project.model("tiny") / name) for name in OUTS} == before
    assert [path.name for path in project.model("tiny").parent.iterdir()] == ["tiny"]
    client = tracking.connect(project)
    runs = client.search_runs([tracking.experiment_id(client)])
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]


def test_an_interruption_exits_130_and_leaves_nothing(project):
    project.params.write_text(PARAMS.replace("steps: 20", "steps: 2000000"))
    process = subprocess.Popen(
        [sys.executable, "-m", "genmint", "train", "tiny"],
        cwd=project.root,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 60
        client = tracking.connect(project)
        experiment = tracking.experiment_id(client)
        while not client.search_runs([experiment]):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not project.model("tiny").exists()
    assert not list(project.root.glob("models/.*"))
    assert [run.info.status for run in client.search_runs([experiment])] == ["KILLED"]
