"""Every word of a gate record: people and other programs read them."""

import math

import pytest
from tests.decision.gates import COST, METRICS, PROTOCOL, failed, gate, judge, without

from genmint.decision.gate import GateInput

# Every word of a record is read by people and by other programs, so every word is held here.
GOOD_RECORD = [
    ("configured", None, None, "gates.vae"),
    ("data.validated", 1.0, 1.0, "the data set passed its validation"),
    ("evidence.protocol", "p" * 64, None, "the protocol belongs to this model"),
    ("evidence.weights", "w" * 64, "w" * 64, "models/vae/model.safetensors is the measured file"),
    ("evidence.config", "g" * 64, "g" * 64, "models/vae/config.json is the measured file"),
    ("evidence.metrics", "m" * 64, "m" * 64, "metrics/vae.json is the measured file"),
    ("evidence.items", "i" * 64, "i" * 64, "samples/vae/items.npy is the measured file"),
    ("evidence.resamples", "r" * 64, "r" * 64, "samples/vae/resamples.json is the measured file"),
    ("metrics.finite", None, None, "all 11 metrics are finite"),
    (
        "evidence.judge",
        None,
        None,
        "no metric of the gate is unfit for digits",
    ),
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
        protocol={
            **broken,
            "items": "x" * 64,
            "resamples": "x" * 64,
            "unfit": {"coverage": "is blind"},
        },
        validation={"dataset": "digits", "passed": 0},
    )
    expected = []
    for name, value, bound, reason in GOOD_RECORD:
        key = name.split(".")[1] if "." in name else name
        if name.startswith("evidence.") and key not in ("protocol", "judge"):
            row = (name, value, "x" * 64, reason.replace(" is the", " is not the"))
        elif key == "judge":
            way_out = "Judge by other metrics in gates.vae, or improve datasets.digits.reference"
            row = (name, value, bound, f"coverage is blind. {way_out}")
        elif name == "data.validated":
            row = (name, 0.0, 1.0, "the data set failed its validation")
        elif key in BAD_VALUES | BAD_COST:
            row = (name, (BAD_VALUES | BAD_COST)[key], bound, reason.replace("is ", "is not ", 1))
        else:
            row = (name, value, bound, reason)
        expected.append(row)
    assert rows(record) == expected
    assert len(failed(record)) == len(GOOD_RECORD) - 3


def test_a_record_without_numbers_to_the_last_word():
    missing = GateInput("metrics/vae.cost.json", problem="metrics/vae.cost.json is missing")
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


def test_files_about_something_else_are_distinguished_by_name():
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
    none, named = GateInput("samples/vae/items.npy"), {**PROTOCOL, "items": None}
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
    missing = GateInput("metrics/vae.json", problem="metrics/vae.json is missing")
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
    missing = GateInput(file, problem=f"{file} is missing")
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
