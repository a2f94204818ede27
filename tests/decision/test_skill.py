"""Skill: 0 for the best trivial baseline, 1 for real data, with the noise of both."""

import math

import numpy as np
import pytest
from tests.decision.gates import METRICS, PROTOCOL, failed, gate, judge, without

from genmint.config.metric_catalogue import METRICS as CATALOGUE
from genmint.config.skill_scale import scale_of, why_no_skill
from genmint.decision.skill import skill_of

FRECHET = "frechet_digits_cnn"
ENDS = {
    FRECHET: (16.0, 1.0, 0.5),
    "frechet_digits_cnn_infinite": (16.0, 0.5, 0.5),
    "kernel_digits_cnn": (4.0, 0.1, 0.2),
    "recall": (0.2, 0.9, 0.02),
    "class_imbalance": (0.6, 0.1, 0.02),
    "density": (0.25, 1.0, 0.05),
    "silence": (0.9, 0.3, 0.05),
    "class_kl": (1.0, 0.01, 0.005),
}


def protocol(metric, baseline, real, floor, **more):
    return {
        "baselines": {metric: {"mean_plus_noise": baseline}},
        "real": {metric: real, **more},
        "noise_floor": {metric: floor},
    }


def value_of(metric, value, ends, stderr=None, **more):
    metrics = {metric: value} | ({} if stderr is None else {f"{metric}_stderr": stderr})
    skill, reason = skill_of(metric, metrics, protocol(metric, *ends, **more), 0.95)
    assert skill is not None, reason
    return skill


@pytest.mark.parametrize("metric", ENDS)
def test_the_baseline_has_skill_0_and_real_data_1(metric):
    baseline, real, floor = ENDS[metric]
    assert value_of(metric, baseline, (baseline, real, floor)).value == pytest.approx(0.0)
    assert value_of(metric, real, (baseline, real, floor)).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("metric", "value", "skill"),
    [
        (FRECHET, 4.0, 0.5),  # 16 and 1: half of the logarithm
        (FRECHET, 32.0, -0.25),
        (FRECHET, 0.5, 1.25),
        ("recall", 0.55, 0.5),
        ("recall", 0.0, -2 / 7),
        ("class_imbalance", 0.35, 0.5),
        ("density", 0.625, 0.5),
        ("density", 1.375, 0.5),  # denser than real data is as far from them
        ("density", 1.75, 0.0),
        ("silence", 0.0, 0.5),
    ],
)
def test_values_between_and_beyond_the_ends(metric, value, skill):
    assert value_of(metric, value, ENDS[metric]).value == pytest.approx(skill)


@pytest.mark.parametrize("value", [0.0, -1e-12, 1e-300])
def test_a_distance_of_0_has_the_highest_skill_not_an_infinite_one(value):
    assert value_of(FRECHET, value, ENDS[FRECHET], stderr=0.1).value == 2.0


def test_the_best_of_several_baselines_is_0():
    table = protocol(FRECHET, 16.0, 1.0, 0.5)
    table["baselines"][FRECHET] |= {"blurred": 4.0, "damaged": math.nan, "text": "1"}
    skill, _ = skill_of(FRECHET, {FRECHET: 4.0}, table, 0.95)
    assert (skill.value, skill.baseline, skill.baseline_value) == (0.0, "blurred", 4.0)


def test_the_closest_baseline_counts_where_real_data_lie_in_the_middle():
    table = protocol("density", 0.25, 1.0, 0.05)
    table["baselines"]["density"]["blurred"] = 1.5
    skill, _ = skill_of("density", {"density": 0.75}, table, 0.95)
    assert (skill.value, skill.baseline) == (0.5, "blurred")


@pytest.mark.parametrize("metric", ENDS)
def test_the_interval_is_that_of_repeated_measurements(metric):
    """The delta method against 4,000 draws of the model's value and of the real one."""
    baseline, real, floor = ENDS[metric]
    value = real + 0.4 * (baseline - real)
    noise = {"stderr": abs(value) * 0.03, "real": abs(real) * 0.02}
    skill = value_of(metric, value, ENDS[metric], noise["stderr"],
                     **{f"{metric}_stderr": noise["real"]})  # fmt: skip
    rng = np.random.default_rng(0)
    draws = [
        value_of(metric, v, (baseline, r, floor)).value
        for v, r in zip(
            rng.normal(value, noise["stderr"], 4_000),
            rng.normal(real, noise["real"], 4_000),
            strict=True,
        )
    ]
    half = (skill.high - skill.low) / 2
    assert half == pytest.approx(1.96 * np.std(draws), rel=0.06)
    assert (skill.low + skill.high) / 2 == pytest.approx(skill.value)


def test_without_an_error_of_the_real_value_the_noise_floor_is_its_noise():
    by_floor = value_of("recall", 0.5, (0.2, 0.9, 0.04), stderr=0.0)
    by_error = value_of("recall", 0.5, (0.2, 0.9, 0.01), stderr=0.0, recall_stderr=0.04)
    assert (by_floor.low, by_floor.high) == pytest.approx((by_error.low, by_error.high))
    assert by_floor.high > by_floor.low


def test_without_an_error_of_the_value_there_is_no_interval():
    skill = value_of("recall", 0.5, ENDS["recall"])
    assert (skill.low, skill.high) == (None, None)


@pytest.mark.parametrize(
    ("metric", "ends"),
    [
        ("precision", (1.0, 0.95, 0.02)),  # noise counts as more precise than real data
        ("precision", (0.94, 0.95, 0.02)),
        ("density", (1.01, 1.0, 0.03)),
        (FRECHET, (1.4, 1.0, 0.5)),
        ("classes", (10.0, 10.0, 0.0)),
        ("class_kl", (0.5, 0.0, 0.0)),
    ],
)
def test_where_the_baseline_is_as_good_as_real_data_skill_is_undefined(metric, ends):
    skill, reason = skill_of(metric, {metric: ends[1]}, protocol(metric, *ends), 0.95)
    assert skill is None
    assert reason.startswith(f"skill is undefined: {metric} cannot tell the trivial baseline")
    assert "mean_plus_noise" in reason


def test_a_real_distance_of_0_counts_as_the_noise_floor():
    assert value_of(FRECHET, 1.0, (16.0, 0.0, 1.0)).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("real", "an older version of genmint made it; run `dvc repro -f evaluate@vae`"),
        ("noise_floor", "the reference has no noise floor of recall"),
        ("baselines", "the reference has no trivial baseline of recall"),
    ],
)
@pytest.mark.parametrize("bad", ["key", {}, {"recall": None}, {"recall": math.nan}, [], 7])
def test_a_missing_part_is_a_reason_not_a_guess(missing, reason, bad):
    table = protocol("recall", 0.2, 0.9, 0.02) | {"model": "vae"}
    table = without(table, missing) if bad == "key" else {**table, missing: bad}
    skill, found = skill_of("recall", {"recall": 0.5}, table, 0.95)
    assert skill is None
    if missing == "real" and bad != "key":
        reason = "the reference has no recall of real data"
    assert reason in found


@pytest.mark.parametrize("metric", ["elbo", "bits_per_dim", "bits_per_character", "perplexity"])
def test_a_likelihood_has_no_skill(metric):
    skill, reason = skill_of(metric, {metric: 1.0}, protocol(metric, 0.2, 0.9, 0.02), 0.95)
    assert skill is None
    assert "use baseline" in reason


@pytest.mark.parametrize("metric", ["copied", "authenticity", "active_units", "parameters"])
def test_what_no_baseline_is_measured_in_has_no_skill(metric):
    assert scale_of(metric) == "none"
    assert "give min or max" in why_no_skill(metric)


def test_a_value_too_far_away_is_undefined_and_not_infinite():
    skill, reason = skill_of(
        "recall", {"recall": 1.7e308}, protocol("recall", 0.2, 0.9, 0.02), 0.95
    )
    assert skill is None
    assert "too far" in reason
    assert value_of(FRECHET, 1.7e308, (1e-300, 1e-301, 1e-302)).value < 0


def test_every_scale_is_of_a_metric_with_a_range_that_fits():
    for metric in CATALOGUE:
        name = metric.pattern.replace("*", "x")
        if scale_of(name) == "ratio":
            assert (metric.low, metric.direction) == (0.0, "lower")


REAL = {FRECHET: 1.0, f"{FRECHET}_stderr": 0.1}
WITH_REAL = {
    **PROTOCOL,
    "baselines": {**PROTOCOL["baselines"], FRECHET: {"mean_plus_noise": 100.0}},
    "real": REAL,
    "noise_floor": {FRECHET: 0.5},
}


def test_a_gate_on_skill_passes_and_blocks():
    at = {name: gate(thresholds={FRECHET: {"skill": name}}) for name in (0.5, 0.51)}
    found = {**METRICS, FRECHET: 10.0, f"{FRECHET}_stderr": 0.5}
    assert failed(judge(at[0.5], metrics=found, protocol=WITH_REAL)) == []
    record = judge(at[0.51], metrics=found, protocol=WITH_REAL)
    assert failed(record) == [f"thresholds.{FRECHET}.skill"]
    (check,) = record.failed()
    assert check.value == check.skill == pytest.approx(0.5)
    assert check.bound == 0.51
    assert check.reason == (
        "is not at least 0.51, where 0 is mean_plus_noise (100), 1 is real data (1)"
    )
    # 1.6449 standard errors: 0.05 / ln 100 of the value, 0.5 · 0.1 / ln 100 of real data.
    half = 1.6449 * math.hypot(0.05, 0.05) / math.log(100)
    assert check.low == check.skill_low == pytest.approx(0.5 - half, abs=1e-4)
    assert check.high == check.skill_high == pytest.approx(0.5 + half, abs=1e-4)


def test_other_bounds_of_the_metric_show_its_skill():
    block = gate(thresholds={FRECHET: {"max": 20.0, "baseline": "mean_plus_noise"}})
    record = judge(block, metrics={**METRICS, f"{FRECHET}_stderr": 0.5}, protocol=WITH_REAL)
    assert failed(record) == []
    checks = [check for check in record.checks if check.name.startswith("thresholds")]
    assert [check.skill for check in checks] == pytest.approx([0.5, 0.5])
    assert [check.value for check in checks] == [10.0, 10.0]
    assert checks[0].low == pytest.approx(10 - 1.6449 * 0.5, abs=1e-3)
    shown = record.verdicts[f"thresholds.{FRECHET}.max"]
    assert shown["skill"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        (without(WITH_REAL, "real"), "an older version of genmint made it"),
        ({**WITH_REAL, "noise_floor": {}}, "no noise floor"),
        ({**WITH_REAL, "baselines": {}}, "no trivial baseline"),
        ({**WITH_REAL, "real": {FRECHET: 99.9}}, "cannot tell the trivial baseline"),
    ],
)
def test_a_gate_on_an_undefined_skill_blocks_with_the_reason(protocol, reason):
    record = judge(gate(thresholds={FRECHET: {"skill": 0.01}}), protocol=protocol)
    assert failed(record) == [f"thresholds.{FRECHET}.skill"]
    assert reason in record.failed()[0].reason
    assert (record.failed()[0].value, record.failed()[0].bound) == (None, 0.01)


def test_a_gate_on_the_skill_of_a_missing_metric_blocks():
    block = gate(thresholds={"recall": {"skill": 0.5}})
    record = judge(block, protocol=WITH_REAL)
    assert failed(record) == ["thresholds.recall.skill"]
    assert record.failed()[0].reason == "recall is missing from metrics"
    left = {**WITH_REAL, "left_out": {"recall": "no features"}}
    assert judge(block, protocol=left).failed()[0].reason == "recall is left out: no features"
