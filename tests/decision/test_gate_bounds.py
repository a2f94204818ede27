"""Bounds without a number, and metrics that cannot judge: each blocks."""

import pytest
from tests.decision.gates import METRICS, PROTOCOL, failed, gate, judge, without


@pytest.mark.parametrize(
    ("metric", "baseline", "value", "passes"),
    [
        ("elbo", "pixel_bernoulli", -39.9, True),
        ("elbo", "pixel_bernoulli", -40.0, False),
        ("frechet_digits_cnn", "mean_plus_noise", 59.9, True),
        ("frechet_digits_cnn", "mean_plus_noise", 60.0, False),
    ],
)
def test_a_baseline_alone_is_a_bound_in_the_direction_of_the_metric(
    metric, baseline, value, passes
):
    block = gate(thresholds={metric: {"baseline": baseline}})
    record = judge(block, metrics={**METRICS, metric: value})
    assert failed(record) == ([] if passes else [f"thresholds.{metric}.{baseline}"])
    block = gate(thresholds={metric: {"baseline": baseline, "margin": 1.0}})
    assert failed(judge(block, metrics={**METRICS, metric: value})) != []


def test_a_metric_of_unknown_direction_blocks_beside_a_baseline_alone():
    block = gate(thresholds={"of_another_version": {"baseline": "noise"}})
    protocol = {**PROTOCOL, "baselines": {"of_another_version": {"noise": 0.0}}}
    metrics = {**METRICS, "of_another_version": 1.0}
    record = judge(block, metrics=metrics, protocol=protocol)
    assert failed(record) == ["thresholds.of_another_version.noise"]


def test_a_baseline_that_is_not_known_names_those_that_are():
    block = gate(thresholds={"bits_per_dim": {"baseline": "pgn"}})
    protocol = {**PROTOCOL, "baselines": {"bits_per_dim": {"png": 5.68, "webp": 4.04}}}
    record = judge(block, metrics={**METRICS, "bits_per_dim": 6.57}, protocol=protocol)
    (check,) = record.failed()
    assert check.reason.endswith("pgn is missing from baselines; known: png, webp")


@pytest.mark.parametrize(
    ("metric", "changed"),
    [
        ("frechet_digits_cnn", {}),
        ("coverage", {}),
        ("precision", {"champion": {"superior": ("elbo",), "non_inferior": ("precision",)}}),
        ("density", {"champion": {"superior": ("density",)}}),
    ],
)
def test_a_gate_that_rests_on_an_unfit_metric_fails_with_the_reason(metric, changed):
    protocol = PROTOCOL | {"unfit": {metric: "does not order real items (0.9) and blur 1, 1, 1"}}
    record = judge(gate(**changed), protocol=protocol)
    assert failed(record) == ["evidence.judge"]
    reason = record.failed()[0].reason
    assert reason.startswith(f"{metric} does not order real items (0.9) and blur 1, 1, 1. ")
    assert "gates.vae" in reason
    # The files belong together: the model is refused, not distrusted.
    assert record.distrusted() == ()


def test_an_unfit_metric_on_which_the_gate_does_not_rest_is_no_failure():
    record = judge(protocol=PROTOCOL | {"unfit": {"precision": "does not order"}})
    assert failed(record) == []


@pytest.mark.parametrize("unfit", [None, [], "none"])
def test_a_reference_without_fitness_fails(unfit):
    record = judge(protocol=PROTOCOL | {"unfit": unfit})
    assert failed(record) == ["evidence.judge"]
    assert failed(judge(protocol=without(PROTOCOL, "unfit"))) == ["evidence.judge"]
