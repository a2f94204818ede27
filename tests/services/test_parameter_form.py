"""Prefect's form has a field for each parameter of the flows."""

import pytest
from prefect import flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import is_valid

from genmint.services.parameter_form import ModelNames, StageVerbs, names_to_choose, with_fields

NAMES = {"models": ["image-vae", "text-rnn"], "stages": ["train", "gate"]}


@flow
def sample(
    count: int,
    models: ModelNames = None,
    overrides: dict[str, int] | None = None,
    note: str | None = None,
    force: StageVerbs = None,
    revision: str = "HEAD",
):
    """Do nothing.

    Args:
        overrides: keys and values.
    """


def schema(names=NAMES):
    return with_fields(parameter_schema(sample).model_dump(exclude_unset=True), names)


def test_a_list_of_names_offers_those_of_the_project_and_takes_others():
    models = schema()["properties"]["models"]
    listed, typed, none = models["anyOf"]
    assert listed["items"]["enum"] == ["image-vae", "text-rnn"]
    assert "enum" not in typed["items"]
    assert none == {"title": "All", "type": "null"}
    assert schema()["properties"]["force"]["anyOf"][2]["title"] == "None"


def test_a_map_has_one_type_since_the_form_has_no_field_for_two():
    overrides = schema()["properties"]["overrides"]
    assert overrides["type"] == "object"
    assert "anyOf" not in overrides
    assert "default" not in overrides
    assert overrides["description"] == "keys and values."


def test_other_parameters_stay():
    before = parameter_schema(sample).model_dump(exclude_unset=True)["properties"]
    for name in ("count", "revision"):
        assert schema()["properties"][name] == before[name]
    assert schema()["required"] == ["count"]


@pytest.mark.parametrize("names", [NAMES, {}])
def test_the_server_takes_what_the_flow_takes_and_nothing_else(names):
    for good in ({}, {"models": None}, {"models": ["image-vae"]}, {"models": ["on-a-branch"]},
                 {"overrides": None}, {"overrides": {"a.b": 1}}, {"note": None}, {"note": "x"},
                 {"force": None}, {"force": ["train"]}):  # fmt: skip
        assert is_valid({"count": 1, **good}, schema(names)), good
    for bad in ({"models": "image-vae"}, {"models": [1]}, {"overrides": "steps"}, {"note": 1}):
        assert not is_valid({"count": 1, **bad}, schema(names)), bad


def test_names_are_those_of_params_yaml(tmp_path):
    (tmp_path / "params.yaml").write_text("models: {a: {}, b: {}}\ndatasets: {d: {}}\n")
    names = names_to_choose(tmp_path)
    assert names["models"] == ["a", "b"]
    assert names["datasets"] == ["d"]
    assert names["drift"] == []
    assert names["stages"][0] == "ingest"


@pytest.mark.parametrize("text", ["models: [", "- 1", "models: 3"])
def test_without_a_valid_params_yaml_no_names_are_offered(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert not names_to_choose(tmp_path).get("models")
    (tmp_path / "params.yaml").unlink()
    assert not names_to_choose(tmp_path).get("models")
