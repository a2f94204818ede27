"""A training that was killed, and goes on in another process: one run, each step once."""

import mlflow.tracking._tracking_service.client as mlflow_client
import pytest

from genmint import tracking

ABOUT = tracking.DatasetInfo("dots", "image", "d" * 64, "data/prepared/dots", {"train": 80})
BLOCK = {"steps": 10, "optimiser": {"lr": 0.1}}


def once(*keys, steps):
    return [(key, step) for key in sorted(keys) for step in range(1, steps + 1)]


@pytest.mark.parametrize("where", ["embedded", "server"])
def test_each_step_is_there_once_however_often_the_training_run_is_killed(
    workshop, nursery, token, wait_until, where, request
):
    proxy = request.getfixturevalue("proxy") if where == "server" else None
    store = proxy.store if proxy else request.getfixturevalue("own_store")
    uri = proxy.address if proxy else None
    steps = 120
    task = {"root": str(workshop.root), "uri": uri, "token": token, "steps": steps}
    # It stops to be killed, after the tracker has some of it and before that is all; and its
    # checkpoint is older than what it had sent, so that some steps are made twice.
    for rows, stop, restored in ((1, 25, 0), (60, 60, 10), (140, 100, 40)):
        child = nursery.train(**task, restored=restored, stop=stop)
        wait_until(lambda rows=rows: len(store.rows(token)) >= rows)
        nursery.kill(child)
        # Its last request is no longer on its way when a real training is back.
        wait_until(lambda: proxy is None or proxy.busy == 0)
        assert len(store.rows(token)) < 2 * steps
    nursery.wait(nursery.train(**task, restored=80))
    assert store.rows(token) == once("train_loss", "oddity", steps=steps)
    assert [status for _, status in store.runs(token)] == ["FINISHED"]
    assert store.described(token) == (2, 1)


@pytest.mark.parametrize(
    ("failing", "described"), [("runs/log-batch", (0, 0)), ("runs/log-inputs", (2, 0))]
)
def test_a_training_run_killed_before_its_run_was_described_describes_it_later(
    workshop, nursery, proxy, token, wait_until, failing, described
):
    task = {"root": str(workshop.root), "uri": proxy.address, "token": token, "steps": 20}
    proxy.misbehave("fail", failing)
    child = nursery.train(**task)
    wait_until(lambda: proxy.hits)
    nursery.kill(child)
    assert proxy.store.described(token) == described
    proxy.behave()
    nursery.wait(nursery.train(**task, restored=20))
    assert proxy.store.described(token) == (2, 1)
    assert proxy.store.rows(token) == once("train_loss", "oddity", steps=20)
    assert [status for _, status in proxy.store.runs(token)] == ["FINISHED"]


def test_a_run_that_failed_runs_again(workshop, own_store, client, token, wait_until):
    def fail():
        with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
            run.metrics(1, {"train_loss": 1.0})
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        fail()
    ((run_id, status),) = own_store.runs(token)
    assert (status, client.get_run(run_id).data.tags["genmint.error"]) == ("FAILED", "lost")
    with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT, token=token) as run:
        wait_until(lambda: run.run_id)
        assert own_store.runs(token) == [(run_id, "RUNNING")]
        assert "genmint.error" not in client.get_run(run_id).data.tags
        for step in (1, 2):
            run.metrics(step, {"train_loss": 1.0 / step, "new": 0.0})
        run.finish("f" * 64)
    assert own_store.rows(token) == once("new", "train_loss", steps=2)
    assert own_store.runs(token) == [(run_id, "FINISHED")]


def test_what_a_run_says_of_its_start_stays(workshop, own_store, client, token):
    """Resumed on another machine, say: a parameter can be added, but not changed."""
    elsewhere = tracking.DatasetInfo("dots", "image", "e" * 64, "elsewhere", {"train": 80})
    for block, about in ((BLOCK, ABOUT), ({**BLOCK, "steps": 20, "added": 1}, elsewhere)):
        with tracking.start_run(workshop.project, "tiny", block, about, token=token) as run:
            run.finish("f" * 64)
    found = client.get_run(run.run_id)
    assert found.data.params == {"steps": "10", "optimiser.lr": "0.1", "added": "1"}
    assert [each.dataset.digest for each in found.inputs.dataset_inputs] == ["d" * 32]
    assert own_store.runs(token) == [(run.run_id, "FINISHED")]


def test_without_a_token_each_training_run_has_a_new_run(workshop, client):
    made = set()
    for _ in range(2):
        with tracking.start_run(workshop.project, "tiny", BLOCK, ABOUT) as run:
            run.finish("f" * 64)
        made.add(run.run_id)
    assert len(made) == len(client.search_runs([tracking.experiment_id(client)])) == 2


def test_the_run_of_another_model_is_left_alone(workshop, client, token):
    made = {}
    for name in ("tiny", "other"):
        with tracking.start_run(workshop.project, name, BLOCK, token=token) as run:
            run.metrics(1, {"train_loss": 1.0})
            run.finish("f" * 64)
        made[name] = run.run_id
    assert made["tiny"] != made["other"]
    assert client.get_run(made["other"]).data.tags["genmint.model"] == "other"


def test_a_run_longer_than_a_page_is_known_whole(workshop, proxy, token, monkeypatch):
    monkeypatch.setattr(mlflow_client, "GET_METRIC_HISTORY_MAX_RESULTS", 7)
    for steps in (30, 40):
        with tracking.start_run(workshop.project, "tiny", BLOCK, token=token) as run:
            for step in range(1, steps + 1):
                run.metrics(step, {"train_loss": 1.0})
            run.finish("f" * 64)
    assert proxy.store.rows(token) == once("train_loss", steps=40)


def test_of_several_runs_the_fullest_goes_on_and_the_empty_ones_go(
    workshop, own_store, client, token
):
    """A create request whose answer came too late leaves an empty run behind."""
    tags = {"genmint.model": "tiny", "genmint.training": token}
    experiment = tracking.experiment_id(client)
    ids = [client.create_run(experiment, start, tags).info.run_id for start in range(4)]
    for run_id, key in ((ids[1], "train_loss"), (ids[1], "new"), (ids[2], "train_loss")):
        client.log_metric(run_id, key, 1.0, step=1)
    with tracking.start_run(workshop.project, "tiny", BLOCK, token=token) as run:
        run.finish("f" * 64)
    assert run.run_id == ids[1]
    assert sorted(own_store.runs(token)) == sorted([(ids[1], "FINISHED"), (ids[2], "RUNNING")])


def test_a_run_that_appears_late_is_gone_when_the_training_run_ends(
    workshop, own_store, client, token, wait_until
):
    with tracking.start_run(workshop.project, "tiny", BLOCK, token=token) as run:
        wait_until(lambda: run.run_id)
        tags = {"genmint.model": "tiny", "genmint.training": token}
        client.create_run(tracking.experiment_id(client), tags=tags)
        run.finish("f" * 64)
    assert own_store.runs(token) == [(run.run_id, "FINISHED")]
