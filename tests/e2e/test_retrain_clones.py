"""Retraining in several clones, and without workers."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.flows import CHECKPOINTS, ask, ended, home, page_of, project, running  # noqa: F401 - fixtures

from genmint.common.dvc_lock import read_lock

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def start_worker(pool, env, folder, log):
    """A worker of a pool, whose home is a clone of its own."""
    machine = {**env, "GENMINT_HOME": str(folder), "HOME": str(folder),
               "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t.org"}  # fmt: skip
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    command += ["--type", "process", "--install-policy", "never"]
    return subprocess.Popen(
        command, cwd=folder, env=machine, stdout=subprocess.DEVNULL, stderr=log.open("wb"),
        start_new_session=True,
    )  # fmt: skip


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
            log = tmp_path / f"{pool}.log"
            workers.append(start_worker(pool, env, tmp_path / place, log))
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
    assert "genmint deploy" in refused.stderr
    here = home.run(sys.executable, "-c", f"{call}print(retrain(models=['one'], train_on='here'))",
                    **env)  # fmt: skip
    assert "nothing changed, so nothing was trained" in here.stdout
