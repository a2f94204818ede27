"""Runs that a flow requests from workers, with a Prefect that is played."""

import logging
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.states import Cancelled, Completed, Crashed, Pending, Running, Scheduled

from genmint.common.errors import GenmintError
from genmint.services import worker_runs
from genmint.services.waiting import Wait
from genmint.services.worker_runs import WorkerRuns


@pytest.fixture
def prefect(monkeypatch):
    """Plays Prefect: each requested run goes through the next list of states in `states`."""
    played = SimpleNamespace(states=[], keys=[], runs={}, cancelled=[])

    def run_deployment(name, *, idempotency_key, **_):
        played.keys.append(idempotency_key)
        run = uuid4()
        first, *played.runs[run] = played.states.pop(0)
        return SimpleNamespace(id=run, state=first)

    class Client:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read_flow_run(self, run):
            return SimpleNamespace(state=played.runs[run].pop(0))

        def set_flow_run_state(self, run, state):
            played.cancelled.append((run, state.name))

    monkeypatch.setattr(worker_runs, "run_deployment", run_deployment)
    monkeypatch.setattr(worker_runs, "get_client", lambda **_: Client())
    monkeypatch.setattr(worker_runs, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(worker_runs, "began", lambda run: {f"train@{len(played.keys)}"})
    monkeypatch.setattr(worker_runs, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(worker_runs, "_CRASH_PATIENCE_SECONDS", -1.0)
    return played


def test_a_run_that_completes_ends_the_request(prefect):
    prefect.states = [[Running(), Running(), Completed(message="host: train@a ran")]]
    assert WorkerRuns(None).request("a", {}, "key") == ("host: train@a ran", set())
    assert prefect.keys == ["key:0"]


def test_until_a_worker_begins_the_run_the_task_waits(prefect, monkeypatch):
    shown = []

    class Waits(Wait):
        def begin(self, message=None):
            shown.append("waits")

        def end(self):
            shown.append("works")

    monkeypatch.setattr(worker_runs, "Wait", Waits)
    prefect.states = [[Scheduled(), Scheduled(), Pending(), Running(), Completed(message="h: x")]]
    WorkerRuns(None).request("a", {}, "key")
    assert shown[:3] == ["waits", "waits", "works"]
    assert set(shown[3:]) == {"works"}


def test_a_run_that_failed_in_an_earlier_attempt_is_not_waited_for(prefect):
    prefect.states = [[Crashed()], [Running(), Completed(message="host: done")]]
    assert WorkerRuns(None).request("a", {}, "key") == ("host: done", {"train@1"})
    assert prefect.keys == ["key:0", "key:1"]


def test_a_crashed_run_is_requested_again_until_it_crashed_three_times(prefect):
    prefect.states = [[Running(), Crashed(message="no memory")]] * 3
    with pytest.raises(GenmintError, match="crashed 3 times on workers: no memory"):
        WorkerRuns(None).request("a", {}, "key")
    assert len(prefect.keys) == 3


def test_a_cancelled_run_is_not_requested_again(prefect):
    prefect.states = [[Running(), Cancelled(message="by hand")]]
    with pytest.raises(GenmintError, match="cancelled on its worker: by hand"):
        WorkerRuns(None).request("a", {}, "key")
    assert len(prefect.keys) == 1


def test_a_flow_that_ends_cancels_what_it_requested(prefect):
    runs = WorkerRuns(None)
    runs.stop()
    prefect.states = [[Running()]]
    with pytest.raises(GenmintError, match="the flow is ending"):
        runs.request("a", {}, "key")
    runs.cancel()
    assert [state for _, state in prefect.cancelled] == ["Cancelling"]
