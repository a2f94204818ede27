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

from genmint import contest, snapshot, tracking
from genmint.beside import log_beside
from genmint.config import Params, load_params
from genmint.contest import Challenger
from genmint.errors import GenmintError, RegistryError, RegistryMissingError
from genmint.evidence import verify
from genmint.gate_changes import gate_changes
from genmint.history import Standing, rolled_back
from genmint.project import Project
from genmint.reconcile import settle_all
from genmint.registered import Version
from genmint.registry import Registry
from genmint.remembered import had_champion, remember
from genmint.scoring import challenger_scores
from genmint.stages import gate
from genmint.tracking.failures import without_password
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


def promote(
    project: Project, params: Params, names: Sequence[str], *, first: bool = False
) -> list[Outcome]:
    """Register each model that was gated, and make champion those that are better.

    Prints one line per model: to stderr those whose files cannot be believed, else to stdout.
    What a person did to the aliases is honoured or put back first, with a line on stderr.

    Args:
        project: with the models.
        params: of the project.
        names: of the models.
        first: whether a registry without a journal is taken for a new one, though a champion was
            seen from here.

    Raises:
        RegistryError: the registry does not answer, or refuses.
    """
    outcomes = []
    registry = None
    for name in names:
        try:
            with snapshot.taken(project, name, params.models[name].dataset) as files:
                challenger = _verified(project, files, params, name)
                registry = registry or Registry.open(project)
                outcome = _promote_one(registry, challenger, first=first)
        except GenmintError as error:
            if isinstance(error, RegistryError) and not isinstance(error, RegistryMissingError):
                raise
            outcome = Outcome(name, "not promoted", None, str(error))
        print(outcome, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)
        outcomes.append(outcome)
    return outcomes


def _verified(project: Project, files: Project, params: Params, name: str) -> Challenger:
    now = load_params(files.params)
    dataset = params.models[name].dataset
    if name not in now.models or now.models[name].dataset != dataset:
        again = f"Run `genmint promote {name}` again."
        raise GenmintError(f"{files.params}: changed meanwhile. {again}")
    record = verify(project, files, now, name)
    return Challenger(project, files, now, name, record, challenger_scores(files, name))


def _promote_one(registry: Registry, challenger: Challenger, *, first: bool) -> Outcome:
    name, record = challenger.name, challenger.record
    if not first:
        _refuse_an_emptied_registry(registry, challenger)
    run_id = tracking.recreate_run(
        challenger.project, name, registry.client, files=challenger.files
    )
    values = facts(challenger.files, challenger.params, name, record, registry, run_id)
    # Before this version is brought up to date: an earlier gate may have refused it.
    changes = _since_the_last(registry, challenger) if record.passed else ""
    version = _register(registry, challenger, values, run_id)
    registry.log_metrics(run_id, challenger.scores.metrics, values.time_ms)
    if not record.passed:
        if record.mode == "enforce":
            # The record that was just stored may be the champion's own.
            settle_all(registry, challenger.params.gates.get(name), name)
        return Outcome(name, "refused", version.version, gate.reasons(record))
    for _ in range(_ATTEMPTS):
        outcome = _decide(registry, version, challenger, changes)
        if outcome is not None:
            return outcome
        time.sleep(0.05)
    raise GenmintError(
        f"the champion of {name} was moved {_ATTEMPTS} times meanwhile. "
        f"Run `genmint promote {name}` again."
    )


def _register(registry: Registry, challenger: Challenger, values: Facts, run_id: str) -> Version:
    """Make the weights a version, or store the new gate record with the one that has them.

    The record of a gate in dry-run does not take the place of one that counts.
    """
    name, record, files = challenger.name, challenger.record, challenger.files
    known = registry.find(name, values.weights)
    if (
        known is not None
        and record.mode == "dry-run"
        and known.tags.get("genmint.gate_mode") == "enforce"
    ):
        return known
    return registry.register(
        name,
        files.model(name),
        weights=values.weights,
        run_id=run_id,
        tags=values.tags,
        description=description(record, values.weights, contest.ruling_of(known)),
        evaluation=evaluation_files(files, name, challenger.params.models[name].dataset),
    )


def _refuse_an_emptied_registry(registry: Registry, challenger: Challenger) -> None:
    """Refuse a registry that has no journal of a model which had a champion.

    Raises:
        GenmintError: without the journal any model that passes its gate would become champion.
    """
    name = challenger.name
    seen = had_champion(challenger.project, name)
    if seen is not None and not registry.entries(name):
        raise GenmintError(
            f"{without_password(registry.address)} has no journal of {name}, whose champion was "
            f"{seen}: it is another registry, or an emptied one. Restore it (docs/registry.md), "
            f"or start anew: `genmint promote --first {name}`."
        )


def _since_the_last(registry: Registry, challenger: Challenger) -> str:
    """Say how the gate differs from the one that the latest version was judged by."""
    earlier = registry.versions(challenger.name)[-1:]
    return gate_changes(registry, earlier[0], challenger.files.params) if earlier else ""


def _decide(
    registry: Registry, version: Version, challenger: Challenger, changes: str
) -> Outcome | None:
    """Look, decide and write once; None if somebody else wrote in between.

    Args:
        registry: that has the version.
        version: the challenger's.
        challenger: the model.
        changes: of its gate, where there is no champion to compare it with.
    """
    name, record = version.name, challenger.record
    rule = challenger.params.gates.get(name)
    dry = record.mode == "dry-run"
    standing = registry.read(name, rule) if dry else settle_all(registry, rule, name)
    champion = None if standing.champion is None else registry.get(name, standing.champion)
    if champion is not None and champion.weights == version.weights:
        if not dry:
            remember(challenger.project, champion)
            registry.clear_challenger(name, version.version)
        return Outcome(name, "is champion", version.version, "nothing moves")
    back = rolled_back(standing.written, version.weights, version.grounds)
    if back is not None:
        reason = f"journal entry {back.number} ({back.reason}), and its gate decided nothing new"
        return Outcome(name, "rolled back", version.version, reason)
    if champion is None:
        reason = _first(standing)
    else:
        ruling = contest.hold(registry, challenger, version, champion)
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
    if champion is not None:
        changes = gate_changes(registry, champion, challenger.files.params)
    reason = f"{reason}; {changes}" if changes else reason
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
    if not moved:
        return None
    remember(challenger.project, version)
    return Outcome(name, "promoted", version.version, reason)


def _first(standing: Standing) -> str:
    """Say why a model that passed its gate needs no comparison."""
    why = "" if standing.entry is None else f" ({standing.entry})"
    return f"passed its gate, and there was no champion{why}"
