"""Calibration of a gate: bounds between a full training run and one of a tenth of the steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import read_json, sha256_file, sha256_json, write_json
from genmint.common.project import Project
from genmint.config import Bound, ModelConfig, Params, parse_params
from genmint.config.base import first_problem
from genmint.config.bound_edit import with_bound
from genmint.config.metric_catalogue import STDERR, known_metric
from genmint.data.prepared import Prepared
from genmint.decision.calibration import BoundKey, Proposal, Reached, place_bound
from genmint.decision.comparison import Spread, block_hash, incomparable
from genmint.decision.evaluation import Evaluation
from genmint.decision.gate import as_measured, number
from genmint.decision.skill import skill_of
from genmint.evaluation.code_hash import code_sha256
from genmint.evaluation.recorded import read_evaluation
from genmint.evaluation.reference import REFERENCE
from genmint.models.shared.record import load_record
from genmint.promotion.scores import read_spread
from genmint.promotion.seed_spread import Measured, measure_seed
from genmint.stages.evaluate import check_settings
from genmint.training.checkpoints import source_hash

# The short run has this share of the steps of the full one.
_TENTH = 10


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Attributes:
        proposals: bounds that differ from those of params.yaml.
        notes: by metric, why no bound is proposed.
    """

    proposals: tuple[Proposal, ...]
    notes: dict[str, str]


@dataclass(frozen=True)
class _Runs:
    """The runs that are compared, and what they were measured with."""

    config: ModelConfig
    metrics: dict[str, Any]
    protocol: dict[str, Any]
    short: Measured
    spread: Spread | None


def calibrate(project: Project, params: Params, name: str) -> Calibration:
    """Propose bounds for the thresholds of gates.NAME from measured training runs.

    The full run is the one in models/NAME, with the runs of `genmint spread` if there are any. A
    run with a tenth of the steps is trained in a scratch folder; its result is kept under
    `.genmint/calibrate`, so that the command can be repeated.

    Raises:
        ConfigError: the model has no gate, or too few steps.
        GenmintError: there is no finished run, or it does not belong to the settings or the data.
        Interrupted: the process was asked to stop; the same command resumes.
    """
    gate = params.gates.get(name)
    if gate is None:
        raise ConfigError(
            f"params.yaml has no gates.{name}, so there are no metrics to calibrate: add it with "
            f"a threshold without a number, such as {{baseline: NAME}} (docs/gates.md)"
        )
    config = params.models[name]
    if config.steps < _TENTH:
        raise ConfigError(f"models.{name}.steps is {config.steps}: a tenth of it is no training")
    evaluation = _full_run(project, params, name)
    spread = read_spread(project, name)
    runs = _Runs(
        config,
        evaluation.metrics.mapping(),
        evaluation.measured(),
        _short_run(project, name, config),
        spread if isinstance(spread, Spread) and spread.block == block_hash(config) else None,
    )
    for metric in runs.metrics:
        here, there = runs.protocol["protocol"], runs.short.protocol
        _refuse_difference(here, there, incomparable(metric, here, there), name)
    proposals, notes = [], {}
    for metric, bound in gate.thresholds.items():
        proposal = _propose(runs, metric, bound, gate.champion.confidence)
        if isinstance(proposal, str):
            notes[metric] = proposal
        elif proposal.value != proposal.before:
            proposals.append(proposal)
    return Calibration(tuple(proposals), notes)


def edited(text: str, params_path: Any, name: str, proposals: tuple[Proposal, ...]) -> str:
    """Return the text of params.yaml with these bounds, each below its evidence as a comment.

    Raises:
        ConfigError: a bound cannot be set as text, or the result would not be valid.
    """
    for one in proposals:
        text = with_bound(text, name, one.metric, one.key, one.value, one.evidence)
    parse_params(text, params_path)
    return text


def _full_run(project: Project, params: Params, name: str) -> Evaluation:
    """Return the evaluation of the run in models/NAME.

    Raises:
        GenmintError: it is missing, damaged, or of other settings or files.
    """
    way_out = f"Run `dvc repro gate@{name}`."
    if not project.metrics(name).is_file():
        raise GenmintError(
            f"{project.metrics(name)}: no such file, so there is no measured run. {way_out}"
        )
    evaluation = read_evaluation(project, name, params.models[name].dataset)
    protocol = evaluation.measured()["protocol"]
    for check in as_measured(evaluation):
        if not check.passed:
            raise GenmintError(f"{check.reason}. {way_out}")
    check_settings(project, params, name, load_record(project.model(name)))
    prepared = Prepared(project.prepared(params.models[name].dataset))
    now = {"code": code_sha256(params.models[name].family), "data": prepared.sha256}
    _refuse_difference(protocol, now, tuple(now), name)
    return evaluation


def _short_run(project: Project, name: str, config: ModelConfig) -> Measured:
    """Return the measured run of a tenth of the steps, trained once for equal settings and data."""
    short = short_config(name, config)
    about = {
        "block": short.model_dump(mode="json"),
        "prepared": Prepared(project.prepared(config.dataset)).sha256,
        "reference": sha256_file(project.reference(config.dataset) / REFERENCE),
        "code": source_hash(),
    }
    path = project.state / "calibrate" / name / f"{sha256_json(about)[:16]}.json"
    if not path.is_file():
        print(  # noqa: T201 - says what takes the time
            f"{name}: trains {short.steps} of {config.steps} steps apart; models/{name} stays",
            flush=True,
        )
        measured = measure_seed(project, name, short)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"values": measured.values, "protocol": measured.protocol})
    return Measured(**read_json(path, f"Delete {path.parent}."))


def short_config(name: str, config: ModelConfig) -> ModelConfig:
    """Return a model entry with a tenth of its steps; what is counted in steps shrinks with it.

    Raises:
        ConfigError: there is no valid entry with so few steps.
    """
    entry = config.model_dump(mode="json")
    entry["steps"] = config.steps // _TENTH
    entry["validate_every"] = max(1, config.validate_every // _TENTH)
    for part in entry.values():
        if isinstance(part, dict) and "warmup" in part:
            part["warmup"] //= _TENTH
    warmup = entry.get("kl_warmup")
    if warmup is not None:
        warmup["steps"] = max(1, warmup["cycles"], warmup["steps"] // _TENTH)
    try:
        return type(config).model_validate_json(json.dumps(entry))
    except ValidationError as error:
        problem = first_problem(error)[1].removeprefix("Value error, ")
        raise ConfigError(f"models.{name} with a tenth of its steps: {problem}") from None


def _refuse_difference(
    here: Mapping[str, Any], there: Mapping[str, Any], keys: Sequence[str], name: str
) -> None:
    """Check that the full run was measured as a run is measured now.

    Raises:
        GenmintError: one of these keys of the protocol differs.
    """
    differing = [key for key in keys if here.get(key) != there.get(key)]
    if differing:
        raise GenmintError(
            f"metrics/{name}.json was measured with another {', '.join(differing)} than there is "
            f"now. Run `dvc repro gate@{name}`."
        )


def _propose(runs: _Runs, metric: str, bound: Bound, confidence: float) -> Proposal | str:
    """Return the bound of one metric, or why none is proposed."""
    known = known_metric(metric)
    value, problem = number(runs.metrics, metric, "metrics")
    short = runs.short.values.get(metric)
    if known is None or value is None or short is None:
        return problem or "the short run has no value of it"
    higher = known.direction == "higher"
    seeds = () if runs.spread is None else runs.spread.values.get(metric, ())
    deviation = 0.0 if runs.spread is None else runs.spread.standard_deviation.get(metric, 0.0)
    error, _ = number(runs.metrics, f"{metric}{STDERR}", "metrics")
    center = value
    if seeds:
        center = min(value, fmean(seeds)) if higher else max(value, fmean(seeds))
    full = Reached(center, ((error or 0.0) ** 2 + deviation**2) ** 0.5)
    evidence = _evidence(runs, value, error, short, seeds, deviation)
    if bound.skill is None or bound.min is not None or bound.max is not None:
        key: BoundKey = "min" if higher else "max"
        placed = place_bound(full, Reached(short, 0.0), higher=higher)
        return _result(metric, key, placed, getattr(bound, key), evidence)
    ends = []
    for at in (full.value, full.value + full.noise, short):
        skill, problem = skill_of(metric, {metric: at}, runs.protocol, confidence)
        if skill is None:
            return problem
        ends.append(skill.value)
    noise = abs(ends[1] - ends[0])
    placed = place_bound(Reached(ends[0], noise), Reached(ends[2], 0.0), higher=True)
    if placed is not None and placed <= 0:
        return f"the full run has a skill of {ends[0]:.2g}, next to none"
    evidence += f"; skills {ends[0]:.2f} and {ends[2]:.2f}"
    return _result(metric, "skill", placed, bound.skill, evidence)


def _result(
    metric: str, key: BoundKey, placed: float | None, before: float | None, evidence: str
) -> Proposal | str:
    if placed is None:
        return f"a tenth of the steps is as good within the noise ({evidence})"
    return Proposal(metric, key, placed, before, evidence)


def _evidence(
    runs: _Runs,
    value: float,
    error: float | None,
    short: float,
    seeds: tuple[float, ...],
    deviation: float,
) -> str:
    steps = runs.config.steps
    around = f" ± {error:.2g}" if error else ""
    text = f"{value:.4g}{around} after {steps} steps, {short:.4g} after {steps // _TENTH}"
    if seeds:
        text += f"; {len(seeds)} seeds: {fmean(seeds):.4g} ± {deviation:.2g}"
    return text
