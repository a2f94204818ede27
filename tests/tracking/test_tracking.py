"""The tracker: one store however many ask, and training that never waits for it."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient
from tests.workshop import PROTOCOL

from genmint import tracking
from genmint.common.errors import GenmintError, RegistryUnreachableError
from genmint.common.project import Project
from genmint.promotion.promote import promote

ABOUT = tracking.DatasetInfo("dots", "image", "d" * 64, "data/prepared/dots", {"train": 80})

# Imports once, then becomes six processes: what is tested is the store, not the import.
FOUR = """
import os, pathlib, sys
from genmint import tracking
from genmint.common.project import Project

children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            client = tracking.connect(Project(pathlib.Path(sys.argv[1])))
            client.create_run(tracking.experiment_id(client))
            status = 0
        finally:
            os._exit(status)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def refused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def runs(workshop):
    client = MlflowClient(tracking.uri(workshop.project))
    return client.search_runs([tracking.experiment_id(client)])


@pytest.mark.slow
def test_four_processes_open_a_fresh_store_at_once(tmp_path):
    (tmp_path / "params.yaml").touch()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
    command = [sys.executable, "-c", FOUR, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[0, 0, 0, 0]\n"), done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "genmint"]
    assert len(client.search_runs([experiment.experiment_id])) == 4
    assert experiment.artifact_location == (tmp_path / "mlartifacts" / "genmint").as_uri()
    assert list((tmp_path / ".genmint").glob("mlflow.*/")) == []


def test_a_named_server_comes_before_the_embedded_store(workshop, monkeypatch):
    assert tracking.uri(workshop.project) == f"sqlite:///{workshop.root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.example")
    assert tracking.uri(workshop.project) == "http://tracker.example"
    assert not tracking.is_embedded()


def test_asking_where_the_tracker_is_creates_nothing(workshop):
    (workshop.root / "mlflow.db").unlink()
    assert "not created yet" in tracking.check_tracker(workshop.project)
    assert not (workshop.root / "mlflow.db").exists()


def test_a_password_is_never_shown(workshop, monkeypatch):
    address = f"http://me:secret@127.0.0.1:{refused_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(RegistryUnreachableError) as caught:
        tracking.connect(workshop.project)
    assert "secret" not in str(caught.value)
    assert "me:***@127.0.0.1" in str(caught.value)


def test_a_run_tells_what_where_from_and_with_what(workshop):
    subprocess.run(["git", "init", "-q"], cwd=workshop.root, check=True)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    commit = ["git", *identity, "commit", "-q", "--allow-empty", "-m", "start"]
    subprocess.run(commit, cwd=workshop.root, check=True)
    (workshop.root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n"
        "  prepare@other:\n    cmd: x\n    outs:\n    - {path: data/prepared/other, md5: ffff}\n"
    )
    weights = workshop.make()
    folder = {
        hashed["path"]: hashed["md5"] for hashed in workshop.lock_entry("prepare@dots")["outs"]
    }
    block = {"steps": 10, "optimiser": {"name": "adam", "betas": [0.9, 0.999]}}
    with tracking.start_run(workshop.project, "tiny", block, ABOUT, {"note": "x"}) as run:
        for step in range(1, 1201):
            run.metrics(step, {"train_loss": 1.0 / step})
        run.finish(weights, [workshop.root / "models/tiny/config.json"])
    (found,) = runs(workshop)
    assert found.info.status == "FINISHED"
    assert found.data.params == {
        "steps": "10",
        "optimiser.name": "adam",
        "optimiser.betas": "[0.9, 0.999]",
    }
    tags = found.data.tags
    assert tags["genmint.weights"] == weights
    assert tags["genmint.model"] == "tiny"
    assert tags["note"] == "x"
    head = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(head, cwd=workshop.root, capture_output=True, text=True, check=True)
    assert tags["genmint.git_commit"] == tags["mlflow.source.git.commit"] == done.stdout.strip()
    assert tags["dvc.data/prepared/dots"] == folder["data/prepared/dots"]
    assert not [tag for tag in tags if "other" in tag]
    assert {"env.python", "env.torch", "env.platform", "env.threads"} <= set(tags)
    (data,) = found.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("dots", "d" * 32)
    client = MlflowClient(tracking.uri(workshop.project))
    history = client.get_metric_history(run.run_id, "train_loss")
    assert [point.step for point in history] == list(range(1, 1201))
    assert [item.path for item in client.list_artifacts(run.run_id)] == ["config.json"]
    assert tracking.find_run(client, "tiny", weights) == run.run_id
    assert tracking.find_run(client, "other", weights) is None


def test_a_training_run_that_fails_or_is_interrupted_leaves_no_run_running(workshop):
    for error, status in ((ValueError("lost"), "FAILED"), (KeyboardInterrupt(), "KILLED")):
        with (
            pytest.raises(type(error)),
            tracking.start_run(workshop.project, "tiny", {}) as run,
        ):
            raise error
        found = MlflowClient(tracking.uri(workshop.project)).get_run(run.run_id)
        assert found.info.status == status


def test_without_a_tracker_training_neither_waits_nor_fails(workshop, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{refused_port()}")
    weights = workshop.make()
    with tracking.start_run(workshop.project, "tiny", {"steps": 10}, ABOUT) as run:
        began = time.monotonic()
        for step in range(1000):
            run.metrics(step, {"train_loss": 1.0})
        assert time.monotonic() - began < 1.0
        run.finish(weights)
    assert time.monotonic() - began < 30.0
    lines = capsys.readouterr().err.strip().splitlines()
    (line,) = [line for line in lines if line.startswith("tiny:")]
    assert "was not sent to the tracker" in line
    assert "genmint promote tiny" in line
    # The tracker is back: promotion makes the run from the history.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "promoted"
    (found,) = runs(workshop)
    assert found.data.tags["genmint.recreated"] == "1"


def test_a_server_that_accepts_and_never_answers_is_known_within_seconds(workshop, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(tracking.request, "_ANSWER_SECONDS", 1.0)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(RegistryUnreachableError):
            tracking.connect(workshop.project)
        assert time.monotonic() - began < 10.0


def test_a_history_that_is_none_is_named(workshop):
    workshop.make()
    path = workshop.root / "models/tiny/history.csv"
    path.write_text("step,epoch,train_loss\n1,0,0.5\ntwo,0,0.4\n")
    with pytest.raises(GenmintError, match=r"history\.csv: line 3: not a history"):
        tracking.recreate_run(workshop.project, "tiny")
    path.unlink()
    with pytest.raises(GenmintError, match=r"history\.csv: no such file.*dvc repro -f train@tiny"):
        tracking.recreate_run(workshop.project, "tiny")
    assert runs(workshop) == []


def test_a_run_is_made_again_once(workshop):
    workshop.make()
    first = tracking.recreate_run(workshop.project, "tiny")
    assert tracking.recreate_run(workshop.project, "tiny") == first
    (found,) = runs(workshop)
    assert found.data.params["optimiser.lr"] == "0.0002"
    assert found.data.params["hidden"] == "[4]"
    (data,) = found.inputs.dataset_inputs
    assert json.loads(data.dataset.source)["sha256"] == PROTOCOL["data"]


def test_the_project_of_a_worktree_shares_the_store(tmp_path):
    main = tmp_path / "main"
    main.mkdir()
    (main / "params.yaml").touch()
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (
        ["init", "-q"],
        ["add", "params.yaml"],
        ["commit", "-qm", "start"],
        ["worktree", "add", "-q", str(tmp_path / "tree")],
    ):
        subprocess.run([*git, *command], cwd=main, check=True)
    assert tracking.database(Project(tmp_path / "tree")) == main / "mlflow.db"
