"""Each check alone blocks, each passes where it should, and nothing that is missing passes."""

import math

import pytest
from tests.decision.gates import (
    COST,
    GATE,
    METRICS,
    PROTOCOL,
    evaluation,
    failed,
    gate,
    judge,
    without,
)

from genmint.decision.gate import GateInput, decide_gate
from genmint.decision.gate_record import Record


def test_a_good_model_passes_and_says_what_was_asked():
    record = judge()
    assert failed(record) == []
    assert [check.name for check in record.checks] == [
        "configured",
        "data.validated",
        "evidence.protocol",
        "evidence.weights",
        "evidence.config",
        "evidence.metrics",
        "evidence.items",
        "evidence.resamples",
        "metrics.finite",
        "evidence.judge",
        "thresholds.elbo.min",
        "thresholds.elbo.pixel_bernoulli",
        "thresholds.frechet_digits_cnn.max",
        "thresholds.frechet_digits_cnn.mean_plus_noise",
        "health.nonfinite",
        "health.recoveries",
        "health.active_units",
        "health.coverage",
        "memorisation.copied",
        "memorisation.near_duplicates",
        "memorisation.copy_ratio",
        "memorisation.copying_z",
        "memorisation.authenticity",
        "cost.parameters",
        "cost.megabytes",
        "cost.train_seconds",
        "cost.sample_milliseconds",
    ]
    assert all(check.reason for check in record.checks)
    values = {check.name: (check.value, check.bound) for check in record.checks}
    assert values["thresholds.elbo.min"] == (-20.0, -30.0)
    assert values["thresholds.elbo.pixel_bernoulli"] == (-20.0, -39.0)
    assert values["thresholds.frechet_digits_cnn.mean_plus_noise"] == (10.0, 58.0)
    assert [item.sha256 for item in record.evidence] == [c * 64 for c in "wgmpircv"]


@pytest.mark.parametrize(
    ("key", "value", "blocks"),
    [
        ("elbo", -30.01, "thresholds.elbo.min"),
        ("frechet_digits_cnn", 50.01, "thresholds.frechet_digits_cnn.max"),
        ("nonfinite", 1.0, "health.nonfinite"),
        ("recoveries", 3.0, "health.recoveries"),
        ("active_units", 1, "health.active_units"),
        ("coverage", 0.49, "health.coverage"),
        ("copied", 0.11, "memorisation.copied"),
        ("copying_z", -3.1, "memorisation.copying_z"),
        ("near_duplicates", 0.06, "memorisation.near_duplicates"),
        ("authenticity", 0.39, "memorisation.authenticity"),
        ("copy_ratio", 2.1, "memorisation.copy_ratio"),
    ],
)
def test_a_value_beyond_its_bound_blocks_alone(key, value, blocks):
    assert failed(judge(metrics={**METRICS, key: value})) == [blocks]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("elbo", -30.0),
        ("frechet_digits_cnn", 50.0),
        ("recoveries", 2),
        ("active_units", 2),
        ("coverage", 0.5),
        ("copied", 0.1),
        ("copying_z", -3.0),
        ("near_duplicates", 0.05),
        ("authenticity", 0.4),
        ("copy_ratio", 2.0),
    ],
)
def test_a_value_at_its_bound_passes(key, value):
    assert failed(judge(metrics={**METRICS, key: value})) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("parameters", 1001), ("megabytes", 1.1), ("train_seconds", 61), ("sample_milliseconds", 6)],
)
def test_a_cost_above_its_budget_blocks_alone(key, value):
    assert failed(judge(cost={**COST, key: value})) == [f"cost.{key}"]
    assert failed(judge(cost={**COST, key: GATE["cost"][f"max_{key}"]})) == []


@pytest.mark.parametrize("key", list(COST))
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, True, "1", [1]])
def test_a_cost_that_is_no_number_blocks_alone(key, bad):
    assert failed(judge(cost={**COST, key: bad})) == [f"cost.{key}"]
    assert failed(judge(cost=without(COST, key))) == [f"cost.{key}"]


def test_without_a_budget_costs_do_not_matter():
    block = gate(cost={})
    assert failed(judge(block, cost={})) == []
    missing = GateInput("metrics/vae.cost.json", problem="is missing")
    assert failed(decide_gate(block, evaluation(cost=missing))) == []


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, True, "-20", [1.0]])
@pytest.mark.parametrize("key", list(METRICS))
def test_a_metric_that_is_no_number_blocks(key, bad):
    record = judge(metrics={**METRICS, key: bad})
    names = failed(record)
    assert "metrics.finite" in names
    assert len(names) >= 2
    for check in record.failed():
        assert check.value is None
        assert key in check.reason


@pytest.mark.parametrize("key", list(METRICS))
def test_a_metric_that_is_missing_blocks(key):
    names = failed(judge(metrics=without(METRICS, key)))
    assert names
    assert all(key in name for name in names)


def test_a_metric_without_a_bound_must_be_finite_as_well():
    assert failed(judge(metrics={**METRICS, "extra": math.nan})) == ["metrics.finite"]


@pytest.mark.parametrize("metrics", [{}, None])
def test_no_metrics_at_all_block(metrics):
    assert "metrics.finite" in failed(judge(metrics=metrics))


def test_the_baseline_must_be_beaten_not_met():
    block = gate(thresholds={"elbo": {"min": -100.0, "baseline": "pixel_bernoulli", "margin": 0.0}})
    name = ["thresholds.elbo.pixel_bernoulli"]
    assert failed(judge(block, metrics={**METRICS, "elbo": -40.0})) == name
    assert failed(judge(block, metrics={**METRICS, "elbo": -39.9})) == []


def test_the_margin_over_a_baseline_counts_in_both_directions():
    block = gate(
        thresholds={
            "elbo": {"min": -100.0, "baseline": "pixel_bernoulli", "margin": 5.0},
            "frechet_digits_cnn": {"max": 99.0, "baseline": "mean_plus_noise", "margin": 5.0},
        }
    )
    values = {**METRICS, "elbo": -35.5, "frechet_digits_cnn": 55.5}
    assert failed(judge(block, metrics=values)) == [
        "thresholds.elbo.pixel_bernoulli",
        "thresholds.frechet_digits_cnn.mean_plus_noise",
    ]
    values = {**METRICS, "elbo": -34.5, "frechet_digits_cnn": 54.5}
    assert failed(judge(block, metrics=values)) == []


@pytest.mark.parametrize(
    "baselines",
    [
        None,
        {},
        [],
        {"elbo": {}},
        {"elbo": None},
        {"elbo": {"pixel_bernoulli": math.nan}},
        {"elbo": {"pixel_bernoulli": "-40"}},
    ],
)
def test_a_missing_baseline_is_a_refusal(baselines):
    known = {**PROTOCOL["baselines"], **baselines} if isinstance(baselines, dict) else baselines
    if baselines == {}:
        known = without(PROTOCOL["baselines"], "elbo")
    record = judge(protocol={**PROTOCOL, "baselines": known})
    assert "thresholds.elbo.pixel_bernoulli" in failed(record)
    (check,) = [c for c in record.failed() if c.name == "thresholds.elbo.pixel_bernoulli"]
    assert "no baseline pixel_bernoulli of elbo" in check.reason


OPTIONAL = [
    ("health", "recoveries"),
    ("health", "active_units"),
    ("health", "coverage"),
    ("memorisation", "copied"),
    ("memorisation", "copying_z"),
    ("memorisation", "near_duplicates"),
    ("memorisation", "authenticity"),
    ("memorisation", "copy_ratio"),
]


@pytest.mark.parametrize(("section", "key"), OPTIONAL)
def test_an_optional_check_is_asked_only_where_configured(section, key):
    asked = {name: bound for name, bound in GATE[section].items() if not name.endswith(f"_{key}")}
    assert len(asked) == len(GATE[section]) - 1
    record = judge(gate(**{section: asked}), metrics=without(METRICS, key))
    assert failed(record) == []
    assert f"{section}.{key}" not in record.verdicts


def test_a_gate_may_consist_of_one_threshold():
    block = gate(health={}, memorisation=None, cost={})
    asked = [check.name for check in judge(block).checks if "." in check.name]
    assert [name for name in asked if name.startswith(("health", "memorisation", "cost"))] == [
        "health.nonfinite"
    ]


def test_no_gate_is_a_refusal():
    record = decide_gate(None, evaluation())
    assert failed(record) == ["configured"]
    assert record.failed()[0].reason == "params.yaml has no gates.vae"
    assert record.distrusted() == record.failed()
    assert record.mode == "enforce"


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        ({"dataset": "digits", "passed": 0}, "the data set failed its validation"),
        ({"dataset": "digits", "passed": True}, "not a number"),
        ({"dataset": "digits", "passed": "1"}, "not a number"),
        ({"dataset": "digits", "passed": 2}, "the data set failed its validation"),
        ({"dataset": "digits"}, "passed is missing"),
        ({"dataset": "notes", "passed": 1}, "is about 'notes', not 'digits'"),
        (None, "passed is missing"),
    ],
)
def test_data_that_was_not_let_in_blocks_alone(validation, reason):
    record = judge(validation=validation)
    assert failed(record) == ["data.validated"]
    assert reason in record.failed()[0].reason
    assert record.distrusted() == record.failed()


@pytest.mark.parametrize(
    "which", ["weights", "metrics", "protocol", "items", "resamples", "validation"]
)
def test_a_file_that_could_not_be_read_blocks_with_its_reason(which):
    record = judge(**{which: GateInput("some/file", problem="some/file is missing")})
    assert any(check.reason == "some/file is missing" for check in record.distrusted())


def test_a_file_that_was_read_and_yet_has_a_problem_blocks():
    broken = GateInput("models/vae/model.safetensors", "w" * 64, problem="cannot be read")
    assert failed(judge(weights=broken)) == ["evidence.weights"]


@pytest.mark.parametrize(
    ("key", "value", "blocks"),
    [
        ("model", "other", "evidence.protocol"),
        ("dataset", "notes", "evidence.protocol"),
        ("protocol", None, "evidence.protocol"),
        ("weights", "x" * 64, "evidence.weights"),
        ("config", "x" * 64, "evidence.config"),
        ("metrics", "x" * 64, "evidence.metrics"),
        ("items", "x" * 64, "evidence.items"),
        ("resamples", "x" * 64, "evidence.resamples"),
        ("weights", None, "evidence.weights"),
        ("metrics", 7, "evidence.metrics"),
        ("items", 7, "evidence.items"),
        ("resamples", None, "evidence.resamples"),
    ],
)
def test_files_that_do_not_belong_together_block_alone(key, value, blocks):
    for protocol in ({**PROTOCOL, key: value}, without(PROTOCOL, key)):
        record = judge(protocol=protocol)
        assert failed(record) == [blocks]
        assert [check.name for check in record.distrusted()] == [blocks]


def test_missing_weights_are_not_the_ones_that_nobody_named():
    nothing = GateInput("models/vae/model.safetensors")
    record = judge(weights=nothing, protocol=without(PROTOCOL, "weights"))
    assert failed(record) == ["evidence.weights"]


def test_a_model_without_a_likelihood_has_no_items_and_says_so():
    none, named = GateInput("samples/vae/items.npy"), {**PROTOCOL, "items": None}
    assert failed(judge(items=none, protocol=named)) == []
    assert failed(judge(items=none)) == ["evidence.items"]
    assert failed(judge(protocol=named)) == ["evidence.items"]
    assert failed(judge(items=none, protocol=without(PROTOCOL, "items"))) == ["evidence.items"]
    reasons = {
        judge(items=none).failed()[0].reason,
        judge(protocol=named).failed()[0].reason,
        judge(items=none, protocol=without(PROTOCOL, "items")).failed()[0].reason,
    }
    assert reasons == {
        "samples/vae/items.npy is missing",
        "samples/vae/items.npy did not exist when measured",
        "metrics/vae.protocol.json does not say which items were measured",
    }


def test_a_model_always_has_resamples():
    none = GateInput("samples/vae/resamples.json")
    for protocol in (PROTOCOL, {**PROTOCOL, "resamples": None}, without(PROTOCOL, "resamples")):
        assert failed(judge(resamples=none, protocol=protocol)) == ["evidence.resamples"]


def test_a_value_has_an_interval_where_its_error_is_known():
    record = judge(metrics={**METRICS, "elbo_stderr": 0.5, "copied_stderr": 0.01})
    found = {check.name: (check.low, check.high) for check in record.checks}
    # 1.6449 standard errors to each side hold 90 %.
    assert found["thresholds.elbo.min"] == pytest.approx((-20.8224, -19.1776), abs=1e-4)
    assert found["thresholds.elbo.pixel_bernoulli"] == found["thresholds.elbo.min"]
    assert found["memorisation.copied"] == pytest.approx((0.00355, 0.03645), abs=1e-5)
    others = {name for name in found if "elbo" not in name and "copied" not in name}
    assert {found[name] for name in others} == {(None, None)}


@pytest.mark.parametrize("bad", [None, math.nan, "1"])
def test_an_error_that_is_no_number_gives_no_interval(bad):
    record = judge(metrics={**METRICS, "elbo_stderr": bad})
    assert failed(record) == ["metrics.finite"]
    assert all(check.low is None and check.high is None for check in record.checks)


def test_an_interval_beyond_the_largest_float_is_left_out():
    record = judge(metrics={**METRICS, "elbo_stderr": 1.5e308})
    low, high = next((c.low, c.high) for c in record.checks if c.name == "thresholds.elbo.min")
    assert (low, high) == (None, None)
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_a_value_that_is_missing_has_no_interval():
    record = judge(metrics={**without(METRICS, "elbo"), "elbo_stderr": 0.5})
    assert all(check.low is None for check in record.failed())


def test_what_dvc_shows_of_a_check_is_all_there_is():
    record = judge(metrics={**METRICS, "elbo": -31.0, "elbo_stderr": 1.0})
    (check,) = record.failed()
    assert record.verdicts[check.name] == {
        "passed": 0,
        "value": -31.0,
        "low": check.low,
        "high": check.high,
        "bound": -30.0,
        "reason": "is not at least -30",
    }
    assert record.verdicts["configured"] == {"passed": 1, "reason": "gates.vae"}
