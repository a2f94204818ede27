"""The graph is DVC's; what is one run is ours."""

import math
import shutil

import pytest

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.programs import run_dvc
from genmint.flow.checkout import checked_out
from genmint.flow.graph import Unit, read_graph, remaining, stages_for, units, weights
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
    graph = read_graph(repository.project, ProcessGroup()).needs
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


def test_only_units_with_a_stage_that_is_not_settled_remain():
    settled = {"ingest@d", "prepare@d", "reference@d", "train@a", "prepare@e"}
    left = {unit.name: unit for unit in remaining(units(GRAPH), settled)}
    assert set(left) == {"a", "gate@a", "b", "gate@b"}
    assert left["a"].needs == ()
    assert left["gate@a"].needs == ("a",)


def test_what_need_not_run_is_restored_when_the_graph_is_read(repository):
    """One start of DVC writes the same dvc.lock as a start for every stage."""
    run_dvc(repository.project, "repro", "--quiet")
    base = repository.git("rev-parse", "main")
    with checked_out(repository.project, base, "run") as checkout:
        read = read_graph(checkout, ProcessGroup(), ["gate@a", "gate@b"])
        assert {outcome.stage for outcome in read.restored} == set(read.needs)
        assert {outcome.result for outcome in read.restored} == {"cached"}
        assert checkout.lock.read_bytes() == repository.project.lock.read_bytes()
        assert "up to date" in run_dvc(checkout, "repro")


def test_results_of_this_machine_count_also_if_dvc_lock_has_those_of_another(repository):
    """Times that were measured differ, so the results of a committed dvc.lock may be nowhere."""
    measured = "mkdir -p models && date +%s.%N > models/a"
    repository.write_stages(a=measured)
    base = repository.commit("measured times")
    run_dvc(repository.project, "repro", "--quiet")
    here = repository.project.lock.read_bytes()
    elsewhere = repository.clone(repository.root.parent / "elsewhere")
    run_dvc(elsewhere.project, "repro", "--quiet")
    with checked_out(repository.project, base, "run") as checkout:
        shutil.copy(elsewhere.project.lock, checkout.lock)
        assert checkout.lock.read_bytes() != here
        read = read_graph(checkout, ProcessGroup(), ["gate@a", "gate@b"])
        assert {outcome.result for outcome in read.restored} == {"cached"}
        assert {outcome.stage for outcome in read.restored} == set(read.needs)
        assert checkout.lock.read_bytes() == here


def test_nothing_is_run_when_the_graph_is_read(repository):
    """A stage that has to run is left, and so are those that depend on it."""
    run_dvc(repository.project, "repro", "--quiet", "gate@a")
    base = repository.git("rev-parse", "main")
    with checked_out(repository.project, base, "run") as checkout:
        read = read_graph(checkout, ProcessGroup(), ["gate@a", "gate@b"])
        left = set(read.needs) - {outcome.stage for outcome in read.restored}
        assert left == {"train@b", "evaluate@b", "gate@b"}
        assert not (checkout.root / "models" / "b").exists()
