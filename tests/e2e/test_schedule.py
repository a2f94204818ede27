"""A schedule fires by itself, trains on the worker, and the registry and Prefect show it."""

import subprocess
import sys

import httpx
import mlflow
import pytest
from tests.e2e.conftest import clone_of_the_project
from tests.services.conftest import Running, wait_for

PARAMS = """\
datasets:
  digits: {path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source,
           confirmation: 0.0,
           reference: {min_accuracy: 0.2, epochs: 3}, protocol: {samples: 32, resamples: 2}}
models:
  digits-vae: {family: vae, dataset: digits, hidden: [16], latent: 2, steps: 50}
gates:
  digits-vae: {thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}
"""
LOGIN = "team:a long passphrase"
NIGHTLY = '{cron: "0 2 * * *", timezone: UTC}'


@pytest.fixture
def project(tmp_path):
    """A fresh clone with one small model, whose night comes every half minute."""
    made = clone_of_the_project(tmp_path / "home")
    (made.root / "params.yaml").write_text(PARAMS)
    declared = made.root / "prefect.yaml"
    assert NIGHTLY in declared.read_text()
    declared.write_text(declared.read_text().replace(NIGHTLY, "{interval: 30}"))
    made.commit("one small model, often")
    return made


@pytest.fixture
def store(request):
    """The variable STORE."""
    if request.param == "default":
        return {}
    if request.param == "login":
        return {"STORE": "sqlite", "GENMINT_LOGIN": LOGIN}
    said = request.param if request.param == "sqlite" else request.getfixturevalue("postgresql")
    return {"STORE": said}


@pytest.fixture
def running(project, store, tmp_path):
    started = Running(project.root, "--name", "here", GENMINT_LOCKS=str(tmp_path), **store)
    yield started
    started.clean()


def nights(running):
    with running.client as client:
        return [run for run in client.read_flow_runs() if run.name.startswith("retrain")]


def done(running):
    runs = nights(running)
    assert not any(run.state.is_failed() or run.state.is_crashed() for run in runs), runs
    return [run for run in runs if run.state.is_completed()]


@pytest.mark.soak
@pytest.mark.parametrize("store", ["default", "sqlite", "postgresql", "login"], indirect=True)
def test_a_schedule_fires_by_itself_and_trains_on_the_worker(project, running, store, monkeypatch):
    login = tuple(store.get("GENMINT_LOGIN", ":").split(":"))
    if login[0]:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", login[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", login[1])
    (night, *_) = wait_for(lambda: done(running), 300, "a night ends well")
    assert night.auto_scheduled
    with running.client as client:
        (training,) = [run for run in client.read_flow_runs() if run.name == "train digits-vae"]
        assert training.state.is_completed()
        assert training.work_pool_name == "gpu"
        assert training.labels["prefect.worker.name"] == "here:gpu-0"
        asked = client.request("POST", "/artifacts/filter", json={"sort": "CREATED_DESC"})
        pages = asked.json()
    shown = next(page["data"] for page in pages if page["flow_run_id"] == str(night.id))
    assert "digits-vae" in shown
    assert "promoted" in shown

    address = f"http://127.0.0.1:{running.mlflow_port}"
    tracker = mlflow.MlflowClient(address, address)
    champion = tracker.get_model_version_by_alias("digits-vae", "champion")
    assert tracker.get_run(champion.run_id).info.status == "FINISHED"
    assert httpx.get(address, auth=login).is_success
    running.wait_until(running.ask("reconcile/hourly"), "Completed", 120)
    if store.get("STORE", "sqlite") == "sqlite":
        # It is the store that `dvc repro` uses without any server.
        assert running.stop() == 130
        journal = project.run("genmint", "journal", "digits-vae").stdout
        assert "version 1" in journal or "1" in journal.split()
    assert project.run("git", "status", "--porcelain", "--", "params.yaml", "src").stdout == ""


@pytest.mark.soak
@pytest.mark.browser
@pytest.mark.parametrize("store", ["default"], indirect=True)
def test_prefects_page_shows_the_nightly_run_and_its_results(project, running, browser, tmp_path):
    (night, *_) = wait_for(lambda: done(running), 300, "a night ends well")
    page = f"http://127.0.0.1:{running.prefect_port}"
    browser.open(f"{page}/runs/flow-run/{night.id}", "Completed", night.name)
    browser.picture(tmp_path / "night.png")
    found = httpx.post(f"{page}/api/artifacts/filter", json={"sort": "CREATED_DESC"}).json()
    artifact = next(one for one in found if one["flow_run_id"] == str(night.id))
    browser.open(f"{page}/artifacts/artifact/{artifact['id']}", "digits-vae", "promoted")
    # The pictures of the samples are there, not only their place.
    loaded = "[...document.images].filter(image => image.naturalWidth > 20).length > 0"
    browser.until(loaded)
    browser.picture(tmp_path / "artifact.png")


@pytest.mark.soak
@pytest.mark.parametrize("store", ["default"], indirect=True)
def test_deploying_by_hand_changes_nothing_that_was_deployed(project, running):
    with running.client as client:
        before = {found.name: found.id for found in client.read_deployments()}
    command = [sys.executable, "-m", "genmint", "deploy"]
    api = f"http://127.0.0.1:{running.prefect_port}/api"
    deployed = subprocess.run(
        command, cwd=project.root, env={**running.clean_env(), "PREFECT_API_URL": api}, check=False
    )
    assert deployed.returncode == 0
    with running.client as client:
        assert {found.name: found.id for found in client.read_deployments()} == before
