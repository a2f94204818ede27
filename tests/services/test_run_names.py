"""Runs are named by what they do."""

import pytest
from prefect.utilities.names import generate_slug

from genmint.services.run_names import (
    drift_name,
    naming,
    reconcile_name,
    retrain_name,
    run_name,
    train_name,
)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "retrain all models"),
        ({"models": ["image-vae"], "overrides": {"models.image-vae.steps": 1000}},
         "retrain image-vae steps=1000"),
        ({"models": ["a", "b"], "overrides": {"models.a.steps": 5}}, "retrain a, b a.steps=5"),
        ({"models": list("abcde"), "force": ["train"]}, "retrain 5 models forced train"),
        ({"revision": "f" * 40, "fresh": ["shapes"]},
         "retrain all models at ffffffffffff on new shapes"),
    ],
)  # fmt: skip
def test_a_retraining_is_named_by_what_it_does(parameters, name):
    assert retrain_name(parameters) == name


@pytest.mark.parametrize(
    ("describe", "parameters", "name"),
    [
        (drift_name, {"datasets": None, "retrain": True, "revision": "HEAD"},
         "drift all data sets"),
        (drift_name, {"datasets": ["digits"], "retrain": False, "revision": "origin/main"},
         "drift digits at origin/main without retraining"),
        (reconcile_name, {"models": None, "revision": "HEAD"}, "reconcile all models"),
        (reconcile_name, {"models": ["a", "b"]}, "reconcile a, b"),
    ],
)  # fmt: skip
def test_the_other_flows_are_named_alike(describe, parameters, name):
    assert describe(parameters) == name


def test_a_training_run_is_named_by_its_model():
    assert train_name("image-vae") == "train image-vae"


def test_only_a_name_that_nobody_typed_is_replaced():
    assert run_name(generate_slug(2), "drift digits") == "drift digits"
    # As the form of Prefect's pages proposes it.
    assert run_name("Rustic-Ibis", "drift digits") == "drift digits"
    assert run_name("", "drift digits") == "drift digits"
    assert run_name("Friday's trial", "drift digits") == "Friday's trial"
    assert run_name("trial-of-friday", "drift digits") == "trial-of-friday"


def test_prefect_names_a_run_so(prefect_alone):
    from prefect import flow
    from prefect.runtime import flow_run

    @flow(flow_run_name=naming(lambda known: f"nap {known['seconds']}"))
    def nap(seconds: int = 3) -> str:
        return flow_run.name

    assert nap(return_state=True).name == "Completed"
    assert nap() == "nap 3"
