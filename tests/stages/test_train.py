import csv
import dataclasses
import json
import math
import os
import shutil
import signal

import numpy as np
import pytest

from genmint import tracking
from genmint.common.errors import ConfigError, DataError, GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.config import load_params
from genmint.models.shared import store
from genmint.models.vae.model import VAE
from genmint.stages import train
from genmint.training import fastest
from genmint.training.history import read_history
from genmint.training.interruption import Interrupted
from genmint.training.stepper import Stepper

PARAMS = """\
datasets:
  dots: {path: data/sources/dots.yaml, kind: image, resolution: 8}
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
OUTS = ["config.json", "health.json", "history.csv", "model.safetensors"]


@pytest.fixture
def project(tmp_path, by_hand):
    return by_hand(tmp_path, PARAMS)


class Killed(BaseException):
    """In the place of SIGKILL: nothing may catch it."""


def run(project, name="tiny"):
    train.run(project, load_params(project.params), name)


def left(project):
    """Files that a training would go on from."""
    folder = project.root / ".genmint" / "checkpoints"
    return [path for path in folder.rglob("*") if path.is_file()]


def run_ids(project):
    client = tracking.connect(project)
    return [run.info.run_id for run in client.search_runs([tracking.experiment_id(client)])]


def test_it_writes_files_that_belong_together_and_a_run(project, capsys):
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
    assert held == {"config.json", "history.csv", "health.json"}

    cost = json.loads((project.state / "cost" / f"{record.weights}.json").read_text())
    assert cost["train_seconds"] > 0


def test_auto_is_measured_once_and_recorded(project, monkeypatch, capsys):
    """The second training run of the same network measures nothing and takes the same settings."""
    text = PARAMS.replace("    hidden: [8]", "    network: conv\n    hidden: [4]")
    project.params.write_text(text.replace("steps: 20", "steps: 30"))
    for name, value in (("FEWEST_STEPS", 30), ("_SECONDS", 0.05), ("_WORTHWHILE", 1e-6)):
        monkeypatch.setattr(fastest, name, value)
    monkeypatch.setattr(fastest, "_COMPILATION", 1e9)
    run(project)
    _, first = store.load(project.model("tiny"))
    assert "tiny: 4 settings are timed once" in capsys.readouterr().out
    (path,) = (project.state / "speed").iterdir()
    assert len(json.loads(path.read_text())["timed"]) == 4
    weights = sha256_file(project.model("tiny") / "model.safetensors")
    shutil.rmtree(project.model("tiny"))

    monkeypatch.setattr(fastest, "measure", None)
    run(project)
    _, second = store.load(project.model("tiny"))
    assert second.resolved == first.resolved
    assert first.resolved["channels_last"] in ("yes", "no")
    assert sha256_file(project.model("tiny") / "model.safetensors") == weights
    client = tracking.connect(project)
    runs = client.search_runs([tracking.experiment_id(client)])
    assert {r.data.params["resolved.channels_last"] for r in runs} == {
        first.resolved["channels_last"]
    }


def test_a_damaged_record_of_speeds_is_named_and_nothing_is_written(project, monkeypatch):
    monkeypatch.setattr(fastest, "FEWEST_STEPS", 1)
    project.params.write_text(
        PARAMS.replace("    hidden: [8]", "    network: conv\n    hidden: [4]")
    )
    run(project)
    (path,) = (project.state / "speed").iterdir()
    path.write_text("{")
    shutil.rmtree(project.model("tiny"))
    with pytest.raises(GenmintError, match=f"{path.name}: .*Delete it"):
        run(project)
    assert not project.model("tiny").exists()


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
    with pytest.raises(DataError, match="belongs to 'other'"):
        run(project)


def test_data_that_are_not_prepared_name_the_remedy(project):
    shutil.rmtree(project.prepared("dots"))
    with pytest.raises(GenmintError, match="prepare@dots"):
        run(project)


def test_an_unknown_model_is_refused(project):
    with pytest.raises(ConfigError, match="no entry 'nobody'"):
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


def test_after_a_success_nothing_is_left_to_go_on_from(project):
    run(project)
    assert left(project) == []


def test_a_training_run_that_failed_leaves_nothing_to_go_on_from(project):
    """It would fail in the same way again."""
    project.params.write_text(PARAMS.replace("name: adam, lr: 1e-3", "name: sgd, lr: 1e9"))
    with pytest.raises(GenmintError):
        run(project)
    assert left(project) == []


def test_what_a_kill_in_the_middle_of_writing_left_is_removed(project):
    leftover = project.model("tiny").with_name(".tiny.abcd_123.tmp")
    other = project.model("tiny").with_name(".tiny.er.abcd_123.tmp")
    for folder in (leftover, other):
        folder.mkdir(parents=True)
        (folder / "history.csv").touch()
    run(project)
    assert not leftover.exists()
    assert other.exists()


def test_recoveries_are_recorded(project, monkeypatch):
    usual = VAE.loss
    calls = []

    def once(self, group, batch, noise, **named):
        calls.append(1)
        loss = usual(self, group, batch, noise, **named)
        return dataclasses.replace(loss, value=loss.value * math.nan) if len(calls) == 13 else loss

    monkeypatch.setattr(VAE, "loss", once)
    run(project)
    health = json.loads((project.model("tiny") / "health.json").read_text())
    (found,) = health["recoveries"]
    assert (found["step"], found["back_to"], found["lr_factor"]) == (13, 10, 0.5)
    assert "the loss of the vae became nan" in found["what"]
    assert health["seed_spread"] == 0
    rows = read_history(project.model("tiny") / "history.csv")
    assert [row["recoveries"] for row in rows] == [0, 1]
    assert [row["nonfinite"] for row in rows] == [0, 8]


def test_several_seeds_are_trained_and_the_best_goes_on(project, capsys):
    project.params.write_text(PARAMS.replace("steps: 20", "steps: 20\n    seeds: 3\n    seed: 5"))
    run(project)
    folder = project.model("tiny")
    health = json.loads((folder / "health.json").read_text())
    assert [one["seed"] for one in health["seeds"]] == [5, 6, 7]
    losses = [one["loss"] for one in health["seeds"]]
    assert len(set(losses)) == 3
    assert health["seed_spread"] == pytest.approx(np.std(losses, ddof=1))
    best = 5 + int(np.argmin(losses))
    _, record = store.load(folder)
    assert record.resolved["seed"] == str(best)
    rows = read_history(folder / "history.csv")
    assert min(row["validation_loss"] for row in rows) == min(losses)
    assert f"seed {best} is the best of 3" in capsys.readouterr().out
    assert left(project) == []

    client = tracking.connect(project)
    runs = client.search_runs([tracking.experiment_id(client)])
    assert sorted(run.data.params["seed"] for run in runs) == ["5", "6", "7"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    tagged = {run.data.params["seed"] for run in runs if "genmint.weights" in run.data.tags}
    assert tagged == {str(best)}


def test_killed_in_the_third_seed_the_first_two_are_not_trained_again(project, monkeypatch):
    project.params.write_text(PARAMS.replace("steps: 20", "steps: 20\n    seeds: 3"))
    monkeypatch.setenv("GENMINT_CHECKPOINT_SECONDS", "0")
    run(project)
    wanted = {name: sha256_file(project.model("tiny") / name) for name in OUTS}
    shutil.rmtree(project.model("tiny"))
    before = set(run_ids(project))

    usual = Stepper.step
    steps = []

    def step(self, number, **arguments):
        steps.append((self.config.seed, number))
        if len(steps) == 48:
            raise Killed
        return usual(self, number, **arguments)

    monkeypatch.setattr(Stepper, "step", step)
    with pytest.raises(Killed):
        run(project)
    assert steps[-1] == (2, 7)
    steps.clear()
    run(project)
    assert steps == [(2, number) for number in range(7, 20)]
    assert {name: sha256_file(project.model("tiny") / name) for name in OUTS} == wanted
    assert len(set(run_ids(project)) - before) == 3


def interrupted_in_step(project, monkeypatch, wanted):
    usual = Stepper.step

    def step(self, number, **arguments):
        if number == wanted:
            os.kill(os.getpid(), signal.SIGINT)
        return usual(self, number, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "step", step)
        with pytest.raises(Interrupted, match=f"stopped after step {wanted + 1}"):
            run(project)
    (folder,) = (project.root / ".genmint" / "checkpoints" / "tiny").iterdir()
    return folder


def test_an_unfinished_training_of_other_settings_is_named_with_the_key(
    project, monkeypatch, capsys
):
    folder = interrupted_in_step(project, monkeypatch, 11)
    capsys.readouterr()
    project.params.write_text(PARAMS.replace("lr: 1e-3", "lr: 2e-3"))
    run(project)
    assert (
        f"tiny: does not resume from {folder}: model.optimiser.lr was 0.001 and is 0.002. "
        "Restore that value to resume, or delete the folder."
    ) in capsys.readouterr().err
    project.params.write_text(PARAMS.replace("steps: 20", "steps: 20\n    seed: 3"))
    run(project)
    assert f"does not resume from {folder}: seed was 0 and is 3" in capsys.readouterr().err
    # It is left alone, and found again when the settings are what they were.
    project.params.write_text(PARAMS)
    run(project)
    assert "tiny: resumes from step 12 of 20" in capsys.readouterr().out
    assert left(project) == []


def test_an_interrupted_training_goes_on_with_its_run(project, monkeypatch):
    run(project)
    wanted = {name: sha256_file(project.model("tiny") / name) for name in OUTS}
    before = set(run_ids(project))
    interrupted_in_step(project, monkeypatch, 11)
    (mine,) = set(run_ids(project)) - before
    client = tracking.connect(project)
    assert client.get_run(mine).info.status == "KILLED"
    run(project)
    assert {name: sha256_file(project.model("tiny") / name) for name in OUTS} == wanted
    assert set(run_ids(project)) == {mine, *before}
    assert client.get_run(mine).info.status == "FINISHED"


def test_after_a_damaged_checkpoint_it_begins_anew_and_says_so(project, monkeypatch, capsys):
    run(project)
    wanted = {name: sha256_file(project.model("tiny") / name) for name in OUTS}
    folder = interrupted_in_step(project, monkeypatch, 11)
    (folder / "state.pt").write_bytes((folder / "state.pt").read_bytes()[:1000])
    run(project)
    said = capsys.readouterr()
    assert f"{folder}/state.pt: damaged (File is not a zip file)" in said.err
    assert "resumes from" not in said.out
    assert {name: sha256_file(project.model("tiny") / name) for name in OUTS} == wanted
    assert left(project) == []


def test_a_conditional_model_learns_with_the_labels_of_the_set(project):
    folder = project.prepared("dots")
    meta = json.loads((folder / "meta.json").read_text())
    for split, n in meta["items"].items():
        np.save(folder / f"{split}.labels.npy", np.arange(n) % 3 % 2)
    files = {path.name: sha256_file(path) for path in folder.glob("*.npy")}
    write_json(folder / "meta.json", {**meta, "labels": ["a", "b"], "files": files})
    said = PARAMS.replace("kind: image,", "kind: image, labels: folder,")
    project.params.write_text(said.replace("    latent: 2", "    latent: 2\n    conditional: true"))
    run(project)
    model, record = store.load(project.model("tiny"))
    assert record.data.labels == ("a", "b")
    assert model.classes.seen.tolist() == [40, 20]
