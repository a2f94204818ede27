"""A tracker behind proxies: what they refuse is said, and what MLflow reaches is reached."""

import os

import pytest
from mlflow import MlflowClient
from tests.tracking.fronted import authority, files_server, fronts, plain_environment, reasonable  # noqa: F401 - fixtures

from genmint import tracking
from genmint.cli import run
from genmint.common.errors import RegistryRefusedError, RegistryUnreachableError
from genmint.tracking import reporter, transfer_time

LARGE = 3_000_000


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(os.urandom(LARGE))
    return path


def new_run(workshop):
    client = tracking.connect(workshop.project)
    return client, str(client.create_run(tracking.experiment_id(client)).info.run_id)


def before_a_slow_store(workshop, fronts, monkeypatch, seconds):
    """A run on a tracker whose store takes so long for a file, where a question may take one."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    front = fronts()
    made = new_run(workshop)
    front.upload_seconds = seconds
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    return made


@pytest.mark.parametrize("manner", ["drain", "abrupt", "silent"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_file_that_is_too_large_is_named(
    workshop, fronts, authority, large, monkeypatch, manner, tls
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    if tls:
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(authority.certificate))
    front = fronts(authority=authority if tls else None)
    client, run_id = new_run(workshop)
    front.limit, front.manner = 100_000, manner
    with pytest.raises((RegistryRefusedError, RegistryUnreachableError)) as caught:
        tracking.upload(client, run_id, large, "model-1/data")
    line = str(caught.value)
    reasonable(line)
    assert line.startswith(f"{front.address}: ")
    assert "model-1/data/model.safetensors of 3,000,000 bytes" in line
    assert "client_max_body_size" in line
    if manner == "drain" or (manner == "abrupt" and not tls):
        assert isinstance(caught.value, RegistryRefusedError)
        assert "a proxy before it, which calls itself front/1.0, does not take" in line
        assert "413" in line
    else:
        # Over TLS an answer in the middle of the request is lost with the connection.
        assert isinstance(caught.value, RegistryUnreachableError)
        assert "the connection broke while" in line
        assert "the tracking server answers other requests" in line


@pytest.mark.soak
def test_a_promotion_says_which_file_was_refused_and_succeeds_later(
    workshop, fronts, monkeypatch, capsys
):
    workshop.make()
    monkeypatch.chdir(workshop.root)
    front = fronts()
    assert run(["promote", "tiny"]) == 0, capsys.readouterr().err
    workshop.make(seed=1, elbo=-10.0)
    # All but the largest file, which comes among others.
    front.limit = max(front.uploads) - 1
    assert run(["promote", "tiny"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    reasonable(line)
    assert f"of {max(front.uploads):,} bytes (413" in line
    assert [str(v.version) for v in champions(front)] == ["1"]
    front.limit = None
    assert run(["promote", "tiny"]) == 0
    assert [str(v.version) for v in champions(front)] == ["2"]


def champions(front):
    client = MlflowClient(front.address)
    found = client.search_model_versions("name = 'tiny'")
    champion = client.get_model_version_by_alias("tiny", "champion")
    return [each for each in found if str(each.version) == str(champion.version)]


def test_a_slow_store_has_the_time_that_a_file_needs(workshop, fronts, large, monkeypatch):
    """A limit for questions does not end an upload."""
    client, run_id = before_a_slow_store(workshop, fronts, monkeypatch, 1.5)
    tracking.upload(client, run_id, large)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"


def test_a_training_run_that_ends_waits_for_its_files(
    workshop, fronts, large, wait_until, monkeypatch, capsys
):
    """As long as their size may need, and not only as long as for a tracker that is silent."""
    monkeypatch.setattr(reporter, "_PATIENCE_SECONDS", 2.0)
    front = fronts()
    client = tracking.connect(workshop.project)
    front.upload_seconds = 3.0
    with tracking.start_run(workshop.project, "slow", {"steps": 1}) as report:
        report.metrics(1, {"train_loss": 1.0})
        wait_until(lambda: report.run_id)
        wait_until(lambda: client.get_metric_history(report.run_id, "train_loss"))
        report.finish("f" * 64, [large])
    assert capsys.readouterr().err == ""
    assert client.get_run(report.run_id).info.status == "FINISHED"
    stored = {item.path: item.file_size for item in client.list_artifacts(report.run_id)}
    assert stored["model.safetensors"] == LARGE


def test_a_store_that_is_too_slow_is_said_to_be(workshop, fronts, large, monkeypatch):
    client, run_id = before_a_slow_store(workshop, fronts, monkeypatch, 3.0)
    monkeypatch.setattr(transfer_time, "_PATIENCE_SECONDS", -2)
    with pytest.raises(RegistryUnreachableError) as caught:
        tracking.upload(client, run_id, large)
    line = str(caught.value)
    reasonable(line)
    assert "did not store model.safetensors of 3,000,000 bytes within 1 s" in line
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" in line


def test_time_grows_with_the_size():
    assert transfer_time.seconds_for(0) == 120
    assert transfer_time.seconds_for(10**9) > 1000


def test_nobody_is_sent_away_from_a_registry_that_does_not_answer(
    workshop, fronts, monkeypatch, capsys
):
    front = fronts()
    front.close()
    workshop.make()
    monkeypatch.chdir(workshop.root)
    for verb in (["promote", "tiny"], ["status"], ["journal", "tiny"], ["reconcile"]):
        assert run(verb) != 0
        said = capsys.readouterr()
        assert "does not answer" in said.out + said.err
        reasonable(said.out + said.err)
