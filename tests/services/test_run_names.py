"""Runs are named by what they do."""

import pytest
from prefect.utilities.names import generate_slug

from genmint.services.run_names import retrain_name


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
def test_a_run_is_named_by_what_it_does(parameters, name):
    assert retrain_name(generate_slug(2), parameters) == name


def test_a_name_that_a_person_typed_is_kept():
    assert retrain_name("Friday's trial", {}) == "Friday's trial"
    assert retrain_name("trial-of-friday", {}) == "trial-of-friday"
