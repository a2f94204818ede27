"""Each check alone blocks, each passes where it should, and nothing that is missing passes."""

import ast
import math
import subprocess
import sys
from pathlib import Path

import pytest

from genmint import gating
from genmint.config import Gate
from genmint.gate_record import Record
from genmint.gating import Source, Sources, decide

GATE = {
    "thresholds": {
        "elbo": {"min": -30.0, "baseline": "pixel_bernoulli", "margin": 1.0},
        "frechet_digits_cnn": {"max": 50.0, "baseline": "mean_plus_noise", "margin": 2.0},
    },
    "health": {
        "max_nonfinite": 0,
        "max_recoveries": 2,
        "min_active_units": 2,
        "min_coverage": 0.5,
    },
    "memorisation": {
        "max_copied": 0.1,
        "min_copying_z": -3.0,
        "max_near_duplicates": 0.05,
        "min_authenticity": 0.4,
        "max_copy_ratio": 2.0,
    },
    "cost": {
        "max_parameters": 1000,
        "max_megabytes": 1.0,
        "max_train_seconds": 60.0,
        "max_sample_milliseconds": 5.0,
    },
    "champion": {"superior": ("elbo",), "confidence": 0.9},
}
METRICS = {
    "elbo": -20.0,
    "frechet_digits_cnn": 10.0,
    "nonfinite": 0.0,
    "recoveries": 1.0,
    "active_units": 4,
    "coverage": 0.8,
    "copied": 0.02,
    "copying_z": -1.0,
    "near_duplicates": 0.01,
    "authenticity": 0.6,
    "copy_ratio": 1.2,
}
COST = {"parameters": 900, "megabytes": 0.5, "train_seconds": 30.0, "sample_milliseconds": 2.0}
PROTOCOL = {
    "model": "vae",
    "weights": "w" * 64,
    "config": "g" * 64,
    "dataset": "digits",
    "metrics": "m" * 64,
    "items": "i" * 64,
    "resamples": "r" * 64,
    "protocol": {"samples": 64},
    "baselines": {
        "elbo": {"pixel_bernoulli": -40.0},
        "frechet_digits_cnn": {"mean_plus_noise": 60.0},
    },
    "noise_floor": {"elbo": 0.5},
}
VALIDATION = {"dataset": "digits", "passed": 1}


def without(values, key):
    return {name: value for name, value in values.items() if name != key}


def sources(
    weights=None,
    config=None,
    metrics=METRICS,
    protocol=PROTOCOL,
    items=None,
    resamples=None,
    cost=COST,
    validation=VALIDATION,
):
    """Each as content, or as a whole source."""

    def source(file, digest, content):
        return content if isinstance(content, Source) else Source(file, digest * 64, content)

    return Sources(
        weights=source("models/vae/model.safetensors", "w", weights),
        config=source("models/vae/config.json", "g", config),
        metrics=source("metrics/vae.json", "m", metrics),
        protocol=source("metrics/vae.protocol.json", "p", protocol),
        items=source("samples/vae/items.npy", "i", items),
        resamples=source("samples/vae/resamples.json", "r", resamples),
        cost=source("metrics/vae.cost.json", "c", cost),
        validation=source("reports/data/digits.json", "v", validation),
    )


def gate(**changed):
    return Gate.model_validate({**GATE, **changed})


def judge(block=None, **changed):
    return decide("vae", gate() if block is None else block, sources(**changed), "digits")


def failed(record):
    assert record.passed == (0 if record.failed() else 1)
    assert record.checks_failed == len(record.failed())
    assert record.checks_passed == len(record.checks) - len(record.failed())
    passed = {name: verdict["passed"] for name, verdict in record.verdicts.items()}
    assert passed == {check.name: int(check.passed) for check in record.checks}
    return [check.name for check in record.failed()]


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
    missing = Source("metrics/vae.cost.json", problem="is missing")
    assert failed(decide("vae", block, sources(cost=missing), "digits")) == []


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


def test_a_gate_may_ask_for_nothing_but_a_threshold():
    block = gate(health={}, memorisation=None, cost={})
    asked = [check.name for check in judge(block).checks if "." in check.name]
    assert [name for name in asked if name.startswith(("health", "memorisation", "cost"))] == [
        "health.nonfinite"
    ]


def test_no_gate_is_a_refusal():
    record = decide("vae", None, sources(), "digits")
    assert failed(record) == ["configured"]
    assert record.failed()[0].reason == "params.yaml has no gates.vae"
    assert record.distrusted() == record.failed()
    assert record.mode == "enforce"


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        ({"dataset": "digits", "passed": 0}, "the data set was refused"),
        ({"dataset": "digits", "passed": True}, "not a number"),
        ({"dataset": "digits", "passed": "1"}, "not a number"),
        ({"dataset": "digits", "passed": 2}, "the data set was refused"),
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
    record = judge(**{which: Source("some/file", problem="some/file is missing")})
    assert any(check.reason == "some/file is missing" for check in record.distrusted())


def test_a_file_that_was_read_and_yet_has_a_problem_blocks():
    broken = Source("models/vae/model.safetensors", "w" * 64, problem="cannot be read")
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
    nothing = Source("models/vae/model.safetensors")
    record = judge(weights=nothing, protocol=without(PROTOCOL, "weights"))
    assert failed(record) == ["evidence.weights"]


def test_a_model_without_a_likelihood_has_no_items_and_says_so():
    none, named = Source("samples/vae/items.npy"), {**PROTOCOL, "items": None}
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
        "samples/vae/items.npy was not there when measured",
        "metrics/vae.protocol.json does not say which items were measured",
    }


def test_a_model_always_has_resamples():
    none = Source("samples/vae/resamples.json")
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


def test_a_bad_model_is_refused_but_not_distrusted():
    record = judge(metrics={**METRICS, "elbo": -99.0})
    assert record.passed == 0
    assert record.distrusted() == ()


def test_the_record_says_its_mode():
    assert judge().mode == "enforce"
    assert judge(gate(mode="dry-run")).mode == "dry-run"


def test_the_decision_is_pure():
    assert judge() == judge()
    assert judge().model_dump_json() == judge().model_dump_json()


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("gating", ("torch", "mlflow", "dvc", "numpy", "scipy")),
        ("comparison", ("torch", "mlflow", "dvc")),
    ],
)
def test_a_decision_imports_nothing_heavy(module, heavy):
    code = f"import sys, genmint.{module}\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_reads_no_file_and_no_clock():
    tree = ast.parse(Path(gating.__file__).read_text())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        node.module.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not imported & {"time", "datetime", "os", "pathlib", "io", "random"}


# Every word of a record is read by people and by other programs, so every word is held here.
GOOD_RECORD = [
    ("configured", None, None, "gates.vae"),
    ("data.validated", 1.0, 1.0, "the data set may enter"),
    ("evidence.protocol", "p" * 64, None, "the protocol is this model's"),
    ("evidence.weights", "w" * 64, "w" * 64, "models/vae/model.safetensors is what was measured"),
    ("evidence.config", "g" * 64, "g" * 64, "models/vae/config.json is what was measured"),
    ("evidence.metrics", "m" * 64, "m" * 64, "metrics/vae.json is what was measured"),
    ("evidence.items", "i" * 64, "i" * 64, "samples/vae/items.npy is what was measured"),
    ("evidence.resamples", "r" * 64, "r" * 64, "samples/vae/resamples.json is what was measured"),
    ("metrics.finite", None, None, "all 11 metrics are finite"),
    ("thresholds.elbo.min", -20.0, -30.0, "is at least -30"),
    ("thresholds.elbo.pixel_bernoulli", -20.0, -39.0, "is above pixel_bernoulli (-40) by 1"),
    ("thresholds.frechet_digits_cnn.max", 10.0, 50.0, "is at most 50"),
    (
        "thresholds.frechet_digits_cnn.mean_plus_noise",
        10.0,
        58.0,
        "is below mean_plus_noise (60) by 2",
    ),
    ("health.nonfinite", 0.0, 0.0, "is at most 0"),
    ("health.recoveries", 1.0, 2.0, "is at most 2"),
    ("health.active_units", 4.0, 2.0, "is at least 2"),
    ("health.coverage", 0.8, 0.5, "is at least 0.5"),
    ("memorisation.copied", 0.02, 0.1, "is at most 0.1"),
    ("memorisation.near_duplicates", 0.01, 0.05, "is at most 0.05"),
    ("memorisation.copy_ratio", 1.2, 2.0, "is at most 2"),
    ("memorisation.copying_z", -1.0, -3.0, "is at least -3"),
    ("memorisation.authenticity", 0.6, 0.4, "is at least 0.4"),
    ("cost.parameters", 900.0, 1000.0, "is at most 1000"),
    ("cost.megabytes", 0.5, 1.0, "is at most 1"),
    ("cost.train_seconds", 30.0, 60.0, "is at most 60"),
    ("cost.sample_milliseconds", 2.0, 5.0, "is at most 5"),
]
BAD_VALUES = {
    "elbo": -50.0,
    "frechet_digits_cnn": 70.0,
    "nonfinite": 1.0,
    "recoveries": 3.0,
    "active_units": 1.0,
    "coverage": 0.25,
    "copied": 0.5,
    "copying_z": -9.0,
    "near_duplicates": 0.5,
    "authenticity": 0.25,
    "copy_ratio": 3.0,
}
BAD_COST = {
    "parameters": 2000.0,
    "megabytes": 2.0,
    "train_seconds": 90.0,
    "sample_milliseconds": 9.0,
}


def rows(record):
    return [(check.name, check.value, check.bound, check.reason) for check in record.checks]


def test_a_good_record_to_the_last_word():
    assert rows(judge()) == GOOD_RECORD


def test_a_bad_record_to_the_last_word():
    """Everything that can be wrong with values is wrong: each check says no to its own value."""
    broken = {**PROTOCOL, "weights": "x" * 64, "config": "x" * 64, "metrics": "x" * 64}
    record = judge(
        metrics=BAD_VALUES,
        cost=BAD_COST,
        protocol={**broken, "items": "x" * 64, "resamples": "x" * 64},
        validation={"dataset": "digits", "passed": 0},
    )
    expected = []
    for name, value, bound, reason in GOOD_RECORD:
        key = name.split(".")[1] if "." in name else name
        if name.startswith("evidence.") and key != "protocol":
            row = (name, value, "x" * 64, reason.replace(" is what", " is not what"))
        elif name == "data.validated":
            row = (name, 0.0, 1.0, "the data set was refused")
        elif key in BAD_VALUES | BAD_COST:
            row = (name, (BAD_VALUES | BAD_COST)[key], bound, reason.replace("is ", "is not ", 1))
        else:
            row = (name, value, bound, reason)
        expected.append(row)
    assert rows(record) == expected
    assert len(failed(record)) == len(GOOD_RECORD) - 3


def test_a_record_without_numbers_to_the_last_word():
    missing = Source("metrics/vae.cost.json", problem="metrics/vae.cost.json is missing")
    record = judge(metrics={"other": 1.0}, cost=missing)
    expected = []
    for name, value, bound, reason in GOOD_RECORD:
        key = name.split(".")[1] if "." in name else name
        if name == "metrics.finite":
            row = (name, None, None, "all 1 metrics are finite")
        elif name.startswith("cost."):
            row = (name, None, bound, "metrics/vae.cost.json is missing")
        elif key in METRICS:
            # What a baseline and its margin make of a value that is missing is not asked.
            of_baseline = name.endswith(("pixel_bernoulli", "mean_plus_noise"))
            row = (name, None, None if of_baseline else bound, f"{key} is missing from metrics")
        else:
            row = (name, value, bound, reason)
        expected.append(row)
    assert rows(record) == expected


def test_a_cost_that_is_not_there_is_said_to_be_missing():
    (check,) = judge(cost=without(COST, "megabytes")).failed()
    assert check.reason == "megabytes is missing from metrics"


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, "pixel_bernoulli is missing from baselines"),
        ({"pixel_bernoulli": "-40"}, "pixel_bernoulli is '-40', not a number"),
        ({"pixel_bernoulli": math.inf}, "pixel_bernoulli is inf, not a finite number"),
    ],
)
def test_why_there_is_no_baseline_is_said_with_the_value(known, why):
    baselines = {**PROTOCOL["baselines"], "elbo": known}
    (check,) = judge(protocol={**PROTOCOL, "baselines": baselines}).failed()
    assert (check.value, check.bound) == (-20.0, None)
    assert check.reason == f"no baseline pixel_bernoulli of elbo: {why}"


def test_a_baseline_must_be_beaten_downwards_too():
    (check,) = judge(metrics={**METRICS, "frechet_digits_cnn": 58.0}, block=gate(
        thresholds={"frechet_digits_cnn": {"max": 99.0, "baseline": "mean_plus_noise",
                                           "margin": 2.0}})).failed()  # fmt: skip
    assert check.name == "thresholds.frechet_digits_cnn.mean_plus_noise"


def test_files_about_something_else_are_told_apart_by_name():
    def reason(**protocol):
        (check,) = judge(protocol={**PROTOCOL, **protocol}).failed()
        return check.reason

    file = "metrics/vae.protocol.json"
    assert reason(model="gan") == f"{file} is about 'gan', not 'vae'"
    assert reason(dataset="notes") == f"{file} is about data set 'notes', not 'digits'"
    assert reason(protocol=[]) == f"{file} does not say how the model was measured"
    assert reason(model="gan", dataset="notes") == f"{file} is about 'gan', not 'vae'"
    (check,) = judge(protocol={**PROTOCOL, "weights": 7}).failed()
    assert check.reason == f"{file} does not say which weights were measured"
    assert (check.value, check.bound) == ("w" * 64, None)


def test_no_items_where_none_were_measured_is_said():
    none, named = Source("samples/vae/items.npy"), {**PROTOCOL, "items": None}
    (check,) = [c for c in judge(items=none, protocol=named).checks if c.name == "evidence.items"]
    assert check.reason == "samples/vae/items.npy does not exist"


def test_what_is_wrong_with_the_metrics_is_said_of_all_of_them():
    record = judge(metrics={**METRICS, "one": math.nan, "two": "2"})
    assert rows(record)[8] == (
        "metrics.finite",
        None,
        None,
        "one is nan, not a finite number; two is '2', not a number",
    )
    assert rows(judge(metrics={}))[8][3] == "metrics/vae.json holds no metrics"
    missing = Source("metrics/vae.json", problem="metrics/vae.json is missing")
    assert rows(judge(metrics=missing))[8] == (
        "metrics.finite",
        None,
        None,
        "metrics/vae.json is missing",
    )


def test_what_is_wrong_with_the_validation_is_said():
    file = "reports/data/digits.json"
    assert rows(judge(validation={"dataset": "digits"}))[1] == (
        "data.validated",
        None,
        1.0,
        f"passed is missing from {file}",
    )
    missing = Source(file, problem=f"{file} is missing")
    assert rows(judge(validation=missing))[1] == ("data.validated", None, 1.0, f"{file} is missing")


def test_a_baseline_and_margin_that_no_value_can_pass_say_so():
    """The bound of a single-class set was 1.1, above every share."""
    block = gate(thresholds={"confident": {"min": 0.5, "baseline": "noise", "margin": 0.3}})
    protocol = {**PROTOCOL, "baselines": {"confident": {"noise": 0.8}}}
    record = judge(block, metrics={**METRICS, "confident": 1.0}, protocol=protocol)
    (check,) = record.failed()
    assert check.name == "thresholds.confident.noise"
    assert check.reason == (
        "noise (0.8) + margin 0.3 is 1.1, which can never be passed: confident lies between 0 and "
        "1; lower the margin"
    )
    block = gate(
        thresholds={"frechet_digits_cnn": {"max": 4.0, "baseline": "noise", "margin": 5.0}}
    )
    protocol = {**PROTOCOL, "baselines": {"frechet_digits_cnn": {"noise": 3.0}}}
    record = judge(block, metrics={**METRICS, "frechet_digits_cnn": 0.0}, protocol=protocol)
    assert "can never be passed: frechet_digits_cnn is at least 0" in record.failed()[0].reason


def test_a_metric_that_was_left_out_fails_with_its_reason():
    why = "datasets.digits has no labels"
    protocol = {**PROTOCOL, "left_out": {"confident": why, "coverage": why}}
    block = gate(thresholds={"confident": {"min": 0.5}}, health={"min_coverage": 0.5})
    record = judge(block, metrics=without(METRICS, "coverage"), protocol=protocol)
    assert [(check.name, check.reason) for check in record.failed()] == [
        ("thresholds.confident.min", f"confident is left out: {why}"),
        ("health.coverage", f"coverage is left out: {why}"),
    ]
