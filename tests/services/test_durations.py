"""What Prefect remembers, asked of a real server."""

import math
import time

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from genmint.services.durations import expected_seconds
from genmint.services.run_names import train_name

pytestmark = pytest.mark.usefixtures("prefect_alone")


@flow(name="train-model", flow_run_name="{model}")
def train(model: str, seconds: float, fail: bool = False):
    time.sleep(seconds)
    if fail:
        raise ValueError("it has no use for so long a run")


@flow(name="retrain", flow_run_name="{model}")
def another(model: str):
    time.sleep(0.6)


def test_the_longest_of_the_last_runs_that_were_completed_counts():
    for seconds in (0.5, 0.0):
        train("long", seconds)
    train("short", 0.0)
    with pytest.raises(ValueError, match="no use"):
        train("short", 0.6, fail=True)
    another("short")
    found = expected_seconds(["long", "short", "new"])
    assert 0.5 <= found["long"] < math.inf
    assert found["short"] < 0.5
    assert found["new"] == math.inf


def test_runs_of_this_version_have_the_name_that_train_model_gives_them():
    train.with_options(flow_run_name=train_name("named"))("named", 0.3)
    assert expected_seconds(["named"])["named"] >= 0.3


def test_what_was_long_ago_is_forgotten():
    train("once", 5.0)
    for _ in range(5):
        train("once", 0.0)
    assert expected_seconds(["once"])["once"] < 5.0


def test_a_server_that_does_not_answer_costs_the_order_only():
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert expected_seconds(["any"]) == {"any": math.inf}
