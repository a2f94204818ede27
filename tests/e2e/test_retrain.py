"""The flow `retrain` with real servers and workers: devices, faults, two machines, refusals."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import mlflow
import psutil
import pytest
from PIL import Image
from tests.e2e.flows import ask, ended, home, page_of, run_of, running  # noqa: F401 - fixtures
from tests.flow.conftest import Repository
from tests.services.conftest import wait_for

from genmint.common.project import Project
from genmint.flow.transfer import cache_token

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


MODELS = ("one", "two", "three")


# Long enough to be met in the middle on two slow cores, short enough to be waited for.
LONG = 12_000


def users(home):
    """All that is the user's: what MLflow and the services write is not."""
    found = Repository(home.root).fingerprint()
    return {name: value for name, value in found.items()
            if not name.startswith(("mlflow.db", "mlartifacts/", "services.log"))}  # fmt: skip


def trainings():
    """Of each process that trains a model of ours: number, model, device, by the process table."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        # Others may train on this machine meanwhile.
        if command[1:4] == ["-m", "genmint", "train"] and command[4:] in [
            [f"train@{name}"] for name in MODELS
        ]:
            with contextlib.suppress(psutil.Error):
                device = process.environ().get("GENMINT_DEVICE")
                # One that may not train only says so, and ends.
                if device != "none":
                    found.append((process.pid, command[4].removeprefix("train@"), device))
    return found


def client_of(running):
    address = f"http://127.0.0.1:{running.mlflow_port}"
    return mlflow.MlflowClient(address, address)


def nothing_is_left(home, running):
    """No process of a stage, no checkout, no half-written file, no checkpoint."""
    wait_for(lambda: not trainings(), 20, "no training is left")
    assert list((home.root / ".genmint" / "checkouts").iterdir()) == []
    assert not list((home.root / ".genmint").rglob("*.tmp"))
    assert not list((home.root / ".genmint" / "checkpoints").rglob("state.pt"))
    assert home.run("git", "worktree", "list").stdout.count("\n") == 1


def test_never_two_training_runs_on_a_device_and_a_person_goes_first(home, running):
    """Acceptance: sampled every 100 ms from the process table."""
    home.run("dvc", "repro", "reference@digits")
    (home.root / ".gitignore").write_text(
        (home.root / ".gitignore").read_text() + "\n/services.log\n"
    )
    home.run("git", "add", "dvc.lock", ".gitignore")
    home.commit("prepared")
    commit = home.run("git", "rev-parse", "HEAD").stdout.strip()
    order = {"commit": commit, "ref": "", "cache": cache_token(Project(home.root)),
             "force": ["train", "evaluate"]}  # fmt: skip
    runs = {name: ask(running, "train-model/worker", "nightly", model=name, **order)
            for name in ("one", "two")}  # fmt: skip
    wait_for(
        lambda: all(run_of(running, run).state.is_running() for run in runs.values()), 60, "two"
    )
    # Asked for first, the night's waits for the person's.
    runs["three"] = ask(running, "train-model/worker", "nightly", model="three", **order)
    runs["person"] = ask(running, "train-model/worker", "person", model="one", **order)
    looks = []
    while not all(run_of(running, run).state.is_final() for run in runs.values()):
        for _ in range(5):
            looks.append(trainings())
            time.sleep(0.1)
    devices = [[device for _, _, device in look] for look in looks]
    assert all(len(set(look)) == len(look) for look in devices), devices
    assert {device for look in devices for device in look} == {"gpu-0", "gpu-1"}
    assert any(len(look) == 2 for look in devices)
    found = {name: run_of(running, run) for name, run in runs.items()}
    assert all(run.state.is_completed() for run in found.values())
    assert found["person"].start_time < found["three"].start_time
    nothing_is_left(home, running)


def test_a_round_and_then_nothing_to_do(home, running):
    """The working tree, index and branch are the same to the byte; the page tells all."""
    before = users(home)
    run = ask(running, "retrain/now", models=list(MODELS), force=["train"])
    ended(running, run, "Completed", 300)
    assert users(home) == before
    page = page_of(running, run)
    for name in MODELS:
        assert f"/#/models/{name}/versions/1) | promoted | none | version 1 |" in page
        assert f"| train@{name} | ran |" in page
        assert f"![{name}](data:image/png;base64," in page
    branch = home.run("git", "branch", "--list", "retrain/*").stdout.split()[-1]
    assert f"`{branch}`" in page
    again = ask(running, "retrain/now", models=list(MODELS))
    ended(running, again, "Completed", 120)
    page = page_of(running, again)
    assert "**nothing changed, so nothing was trained**" in page
    assert "| ran |" not in page
    assert page.count("| is champion | version 1 | version 1 |") == 3
    assert f"`{branch}` (identical to that of an earlier flow)" in page
    assert users(home) == before
    nothing_is_left(home, running)


def test_changes_that_are_not_committed_are_refused_by_name(home, running):
    params = home.root / "params.yaml"
    committed = params.read_text()
    params.write_text(committed + "# a thought\n")
    try:
        run = ask(running, "retrain/now", models=["one"])
        ended(running, run, "Failed", 60)
        assert "would not be trained: params.yaml" in run_of(running, run).state.message
    finally:
        params.write_text(committed)


def test_data_that_are_not_there_stop_their_models_only_and_at_once(home, running):
    own = home.root / "data" / "own"
    few = own / "nested" / "few"
    few.mkdir(parents=True)
    (own / "dangling").symlink_to(own / "nowhere")
    for number in range(3):
        Image.new("L", (8, 8), 80 * number).save(few / f"{number}.png")
    begun = time.monotonic()
    run = ask(running, "retrain/now", models=["one", "orphan", "of-dangling", "of-few"])
    ended(running, run, "Failed", 120)
    # What cannot heal is not tried again.
    assert time.monotonic() - begun < 60
    message = run_of(running, run).state.message
    assert "ingest@nothing: " in message
    assert "data/own/nothing" in message
    assert "broken symbolic link" in message
    # Too few images pass validation; what the message names is there, though the checkout is gone.
    assert "validate@few: few failed its validation" in message
    named = re.findall(r"\S+/quarantine\.csv|\S+/validation\.html", message)
    assert len(named) == 2
    assert all(Path(path).is_file() for path in named)
    page = page_of(running, run)
    (line,) = [line for line in page.splitlines() if line.startswith("- gate@orphan: ")]
    assert re.search(r": \*\*failed\*\*: not run, since .*orphan\b.* failed$", line)
    # The other model is done nevertheless.
    assert "/#/models/one/versions/1) |" in page
    assert "| gate@one | " in page
    nothing_is_left(home, running)


def busy(name):
    """The training of a model that has saved a checkpoint."""

    def look():
        return [pid for pid, model, _ in trainings() if model == name]

    return wait_for(look, 90, f"{name} trains")


def checkpoint(home, name):
    def look():
        return list((home.root / ".genmint" / "checkpoints" / name).glob("*/state.pt"))

    return wait_for(look, 60, f"a checkpoint of {name}")


def process_of(run):
    """The process of a flow run."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if (process.environ().get("PREFECT__FLOW_RUN_ID") == str(run)
                    and any("prefect" in word for word in command)):  # fmt: skip
                return process.pid
    return None


def runs_at(running, name):
    tracker = client_of(running)
    experiment = tracker.get_experiment_by_name("genmint").experiment_id
    return tracker.search_runs([experiment], f"tags.`genmint.model` = '{name}'")


@pytest.mark.parametrize("victim", ["flow", "sub-run", "worker"])
def test_what_is_killed_in_the_middle_goes_on_from_its_checkpoint(home, running, victim):
    name = {"flow": "one", "sub-run": "two", "worker": "three"}[victim]
    before = len(runs_at(running, name))
    seed = {"flow": 11, "sub-run": 12, "worker": 13}[victim]
    run = ask(running, "retrain/now", models=[name], revision="main",
              overrides={f"models.{name}.steps": LONG, f"models.{name}.seed": seed})  # fmt: skip
    (training,) = busy(name)
    checkpoint(home, name)
    with running.client as client:
        (sub_run,) = [each.id for each in client.read_flow_runs()
                      if each.name == f"train {name}" and each.state.is_running()]  # fmt: skip
    if victim == "worker":
        (device,) = [device for pid, _, device in trainings() if pid == training]
        running.kill(f"worker {device}")
    else:
        os.kill(process_of(run if victim == "flow" else sub_run), signal.SIGKILL)
    if victim == "sub-run":
        # The stage dies with its flow: nothing trains on a device that was given to another.
        wait_for(lambda: not psutil.pid_exists(training), 15, "the training ends with its flow")
    ended(running, run, "Completed", 400)
    # One run at the tracker, though two processes trained: the second went on.
    assert len(runs_at(running, name)) == before + 1
    assert "failed" not in page_of(running, run)
    nothing_is_left(home, running)


def evaluates(name):
    """Whether the evaluation of a model runs: its training is over, its flow is not."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[1:5] == ["-m", "genmint", "evaluate", f"evaluate@{name}"]:
            return True
    return False


@pytest.mark.parametrize("victim", ["flow", "sub-run"])
def test_what_was_trained_before_a_crash_is_told_at_the_end(home, running, victim):
    """What goes on finds the weights in DVC's cache: it has trained nothing itself."""
    seed = {"flow": 31, "sub-run": 32}[victim]
    run = ask(running, "retrain/now", models=["one"], overrides={"models.one.seed": seed})
    wait_for(lambda: evaluates("one"), 900, "the evaluation")
    with running.client as client:
        (sub_run,) = [each.id for each in client.read_flow_runs()
                      if each.name == "train one" and each.state.is_running()]  # fmt: skip
    os.kill(process_of(run if victim == "flow" else sub_run), signal.SIGKILL)
    ended(running, run, "Completed", 900)
    page = page_of(running, run)
    assert "trained one" in page.split("\n")[0]
    assert "| train@one | ran |" in page
    if victim == "flow":
        assert "Attempt 2 of this run" in page
    nothing_is_left(home, running)


def test_a_cancelled_flow_takes_the_training_run_with_it(home, running):
    from prefect.states import Cancelling

    run = ask(running, "retrain/now", models=["one"],
              overrides={"models.one.steps": 2_000_000, "models.one.seed": 21})  # fmt: skip
    (training,) = busy("one")
    with running.client as client:
        client.set_flow_run_state(run, Cancelling())
    ended(running, run, "Cancelled", 60)
    wait_for(lambda: not psutil.pid_exists(training), 60, "its training is gone")
    wait_for(lambda: list((home.root / ".genmint" / "checkouts").iterdir()) == [], 30, "checkouts")
    # Both workers are free: a small round gets through.
    after = ask(running, "retrain/now", models=["one"])
    ended(running, after, "Completed", 120)
    for left in (home.root / ".genmint" / "checkpoints").rglob("state.pt"):
        left.unlink()


def test_rounds_of_one_deployment_wait_for_each_other_and_none_is_lost(home, running):
    runs = [ask(running, "retrain/now", models=["one"]) for _ in range(3)]
    together = 0
    while not all(run_of(running, run).state.is_final() for run in runs):
        together = max(together, sum(run_of(running, run).state.is_running() for run in runs))
        time.sleep(0.5)
    assert together == 1
    assert all(run_of(running, run).state.is_completed() for run in runs)
