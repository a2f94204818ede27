"""Promotion: from gate records to versions, aliases and the journal. Idempotent, and fails closed.

The order of one promotion is: look (who is champion), decide (is this one better), write (journal
entry, then aliases). Should somebody else move the champion in between, the entry comes out void
and it starts over at the look.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genmint import contest, tracking
from genmint.beside import log_beside
from genmint.comparison import Scores
from genmint.config import Params
from genmint.errors import GenmintError, RegistryError, RegistryMissingError
from genmint.gating import Record
from genmint.history import Standing, rolled_back
from genmint.models import store
from genmint.models.record import WEIGHTS
from genmint.project import Project
from genmint.reconcile import settle_all
from genmint.registered import Version
from genmint.registry import Registry
from genmint.scoring import challenger_scores
from genmint.stages import gate
from genmint.versions import Facts, description, evaluation_files, facts

# Each attempt was beaten by a real move of somebody else's; more than this is no ordinary night.
_ATTEMPTS = 50

Verdict = Literal[
    "promoted", "is champion", "not better", "rolled back", "refused", "dry-run", "not promoted"
]


@dataclass(frozen=True)
class Outcome:
    """What became of one model.

    Attributes:
        name: of the model.
        verdict: in one word; "not promoted" is the only failure.
        version: number of its version, None if it was not registered.
        reason: the verdict in words.
    """

    name: str
    verdict: Verdict
    version: str | None
    reason: str

    @property
    def exit_code(self) -> int:
        """1 if the model's files cannot be believed; a refusal or a better champion is 0."""
        return 1 if self.verdict == "not promoted" else 0

    def __str__(self) -> str:
        version = f" (version {self.version})" if self.version else ""
        return f"{self.name}: {self.verdict}{version}: {self.reason}"


def promote(project: Project, params: Params, names: Sequence[str]) -> list[Outcome]:
    """Register each model that was gated, and make champion those that are better.

    Prints one line per model: to stderr those whose files cannot be believed, else to stdout.
    What a person did to the aliases is honoured or put back first, with a line on stderr.

    Raises:
        RegistryError: the registry does not answer, or refuses.
    """
    outcomes = []
    registry = None
    for name in names:
        try:
            record = verify(project, params, name)
            registry = registry or Registry.open(project)
            outcome = _promote_one(registry, project, params, name, record)
        except GenmintError as error:
            if isinstance(error, RegistryError) and not isinstance(error, RegistryMissingError):
                raise
            outcome = Outcome(name, "not promoted", None, str(error))
        print(outcome, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)
        outcomes.append(outcome)
    return outcomes


def verify(project: Project, params: Params, name: str) -> Record:
    """Return the gate record of a model, made sure that it speaks of the files that lie here.

    The decision is pure, so it is simply made again: weights, metrics, protocol, costs, validation
    report, gate block and verdicts must all come out as recorded.

    Raises:
        GenmintError: a file is missing or damaged, or the record is not the one that these files
            and params.yaml lead to.
    """
    if not (project.model(name) / WEIGHTS).is_file():
        raise GenmintError(f"models/{name} is not here. Run `dvc repro gate@{name}`.")
    record = gate.read_record(project, name)
    now = gate.judge(project, params, name)
    if record != now:
        raise GenmintError(f"{_difference(record, now)}. Run `dvc repro gate@{name}`.")
    distrusted = record.distrusted()
    if distrusted:
        reasons = "; ".join(check.reason for check in distrusted)
        raise GenmintError(f"{reasons}. Run `dvc repro gate@{name}`.")
    store.load(project.model(name))
    return record


def _difference(record: Record, now: Record) -> str:
    recorded = {item.file: item.sha256 for item in record.evidence}
    for item in now.evidence:
        if item.sha256 is None:
            return f"{item.file} is missing"
        if recorded.get(item.file) != item.sha256:
            return f"{item.file} is not the file that was gated"
    if record.model != now.model:
        return f"the gate record is that of {record.model}"
    return "the gate record is not what params.yaml and the metrics lead to"


def _promote_one(
    registry: Registry, project: Project, params: Params, name: str, record: Record
) -> Outcome:
    run_id = tracking.recreate_run(project, name, registry.client)
    values = facts(project, params, name, record, registry, run_id)
    challenger = challenger_scores(project, name)
    version = _register(registry, project, params, name, record, values, run_id)
    registry.log_metrics(run_id, challenger.metrics, values.time_ms)
    if not record.passed:
        if record.mode == "enforce":
            # The record that was just stored may be the champion's own.
            settle_all(registry, params.gates.get(name), name)
        return Outcome(name, "refused", version.version, gate.reasons(record))
    for _ in range(_ATTEMPTS):
        outcome = _decide(registry, project, params, version, record, challenger)
        if outcome is not None:
            return outcome
        time.sleep(0.05)
    raise GenmintError(
        f"the champion of {name} was moved {_ATTEMPTS} times meanwhile. "
        f"Run `genmint promote {name}` again."
    )


def _register(
    registry: Registry,
    project: Project,
    params: Params,
    name: str,
    record: Record,
    values: Facts,
    run_id: str,
) -> Version:
    """Make the weights a version, or store the new gate record with the one that has them.

    The record of a gate in dry-run does not take the place of one that counts.
    """
    known = registry.find(name, values.weights)
    if (
        known is not None
        and record.mode == "dry-run"
        and known.tags.get("genmint.gate_mode") == "enforce"
    ):
        return known
    return registry.register(
        name,
        project.model(name),
        weights=values.weights,
        run_id=run_id,
        tags=values.tags,
        description=description(record, values.weights, contest.ruling_of(known)),
        evaluation=evaluation_files(project, name, params.models[name].dataset),
    )


def _decide(
    registry: Registry,
    project: Project,
    params: Params,
    version: Version,
    record: Record,
    challenger: Scores,
) -> Outcome | None:
    """Look, decide and write once; None if somebody else wrote in between."""
    name = version.name
    rule = params.gates.get(name)
    dry = record.mode == "dry-run"
    standing = registry.read(name, rule) if dry else settle_all(registry, rule, name)
    champion = None if standing.champion is None else registry.get(name, standing.champion)
    if champion is not None and champion.weights == version.weights:
        if not dry:
            registry.clear_challenger(name, version.version)
        return Outcome(name, "is champion", version.version, "nothing moves")
    back = rolled_back(standing.written, version.weights, version.grounds)
    if back is not None:
        reason = f"journal entry {back.number} ({back.reason}), and its gate decided nothing new"
        return Outcome(name, "rolled back", version.version, reason)
    if champion is None:
        reason = _first(standing)
    else:
        ruling = contest.hold(registry, project, params, version, champion, challenger)
        registry.tag(version, contest.COMPARISON_TAG, ruling.model_dump_json())
        registry.describe(version, description(record, version.weights, ruling))
        log_beside(registry, champion, version)
        reason = f"against champion version {champion.version}: {ruling.reason}"
        if not ruling.better:
            if not dry:
                registry.set_challenger(name, version.version)
            return Outcome(name, "not better", version.version, reason)
    if dry:
        return Outcome(name, "dry-run", version.version, f"would become champion: {reason}")
    problem = registry.why_not(name, version.named, rule)
    if problem is not None:
        raise GenmintError(
            f"version {version.version} names these weights, but may not be champion: {problem}. "
            f"Delete that version in MLflow, then run `genmint promote {name}` to register them."
        )
    registry.set_challenger(name, version.version)
    moved = registry.move_champion(
        name,
        version,
        rule,
        standing=standing,
        kind="promotion",
        reason=reason,
        user=tracking.user(),
    )
    return Outcome(name, "promoted", version.version, reason) if moved else None


def _first(standing: Standing) -> str:
    """Say why a model that passed its gate needs no comparison."""
    why = "" if standing.entry is None else f" ({standing.entry})"
    return f"passed its gate, and there was no champion{why}"
