"""The flow `retrain` with real servers and workers: devices, faults, two machines, refusals."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import mlflow
import psutil
import pytest
from PIL import Image
from tests.e2e.conftest import clone_of_the_project
from tests.flow.conftest import Repository
from tests.services.conftest import Running, wait_for

from genmint.flow.transfer import cache_token
from genmint.lock import read_lock
from genmint.project import Project

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

MODELS = ("one", "two", "three")
MODEL = "{family: vae, dataset: digits, hidden: [16], latent: 2, validate_every: 200, steps: 300}"
GATE = "{thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}"
PARAMS = f"""\
datasets:
  digits: {{path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source,
           confirmation: 0.0,
           reference: {{min_accuracy: 0.2, epochs: 3}}, protocol: {{samples: 32, resamples: 2}}}}
  nothing: {{path: data/own/nothing, kind: image, resolution: 8}}
  dangling: {{path: data/own/dangling, kind: image, resolution: 8}}
  few: {{path: data/own/nested/few, kind: image, resolution: 8, mode: grey}}
models:
  one: {MODEL}
  two: {MODEL}
  three: {MODEL}
  orphan: {MODEL.replace("digits", "nothing")}
  of-dangling: {MODEL.replace("digits", "dangling")}
  of-few: {MODEL.replace("digits", "few")}
gates:
  one: {GATE}
  two: {GATE}
  three: {GATE}
  orphan: {GATE}
  of-dangling: {GATE}
  of-few: {GATE}
"""
# Long enough to be met in the middle on two slow cores, short enough to be waited for.
LONG = 12_000
CHECKPOINTS = {"GENMINT_CHECKPOINT_SECONDS": "0.5", "OMP_NUM_THREADS": "1"}


def project(root):
    made = clone_of_the_project(root)
    (root / "params.yaml").write_text(PARAMS)
    made.commit("small models")
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return project(tmp_path_factory.mktemp("retrain") / "home")


@pytest.fixture(scope="module")
def running(home, tmp_path_factory):
    locks = tmp_path_factory.mktemp("locks")
    env = {"GENMINT_HOME": str(home.root), "GENMINT_LOCKS": str(locks), **CHECKPOINTS}
    started = Running(home.root, "--workers", "2", "--name", "here", **env)
    yield started
    started.clean()


def users(home):
    """All that is the user's: what MLflow and the services write is not."""
    found = Repository(home.root).fingerprint()
    return {name: value for name, value in found.items()
            if not name.startswith(("mlflow.db", "mlartifacts/", "services.log"))}  # fmt: skip


def ask(running, deployment, queue=None, **parameters):
    with running.client as client:
        found = client.read_deployment_by_name(deployment)
        return client.create_flow_run_from_deployment(
            found.id, parameters=parameters, work_queue_name=queue
        ).id


def run_of(running, run):
    with running.client as client:
        return client.read_flow_run(run)


def ended(running, run, name, seconds):
    """Wait until a run has ended, and look how."""
    wait_for(lambda: run_of(running, run).state.is_final(), seconds, f"a run ends {name}")
    # A run that crashed is scheduled anew at once.
    wait_for(lambda: not run_of(running, run).state.is_crashed(), 120, "it goes on")
    wait_for(lambda: run_of(running, run).state.is_final(), seconds, f"a run ends {name}")
    state = run_of(running, run).state
    assert state.name == name, state.message


def page_of(running, run):
    api = f"http://127.0.0.1:{running.prefect_port}/api"
    pages = httpx.post(f"{api}/artifacts/filter", json={"sort": "CREATED_DESC"}).json()
    ours = [page for page in pages if page["key"] == "retrain"]
    return next(page["data"] for page in ours if page["flow_run_id"] == str(run))


def trainings():
    """Of each process that trains a model of ours: number, model, device, by the process table."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        # Others may train on this machine meanwhile.
        if command[1:4] == ["-m", "genmint", "train"] and command[4:] in [[m] for m in MODELS]:
            with contextlib.suppress(psutil.Error):
                device = process.environ().get("GENMINT_DEVICE")
                # One that may not train only says so, and ends.
                if device != "none":
                    found.append((process.pid, command[4], device))
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


def test_never_two_trainings_on_a_device_and_a_person_goes_first(home, running):
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
    assert f"`{branch}` (an earlier flow made the very same)" in page
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
    assert "symbolic link to nothing" in message
    # Too few images may enter; what the message names is there, though the checkout is gone.
    assert "validate@few: few may not enter" in message
    named = re.findall(r"\S+/quarantine\.csv|\S+/index\.html", message)
    assert len(named) == 2
    assert all(Path(path).is_file() for path in named)
    page = page_of(running, run)
    (line,) = [line for line in page.splitlines() if line.startswith("- gate@orphan: ")]
    assert re.search(r": \*\*failed\*\*: not tried, since .*orphan\b.* failed$", line)
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
                      if each.name == name and each.state.is_running()]  # fmt: skip
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


def test_a_cancelled_flow_takes_the_training_with_it(home, running):
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


def test_two_clones_with_a_shared_remote(home, running, tmp_path):
    """The worker's clone trains, the flow's restores; dvc.lock is that of a run by hand."""
    remotes = tmp_path / "remotes"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(remotes / "git")], check=True)
    first = project(tmp_path / "first")
    first.run("dvc", "remote", "add", "--default", "shared", str(remotes / "dvc"))
    first.commit("remote")
    first.run("git", "remote", "add", "origin", str(remotes / "git"))
    first.run("git", "push", "-q", "origin", "main")
    subprocess.run(
        ["git", "clone", "-q", str(remotes / "git"), str(tmp_path / "second")], check=True
    )
    by_hand = first.clone(tmp_path / "by-hand", cache=False)
    env = {
        **running.clean_env(), **CHECKPOINTS,
        "PREFECT_API_URL": f"http://127.0.0.1:{running.prefect_port}/api",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{running.mlflow_port}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    workers = []
    try:
        # Pools of their own, so that the workers of the other tests have no part in it.
        for pool, place in (("far-cpu", "first"), ("far-gpu", "second")):
            machine = {**env, "GENMINT_HOME": str(tmp_path / place), "HOME": str(tmp_path / place),
                       "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t.org"}  # fmt: skip
            workers.append(subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type",
                 "process", "--install-policy", "never"],
                cwd=tmp_path / place, env=machine, stdout=subprocess.DEVNULL,
                stderr=(tmp_path / f"{pool}.log").open("wb"), start_new_session=True,
            ))  # fmt: skip
        move_deployments(running, {"retrain/now": "far-cpu", "train-model/worker": "far-gpu"})
        run = ask(running, "retrain/now", models=["two"])
        ended(running, run, "Completed", 300)
        page = page_of(running, run)
    finally:
        move_deployments(running, {"retrain/now": "cpu", "train-model/worker": "gpu"})
        for worker in workers:
            worker.terminate()
            worker.wait(60)
    assert "| train@two | ran |" in page
    (branch,) = first.run("git", "branch", "-r", "--list", "origin/retrain/*").stdout.split()
    (tmp_path / "lock").write_text(first.run("git", "show", f"{branch}:dvc.lock").stdout)
    assert not (tmp_path / "first" / ".genmint" / "checkpoints").exists()
    assert list((tmp_path / "second" / ".genmint" / "checkouts").iterdir()) == []
    by_hand.run("dvc", "repro", "gate@two", **CHECKPOINTS)
    here, there = read_lock(by_hand.root / "dvc.lock"), read_lock(tmp_path / "lock")
    for stage in ("prepare@digits", "reference@digits", "train@two"):
        assert here[stage] == there[stage], stage


def move_deployments(running, pools):
    from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with running.client as client:
        for deployment, pool in pools.items():
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
            found = client.read_deployment_by_name(deployment)
            client.update_deployment(
                found.id, DeploymentUpdate(work_pool_name=pool, work_queue_name="default")
            )


def test_without_a_deployment_for_workers_it_says_what_to_do(home, running):
    """Called as a function, in a shell whose Prefect knows no workers; and the way without any."""
    call = "import sys; sys.path.insert(0, 'pipelines'); from retrain import retrain; "
    env = {"PREFECT_API_URL": f"http://127.0.0.1:{running.prefect_port}/api",
           "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{running.mlflow_port}",
           "GENMINT_HOME": str(home.root)}  # fmt: skip
    with running.client as client:
        client.delete_deployment(client.read_deployment_by_name("train-model/worker").id)
    refused = home.run(sys.executable, "-c", f"{call}retrain(models=['one'])", ok=False, **env)
    assert refused.returncode != 0
    assert "has no deployment train-model/worker" in refused.stderr
    assert "prefect deploy --all" in refused.stderr
    here = home.run(sys.executable, "-c", f"{call}print(retrain(models=['one'], train_on='here'))",
                    **env)  # fmt: skip
    assert "nothing changed, so nothing was trained" in here.stdout
