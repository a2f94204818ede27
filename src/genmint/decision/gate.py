"""Gate decision of a model, as a pure function of numbers and hashes.

The module reads no file, clock or registry, and imports neither torch nor mlflow. The same inputs
give the same record on any machine. Promotion therefore repeats the decision and rejects a record
that was not made from the files beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from genmint.config import metric_catalogue
from genmint.config.gates import Bound, Gate
from genmint.decision.evaluation import Evaluation, GateInput, is_number
from genmint.decision.gate_record import JUDGE, Check, Evidence, Record
from genmint.decision.skill import Skill, skill_of


class _Metrics(dict[str, Any]):
    """Metrics by name, with the reason for each metric that is undefined for its data set."""

    def __init__(self, values: Mapping[str, Any], left_out: Any) -> None:
        super().__init__(values)
        self.left_out: Mapping[str, Any] = left_out if isinstance(left_out, dict) else {}


def decide_gate(gate: Gate | None, evaluation: Evaluation) -> Record:
    """Run all gate checks of a model; missing, unreadable or non-finite values fail.

    Args:
        gate: entry of the model in `gates`; None if it has none, which fails the gate.
        evaluation: the evaluation of the model, as read from disk.
    """
    name = evaluation.name
    checks = [_configured(name, gate), *_data(evaluation.validation, evaluation.dataset)]
    checks += [_right_protocol(evaluation), *as_measured(evaluation)]
    protocol = evaluation.protocol.mapping()
    metrics = _Metrics(evaluation.metrics.mapping(), protocol.get("left_out"))
    checks.append(_all_finite(evaluation.metrics))
    if gate is not None:
        checks.append(_judge(gate, evaluation))
        for metric, bound in gate.thresholds.items():
            checks += _threshold(metric, bound, metrics, protocol, gate.champion.confidence)
        checks += (
            _health(gate, metrics) + _memorisation(gate, metrics) + _cost(gate, evaluation.cost)
        )
        checks = [_with_interval(check, metrics, gate.champion.confidence) for check in checks]
    passed = sum(check.passed for check in checks)
    return Record(
        model=name,
        passed=1 if passed == len(checks) else 0,
        checks_passed=passed,
        checks_failed=len(checks) - passed,
        verdicts={check.name: _verdict(check) for check in checks},
        mode="enforce" if gate is None else gate.mode,
        checks=tuple(checks),
        evidence=tuple(Evidence(file=s.file, sha256=s.sha256) for s in evaluation.inputs()),
    )


def _configured(name: str, gate: Gate | None) -> Check:
    reason = f"params.yaml has no gates.{name}" if gate is None else f"gates.{name}"
    return Check(name="configured", value=None, bound=None, passed=gate is not None, reason=reason)


def _data(validation: GateInput, dataset: str) -> list[Check]:
    """Check that the data set passed validation and that the report is for this data set."""
    if validation.problem is not None:
        return [_no("data.validated", None, 1, validation.problem)]
    report = validation.mapping()
    verdict, problem = number(report, "passed", validation.file)
    of = report.get("dataset")
    if not problem and of != dataset:
        problem = f"{validation.file} is about {of!r}, not {dataset!r}"
    passed = not problem and verdict == 1
    reason = problem or (
        "the data set passed its validation" if passed else "the data set failed its validation"
    )
    return [_check("data.validated", verdict, 1, passed, reason)]


def _right_protocol(evaluation: Evaluation) -> Check:
    """Check that the protocol file is about this model and data set."""
    source, content = evaluation.protocol, evaluation.protocol.mapping()
    problem = source.problem
    for key, expected, prefix in (
        ("model", evaluation.name, ""),
        ("dataset", evaluation.dataset, "data set "),
    ):
        if problem is None and content.get(key) != expected:
            problem = f"{source.file} is about {prefix}{content.get(key)!r}, not {expected!r}"
    if problem is None and not isinstance(content.get("protocol"), dict):
        problem = f"{source.file} does not say how the model was measured"
    reason = problem or "the protocol belongs to this model"
    return _check("evidence.protocol", source.sha256, None, problem is None, reason)


def as_measured(evaluation: Evaluation) -> list[Check]:
    """Check that each file is the one that was measured; one check per file."""
    content, file = evaluation.protocol.mapping(), evaluation.protocol.file
    checks = []
    for key, source in (
        ("weights", evaluation.weights),
        ("config", evaluation.config),
        ("metrics", evaluation.metrics),
        ("items", evaluation.items),
        ("resamples", evaluation.resamples),
    ):
        # A family without a likelihood has no items; its protocol then has the value null.
        none = key == "items" and key in content and content[key] is None
        checks.append(_as_measured(key, source, content.get(key), none, file))
    return checks


def _as_measured(key: str, source: GateInput, expected: Any, none: bool, protocol: str) -> Check:
    """Check that a file matches the hash in the protocol file, or is absent if the hash is null."""
    bound = expected if isinstance(expected, str) else None
    passed = False
    if source.problem is not None:
        reason = source.problem
    elif none:
        passed = source.sha256 is None
        reason = f"{source.file} {'does not exist' if passed else 'did not exist when measured'}"
    elif bound is None:
        reason = f"{protocol} does not say which {key} were measured"
    elif source.sha256 is None:
        reason = f"{source.file} is missing"
    else:
        passed = source.sha256 == bound
        reason = f"{source.file} {'is' if passed else 'is not'} the measured file"
    return _check(f"evidence.{key}", source.sha256, bound, passed, reason)


def _judge(gate: Gate, evaluation: Evaluation) -> Check:
    """Check that the reference can measure every metric that the gate rests on."""
    file = evaluation.protocol.file
    reasons = evaluation.protocol.mapping().get("unfit")
    if not isinstance(reasons, dict):
        reason = f"{file} does not say which metrics can tell real items from corrupted ones"
        return _no(JUDGE, None, None, evaluation.protocol.problem or reason)
    metrics = rests_on(gate)
    unfit = [f"{metric} {reasons[metric]}" for metric in metrics if metric in reasons]
    if unfit:
        return _no(
            JUDGE,
            None,
            None,
            f"{'; '.join(unfit)}. Judge by other metrics in gates.{evaluation.name}, or improve "
            f"datasets.{evaluation.dataset}.reference",
        )
    reason = f"no metric of the gate is unfit for {evaluation.dataset}"
    return _check(JUDGE, None, None, True, reason)


def rests_on(gate: Gate) -> tuple[str, ...]:
    """Return the metrics that decide: of thresholds, the champion rule and coverage of health."""
    names = [*gate.thresholds, *gate.champion.superior, *gate.champion.non_inferior]
    if gate.health.min_coverage is not None:
        names.append("coverage")
    return tuple(dict.fromkeys(names))


def _all_finite(metrics: GateInput) -> Check:
    if metrics.problem is not None:
        return _no("metrics.finite", None, None, metrics.problem)
    values = metrics.mapping()
    if not values:
        return _no("metrics.finite", None, None, f"{metrics.file} holds no metrics")
    counts = {key: _not_finite(value) for key, value in values.items()}
    problems = [f"{key} {problem}" for key, problem in counts.items() if problem]
    if problems:
        return _no("metrics.finite", None, None, "; ".join(problems))
    return _check("metrics.finite", None, None, True, f"all {len(values)} metrics are finite")


def _threshold(
    metric: str,
    bound: Bound,
    metrics: Mapping[str, Any],
    protocol: Mapping[str, Any],
    confidence: float,
) -> list[Check]:
    """Return the checks of one metric, each with the metric's skill where it has one."""
    name = f"thresholds.{metric}"
    value, missing = number(metrics, metric, "metrics")
    skill, undefined = None, missing
    if value is not None:
        skill, undefined = skill_of(metric, metrics, protocol, confidence)
    checks = []
    for side, word, at in (("min", "least", bound.min), ("max", "most", bound.max)):
        if at is not None:
            checks.append(_bound_check(f"{name}.{side}", metrics, metric, at, word))
    if bound.baseline is not None:
        checks.append(_beats_baseline(metric, bound, bound.baseline, metrics, protocol))
    if skill is not None:
        checks = [check.model_copy(update=_skill_fields(skill)) for check in checks]
    if bound.skill is not None:
        checks.append(_reaches_skill(f"{name}.skill", bound.skill, skill, undefined))
    return checks


def _reaches_skill(name: str, least: float, skill: Skill | None, undefined: str) -> Check:
    """Check that a skill is defined and at least `least`."""
    if skill is None:
        return _no(name, None, least, undefined)
    passed = skill.value >= least
    ends = f"0 is {skill.baseline} ({skill.baseline_value:.4g}), 1 is real data ({skill.real:.4g})"
    reason = f"{'is' if passed else 'is not'} at least {least:g}, where {ends}"
    check = _check(name, skill.value, least, passed, reason)
    ends_of_value = {"low": skill.low, "high": skill.high}
    return check.model_copy(update=ends_of_value | _skill_fields(skill))


def _skill_fields(skill: Skill) -> dict[str, float | None]:
    return {"skill": skill.value, "skill_low": skill.low, "skill_high": skill.high}


def _beats_baseline(
    metric: str,
    bound: Bound,
    baseline: str,
    metrics: Mapping[str, Any],
    protocol: Mapping[str, Any],
) -> Check:
    name = f"thresholds.{metric}.{baseline}"
    value, problem = number(metrics, metric, "metrics")
    if value is None:
        return _no(name, None, None, problem)
    scores = protocol.get("baselines")
    scores = scores.get(metric) if isinstance(scores, dict) else None
    scores = scores if isinstance(scores, dict) else {}
    score, problem = number(scores, baseline, "baselines")
    if score is None:
        known = f"; known: {', '.join(scores)}" if scores and baseline not in scores else ""
        return _no(name, value, None, f"no baseline {baseline} of {metric}: {problem}{known}")
    higher = _higher_is_better(metric, bound)
    if higher is None:
        return _no(name, value, None, f"whether more {metric} is better is unknown")
    must = score + bound.margin if higher else score - bound.margin
    out_of_reach = _out_of_reach(metric, must, higher=higher)
    if out_of_reach:
        sign = "+" if higher else "-"
        requirement = f"{baseline} ({score:.6g}) {sign} margin {bound.margin:g} is {must:.6g}"
        return _no(name, value, must, f"{requirement}, which can never be passed: {out_of_reach}")
    passed = value > must if higher else value < must
    word = "above" if higher else "below"
    reason = f"{'is' if passed else 'is not'} {word} {baseline} ({score:.6g})"
    if bound.margin:
        reason += f" by {bound.margin:g}"
    return _check(name, value, must, passed, reason)


def _higher_is_better(metric: str, bound: Bound) -> bool | None:
    """Return the direction of a metric: as its bound states, else as in the catalogue."""
    if bound.min is not None or bound.max is not None:
        return bound.min is not None
    known = metric_catalogue.known_metric(metric)
    return None if known is None else known.direction == "higher"


def _out_of_reach(metric: str, must: float, *, higher: bool) -> str | None:
    """Return why no value can pass a derived bound; None if one can or the metric is unknown."""
    known = metric_catalogue.known_metric(metric)
    if known is None:
        return None
    beyond = must >= known.high if higher else must <= known.low
    return f"{metric_catalogue.range_of(metric)}; lower the margin" if beyond else None


def _health(gate: Gate, metrics: Mapping[str, Any]) -> list[Check]:
    bounds = gate.health
    most = {"nonfinite": bounds.max_nonfinite, "recoveries": bounds.max_recoveries}
    least = {"active_units": bounds.min_active_units, "coverage": bounds.min_coverage}
    return _bounded("health", metrics, most, least)


def _memorisation(gate: Gate, metrics: Mapping[str, Any]) -> list[Check]:
    bounds = gate.memorisation
    if bounds is None:
        return []
    most = {
        "copied": bounds.max_copied,
        "near_duplicates": bounds.max_near_duplicates,
        "copy_ratio": bounds.max_copy_ratio,
    }
    least = {"copying_z": bounds.min_copying_z, "authenticity": bounds.min_authenticity}
    return _bounded("memorisation", metrics, most, least)


def _cost(gate: Gate, cost: GateInput) -> list[Check]:
    most = {
        "parameters": gate.cost.max_parameters,
        "megabytes": gate.cost.max_megabytes,
        "train_seconds": gate.cost.max_train_seconds,
        "sample_milliseconds": gate.cost.max_sample_milliseconds,
    }
    return _bounded("cost", cost.mapping(), most, {}, cost.problem)


def _bounded(
    section: str,
    values: Mapping[str, Any],
    most: Mapping[str, float | None],
    least: Mapping[str, float | None],
    problem: str | None = None,
) -> list[Check]:
    """Check each value against its bound: at most `most`, at least `least`; None is no bound.

    Args:
        section: section of the gate; prefix of the check names.
        values: measured values by name.
        most: upper bounds by the same names.
        least: lower bounds by the same names.
        problem: why there are no values; replaces the message about a missing value.
    """
    return [
        _bound_check(f"{section}.{key}", values, key, bound, word, problem)
        for word, bounds in (("most", most), ("least", least))
        for key, bound in bounds.items()
        if bound is not None
    ]


def _bound_check(
    name: str,
    values: Mapping[str, Any],
    key: str,
    bound: float,
    word: str,
    problem: str | None = None,
) -> Check:
    """Check that a value is at most or at least its bound; `word` is "most" or "least"."""
    value, missing = number(values, key, "metrics")
    if value is None:
        return _no(name, None, bound, problem or missing)
    passed = value <= bound if word == "most" else value >= bound
    reason = f"{'is' if passed else 'is not'} at {word} {bound:g}"
    return _check(name, value, bound, passed, reason)


def number(values: Mapping[str, Any], key: str, where: str) -> tuple[float | None, str]:
    """Return the finite number under `key` and "", or None and the reason why there is none."""
    if key not in values:
        left_out = values.left_out if isinstance(values, _Metrics) else {}
        why = left_out.get(key)
        return None, f"{key} is left out: {why}" if why else f"{key} is missing from {where}"
    value = values[key]
    problem = _not_finite(value)
    return (None, f"{key} {problem}") if problem else (float(value), "")


def _not_finite(value: Any) -> str:
    """Return why a value is not a finite number; "" if it is one."""
    if not is_number(value):
        return f"is {value!r}, not a number"
    return "" if math.isfinite(value) else f"is {value}, not a finite number"


def _with_interval(check: Check, metrics: Mapping[str, Any], confidence: float) -> Check:
    """Add a confidence interval to a check if the standard error of its metric is known."""
    _, _, key = check.name.partition(".")
    metric, _, side = key.partition(".")
    if side == "skill":
        # The value is the skill, which has an interval of its own.
        return check
    error: Any = metrics.get(f"{metric}_stderr")
    if _not_finite(error) or not isinstance(check.value, float):
        return check
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    low, high = check.value - reach, check.value + reach
    if not (math.isfinite(low) and math.isfinite(high)):
        # The limit exceeds the largest float, and a gate record holds finite numbers only.
        return check
    return check.model_copy(update={"low": low, "high": high})


def _verdict(check: Check) -> dict[str, float | int | str]:
    """Return the result of a check as numbers and strings, without lists."""
    fields = check.model_dump(exclude={"name", "passed"}, exclude_none=True)
    return {"passed": 1 if check.passed else 0, **fields}


def _check(
    name: str, value: float | str | None, bound: float | str | None, passed: bool, reason: str
) -> Check:
    return Check(name=name, value=value, bound=bound, passed=passed, reason=reason)


def _no(name: str, value: float | None, bound: float | None, reason: str) -> Check:
    return _check(name, value, bound, False, reason)
