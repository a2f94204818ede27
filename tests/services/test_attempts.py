"""What a run did before it crashed is told at its end: labels at a real Prefect server."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from genmint.flow.stage import StageOutcome
from genmint.services.attempts import Attempts, began

pytestmark = pytest.mark.usefixtures("prefect_alone")
TRAINS, EVALUATES = "Running stage 'train@a':", "Running stage 'evaluate@a':"
CACHED = [StageOutcome("train@a", "cached", 1.0), StageOutcome("evaluate@a", "ran", 2.0)]


@flow(name="retrain")
def retrain():
    pass


@pytest.fixture
def attempt():
    """Makes the attempts of one run, each as a process that knows what Prefect has alone."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(retrain).id

        def begin():
            return Attempts(client.read_flow_run(run), pytest.fail)

        begin.run = run
        yield begin


def test_what_began_before_a_crash_was_made_by_the_run(attempt):
    said = []
    hear = attempt().listening(said.append)
    for line in ("'data/x.dvc' didn't change, skipping", TRAINS, "step 1"):
        hear(line)
    # It is killed; what follows finds the results in DVC's cache.
    assert [each.result for each in attempt().over_all(CACHED)] == ["ran", "ran"]
    assert said[-2:] == [TRAINS, "step 1"]
    assert began(attempt.run) == {"train@a"}


def test_what_others_made_is_not_the_run_s_own(attempt):
    attempt().listening(str)(EVALUATES)
    assert attempt().over_all(CACHED) == CACHED
    # Unless it had asked them for it.
    assert attempt().over_all(CACHED, {"train@a"})[0].result == "ran"


def test_the_champion_before_is_that_of_the_first_attempt(attempt):
    registry = {"a": "1", "b": None}
    look = lambda names: {name: registry[name] for name in names}  # noqa: E731
    assert attempt().champions(["a", "b"], look) == {"a": "1", "b": None}
    # It promoted both before it was killed.
    registry |= {"a": "2", "b": "1", "c": "7"}
    assert attempt().champions(["a", "b", "c"], look) == {"a": "1", "b": None, "c": "7"}


def test_a_run_that_was_deleted_began_nothing(attempt):
    attempt().listening(str)(TRAINS)
    with get_client(sync_client=True) as client:
        client.delete_flow_run(attempt.run)
    assert began(attempt.run) == set()
