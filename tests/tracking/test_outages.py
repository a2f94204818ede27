"""A tracker that is away, slow, failing or refusing costs a training no step and no metric."""

import threading
import time

import pytest

from genmint import tracking
from genmint.common.errors import RegistryUnreachableError
from genmint.promotion.promote import promote
from genmint.tracking import reporter

ABOUT = tracking.DatasetInfo("dots", "image", "d" * 64, "data/prepared/dots", {"train": 80})
BLOCK = {"steps": 10, "optimiser": {"lr": 0.1}}


def report(run, first, last):
    began = time.monotonic()
    for step in range(first, last + 1):
        run.metrics(step, {"train_loss": 1.0 / step})
    assert time.monotonic() - began < 1.0


def steps(store, token):
    return [step for _, step in store.rows(token)]


@pytest.mark.parametrize(
    ("outage", "path"),
    [
        ("refuse", ""),
        ("fail", "/"),
        ("fail", "runs/log-batch"),
        ("reject", "runs/log-batch"),
        ("delay", "runs/log-batch"),
        ("lose", "/"),
    ],
)
def test_an_outage_in_the_middle_costs_nothing(
    workshop, proxy, token, wait_until, outage, path, monkeypatch, capsys
):
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        report(run, 1, 10)
        wait_until(lambda: len(proxy.store.rows(token)) == 10)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        if outage == "refuse":
            proxy.close()
        else:
            proxy.misbehave(outage, path, seconds=1.5)
        report(run, 11, 600)
        wait_until(lambda: run._error is not None)
        monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
        if outage == "refuse":
            proxy.open()
        else:
            proxy.behave()
        report(run, 601, 700)
        run.finish("f" * 64)
    assert steps(proxy.store, token) == list(range(1, 701))
    assert proxy.store.runs(token) == [(run.run_id, "FINISHED")]
    assert "tracker" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "lost", ["runs/create", "runs/log-batch", "runs/log-inputs", "runs/update"]
)
@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_is_lost_leaves_nothing_twice(workshop, proxy, token, lost, times):
    """One is made up for by mlflow's HTTP client, which sends again; two reach our own tries."""
    proxy.misbehave("lose", lost, times)
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        report(run, 1, 20)
        run.finish("f" * 64)
    assert proxy.hits == times
    assert proxy.store.runs(token) == [(run.run_id, "FINISHED")]
    assert steps(proxy.store, token) == list(range(1, 21))
    assert proxy.store.described(token)[0] == 2 * proxy.store.described(token)[1] == 2


def test_a_create_request_whose_answer_is_lost_without_a_token(workshop, proxy, client):
    proxy.misbehave("lose", "runs/create", 2)
    with tracking.start_run(workshop.project, "lonely", BLOCK) as run:
        run.finish("f" * 64)
    condition = "tags.`genmint.model` = 'lonely'"
    (found,) = client.search_runs([tracking.experiment_id(client)], filter_string=condition)
    assert (found.info.run_id, found.info.status) == (run.run_id, "FINISHED")


@pytest.mark.parametrize("failing", ["runs/log-batch", "runs/log-inputs"])
def test_a_run_that_could_not_be_described_at_once_is_described_later(
    workshop, proxy, token, wait_until, failing
):
    proxy.misbehave("fail", failing, 5)
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        report(run, 1, 5)
        wait_until(lambda: run.run_id)
        run.finish("f" * 64)
    assert proxy.hits == 5
    assert proxy.store.described(token) == (2, 1)
    assert steps(proxy.store, token) == list(range(1, 6))
    assert proxy.store.runs(token) == [(run.run_id, "FINISHED")]


def test_finish_waits_for_a_tracker_that_comes_back(workshop, proxy, token, wait_until, capsys):
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        wait_until(lambda: run.run_id)
        proxy.misbehave("fail")
        report(run, 1, 20)
        threading.Timer(1.0, proxy.behave).start()
        run.finish("f" * 64)
    assert steps(proxy.store, token) == list(range(1, 21))
    assert proxy.store.runs(token) == [(run.run_id, "FINISHED")]
    assert "tracker" not in capsys.readouterr().err


def test_finish_does_not_wait_for_ever(workshop, proxy, token, wait_until, monkeypatch, capsys):
    monkeypatch.setattr(reporter, "_PATIENCE_SECONDS", 1.0)
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        wait_until(lambda: run.run_id)
        proxy.misbehave("fail")
        report(run, 1, 20)
        began = time.monotonic()
        run.finish("f" * 64)
        assert time.monotonic() - began < 5.0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("tiny: the run was not sent to the tracker:")
    assert "genmint promote tiny" in line
    run._thread.join(5.0)
    assert not run._thread.is_alive()


def test_a_training_run_that_failed_does_not_wait_and_points_at_no_history(
    workshop, proxy, token, wait_until, capsys
):
    def fail():
        with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
            wait_until(lambda: run.run_id)
            proxy.close()
            raise ValueError("lost")

    began = time.monotonic()
    with pytest.raises(ValueError, match="lost"):
        fail()
    assert time.monotonic() - began < 15.0
    proxy.open()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("tiny: the run was not sent to the tracker:")
    assert "history.csv" not in line


@pytest.mark.parametrize("where", ["embedded", "server"])
def test_a_refused_metric_holds_up_no_other_and_is_told(
    workshop, token, wait_until, where, request, capsys
):
    proxy = request.getfixturevalue("proxy") if where == "server" else None
    store = proxy.store if proxy else request.getfixturevalue("own_store")
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        for step in range(1, 701):
            run.metrics(step, {"a": 1.0, "lr$": 2.0, "b": float("nan")})
        wait_until(lambda: len(store.rows(token)) == 1400)
        if proxy:
            proxy.misbehave("count", "runs/log-batch")
        run.metrics(701, {"a": 1.0, "lr$": 2.0, "b": 0.0})
        wait_until(lambda: len(store.rows(token)) == 1402)
        # What nothing good comes with: it must not hold up the end of the run either.
        run.metrics(702, {"lr$": 2.0, "ü%": 2.0})
        run.finish("f" * 64)
    assert store.rows(token) == [(key, step) for key in "ab" for step in range(1, 702)]
    assert store.runs(token) == [(run.run_id, "FINISHED")]
    (line,) = capsys.readouterr().err.strip().splitlines()
    # Of a key once refused nothing is sent: a and b of step 701, twice ü% of 702, and the tags.
    assert proxy is None or proxy.hits <= 5
    assert line.startswith("tiny: the tracker refused 703 values of 'lr$', 'ü%' (")
    assert "INVALID_PARAMETER_VALUE" in line or "Names may only contain" in line
    assert str(workshop.project.model("tiny") / "history.csv") in line


def test_no_metric_is_blamed_for_a_run_that_was_deleted(
    workshop, own_store, client, token, wait_until, capsys
):
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        wait_until(lambda: run.run_id)
        client.delete_run(run.run_id)
        report(run, 1, 20)
        wait_until(lambda: run._error is not None)
        assert "deleted" in str(run._error)
        client.restore_run(run.run_id)
        run.finish("f" * 64)
    assert steps(own_store, token) == list(range(1, 21))
    assert own_store.runs(token) == [(run.run_id, "FINISHED")]
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_of_training(
    workshop, mortal_server, wait_until, monkeypatch, capsys
):
    """Promotion over HTTP first, since the server is there; then it is killed under a training."""
    weights = workshop.make()
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "promoted", outcome
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "is champion", outcome
    workshop.make(seed=1, elbo=-10.0)
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert (outcome.verdict, outcome.version) == ("promoted", "2"), outcome

    monkeypatch.setattr(reporter, "_PATIENCE_SECONDS", 2.0)
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT) as run:
        run.metrics(1, {"train_loss": 1.0})
        wait_until(lambda: run.run_id)
        mortal_server.kill()
        report(run, 2, 1000)
        run.finish(weights)
    assert "was not sent to the tracker" in capsys.readouterr().err

    with pytest.raises(RegistryUnreachableError):
        promote(workshop.project, workshop.params, ["tiny"])
