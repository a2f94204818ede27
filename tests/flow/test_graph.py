"""The graph is DVC's; what is one run is ours."""

import math

import pytest

from genmint.common.errors import ConfigError, GenmintError
from genmint.flow.graph import Unit, read_graph, stages_for, units, weights
from genmint.flow.stage import ProcessGroup

GRAPH = {
    "gate@a": ["evaluate@a"],
    "evaluate@a": ["train@a", "prepare@d", "reference@d"],
    "train@a": ["prepare@d"],
    "reference@d": ["prepare@d"],
    "prepare@d": ["ingest@d"],
    "ingest@d": [],
    "train@b": ["prepare@e"],
    "evaluate@b": ["train@b"],
    "gate@b": ["evaluate@b"],
    "prepare@e": [],
}
PLAN = [
    Unit("data@a", ("prepare@a",), (), None),
    Unit("data@b", ("prepare@b", "reference@b"), (), None),
    Unit("short", ("train@short", "evaluate@short"), ("data@a",), "short"),
    Unit("long", ("train@long", "evaluate@long"), ("data@b",), "long"),
    Unit("middle", ("train@middle", "evaluate@middle"), ("data@b",), "middle"),
    Unit("gate@long", ("gate@long",), ("long",), None),
]


def test_only_what_the_gates_of_the_models_rest_on():
    assert set(stages_for(GRAPH, ["b"])) == {"gate@b", "evaluate@b", "train@b", "prepare@e"}


def test_a_model_without_stages_is_refused():
    with pytest.raises(ConfigError, match="no stage gate@c"):
        stages_for(GRAPH, ["c"])


def test_train_and_evaluate_are_one_unit_that_waits_for_all_that_either_needs():
    plan = {unit.name: unit for unit in units(GRAPH)}
    assert plan["a"].stages == ("train@a", "evaluate@a")
    assert plan["a"].needs == ("data@d",)
    assert plan["a"].model == "a"
    assert plan["gate@a"].needs == ("a",)
    assert plan["gate@a"].model is None


def test_the_stages_of_a_data_set_are_one_unit_in_their_order():
    plan = {unit.name: unit for unit in units(GRAPH)}
    assert plan["data@d"].stages == ("ingest@d", "prepare@d", "reference@d")
    assert plan["data@d"].needs == ()
    assert plan["data@d"].model is None


def test_every_unit_comes_after_those_that_it_needs():
    seen = set()
    for unit in units(GRAPH):
        assert seen >= set(unit.needs)
        seen.add(unit.name)
    assert {stage for unit in units(GRAPH) for stage in unit.stages} == set(GRAPH)


def test_dvc_is_asked(repository):
    graph = read_graph(repository.project, ProcessGroup())
    assert graph["evaluate@b"] == ["reference@d", "train@b"]
    assert graph["ingest@d"] == []


def test_a_damaged_dvc_yaml_is_named(repository):
    (repository.root / "dvc.yaml").write_text("stages: [")
    with pytest.raises(GenmintError, match=r"dvc\.yaml: DVC cannot read"):
        read_graph(repository.project, ProcessGroup())


def test_a_unit_weighs_what_the_longest_model_that_waits_for_it_takes():
    found = weights(PLAN, {"short": 3.0, "long": 40.0, "middle": 7.0})
    assert found == {
        "data@a": 3.0,
        "data@b": 40.0,
        "short": 3.0,
        "long": 40.0,
        "middle": 7.0,
        "gate@long": 0.0,
    }


def test_a_model_that_never_ran_is_as_heavy_as_can_be():
    found = weights(PLAN, {"short": math.inf, "long": 40.0, "middle": 7.0})
    assert found["data@a"] == math.inf
    assert found["data@b"] == 40.0
