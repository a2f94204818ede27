"""Promotion: from gate records to versions, aliases and the journal; idempotent, fails closed.

A promotion reads the current champion, decides whether the model is better, and writes the journal
entry and then the aliases. If another process moves the champion in between, the entry becomes void
and the promotion starts again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genmint import tracking
from genmint.common.errors import GenmintError, RegistryError, RegistryMissingError
from genmint.common.escaping import printable
from genmint.common.project import Project
from genmint.common.tags import COMPARISON_TAG, DVC_TAG, GATE_MODE_TAG
from genmint.config import Params, load_params
from genmint.decision.comparison import ChampionComparison
from genmint.evaluation.recorded import read_evaluation
from genmint.promotion import challenge, snapshot
from genmint.promotion.challenge import Challenger
from genmint.promotion.decision import Decision, PromotionVerdict, decide_promotion
from genmint.promotion.evidence import verified_record
from genmint.promotion.gate_changes import gate_changes
from genmint.promotion.key_change import with_key
from genmint.promotion.known_champions import had_champion, remember
from genmint.promotion.reconcile import settle_all
from genmint.promotion.run_record import log_samples, page_of, tag_run
from genmint.promotion.scores import recorded_scores
from genmint.promotion.side_by_side import log_beside
from genmint.promotion.version_info import Facts, description, evaluation_files, facts
from genmint.registry import registration
from genmint.registry.championship import Championship
from genmint.registry.conflicts import retry_on_conflict
from genmint.registry.journal_entries import RegistryState
from genmint.registry.registry import Registry
from genmint.registry.versions import Version
from genmint.stages import gate
from genmint.tracking.failures import without_password


@dataclass(frozen=True)
class PromotionResult:
    """Result of promoting one model.

    Attributes:
        name: name of the model.
        verdict: short result; "not promoted" is the only failure.
        version: version number, None if the model was not registered.
        reason: explanation of the result.
    """

    name: str
    verdict: PromotionVerdict
    version: str | None
    reason: str

    @property
    def exit_code(self) -> int:
        """1 if the model's files cannot be trusted; 0 also if it was refused or is not better.

        The exit code is also 0 if the champion is not comparable; the new model is then challenger.
        """
        return 1 if self.verdict == "not promoted" else 0

    def __str__(self) -> str:
        version = f" (version {self.version})" if self.version else ""
        return printable(f"{self.name}: {self.verdict}{version}: {self.reason}")


def promote(
    project: Project, params: Params, names: Sequence[str], *, first: bool = False
) -> list[PromotionResult]:
    """Register each gated model, and make those champion that beat the current champion.

    Prints one line per model, to stderr if its files cannot be trusted, else to stdout. Manual
    changes of the aliases are first accepted or reverted, with a line on stderr.

    Args:
        project: project with the models.
        params: settings of the project.
        names: names of the models.
        first: accept a registry without a journal as new, although a champion was seen from here.

    Raises:
        RegistryError: the registry does not answer, or rejects a request.
    """
    outcomes = []
    registry = None
    for name in names:
        try:
            with snapshot.taken(project, name, params.models[name].dataset) as files:
                challenger = _verified(project, files, params, name)
                registry = registry or with_key(Registry.open(project), list(params.models))
                outcome = _promote_one(registry, challenger, first=first)
        except GenmintError as error:
            if isinstance(error, RegistryError) and not isinstance(error, RegistryMissingError):
                raise
            outcome = PromotionResult(name, "not promoted", None, str(error))
        print(outcome, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)
        outcomes.append(outcome)
    return outcomes


def _verified(project: Project, files: Project, params: Params, name: str) -> Challenger:
    now = load_params(files.params)
    dataset = params.models[name].dataset
    if name not in now.models or now.models[name].dataset != dataset:
        way_out = f"Run `genmint promote {name}` again."
        raise GenmintError(f"{files.params}: changed meanwhile. {way_out}")
    evaluation = read_evaluation(files, name, dataset)
    record = verified_record(project, files, now, evaluation)
    return Challenger(project, files, now, evaluation, record, recorded_scores(evaluation))


def _promote_one(registry: Registry, challenger: Challenger, *, first: bool) -> PromotionResult:
    name, record = challenger.name, challenger.record
    championship = Championship(registry)
    # Fail before anything is written that a different key would make invalid.
    championship.check_journal(name)
    if not first:
        _refuse_an_emptied_registry(championship, challenger)
    run_id = tracking.recreate_run(
        challenger.project, name, registry.client, files=challenger.files
    )
    values = facts(challenger.files, challenger.evaluation, record, registry, run_id)
    # Compute this before the version is updated, since an earlier gate may have refused it.
    changes = _since_the_last(registry, challenger) if record.passed else ""
    version = _register(championship, challenger, values, run_id)
    registry.log_metrics(run_id, challenger.scores.metrics, values.time_ms)
    if record.passed:
        result = retry_on_conflict(
            lambda: _attempt(championship, version, challenger, changes),
            lambda attempts: GenmintError(
                f"the champion of {name} was moved {attempts} times meanwhile. "
                f"Run `genmint promote {name}` again."
            ),
        )
    else:
        if record.mode == "enforce":
            # The record that was just stored may belong to the champion itself.
            settle_all(championship, challenger.params.gates.get(name), name)
        result = PromotionResult(name, "refused", version.version, gate.reasons(record))
    tag_run(registry, run_id, result.version, result.verdict)
    return result


def _register(
    championship: Championship, challenger: Challenger, values: Facts, run_id: str
) -> Version:
    """Register the weights as a version, or store the new gate record with their version.

    The record of a dry-run gate does not replace the record of an enforced gate.
    """
    registry = championship.registry
    name, record, files = challenger.name, challenger.record, challenger.files
    known = registry.find(name, values.weights)
    if (
        known is not None
        and record.mode == "dry-run"
        and known.tags.get(GATE_MODE_TAG) == "enforce"
    ):
        return known
    rule = challenger.params.gates.get(name)
    entry = championship.read(name, rule).entry
    named = None if entry is None else entry.champion
    champion = None if named is None else championship.find_named(name, named)

    def described(version: Version | None) -> str:
        comparison = challenge.latest_comparison(version)
        page = page_of(registry, challenger, run_id, version, champion)
        return description(record, values.weights, comparison, page)

    # Before the signature changes, which tells whether a file is there already.
    log_samples(registry, run_id, files, name, known)
    version = registration.register(
        registry,
        name,
        files.model(name),
        weights=values.weights,
        run_id=run_id,
        tags=values.tags | _earlier_tags(challenger, known),
        description=described(known),
        evaluation=evaluation_files(files, name, challenger.dataset),
    )
    if known is None:
        # Its page names its number, which the registry has just given.
        registry.describe(version, described(version))
    return version


def _earlier_tags(challenger: Challenger, known: Version | None) -> dict[str, str]:
    """Return tags that only versions of earlier versions of genmint have, up to date."""
    if known is None or DVC_TAG not in known.tags:
        return {}
    hashes = tracking.model_hashes(challenger.files, challenger.name, challenger.dataset)
    return {DVC_TAG: json.dumps(hashes, sort_keys=True)}


def _refuse_an_emptied_registry(championship: Championship, challenger: Challenger) -> None:
    """Reject a registry without a journal of a model that had a champion.

    Raises:
        GenmintError: without the journal, any model that passes its gate would become champion.
    """
    name = challenger.name
    seen = had_champion(challenger.project, name)
    if seen is not None and not any(entry.valid for entry in championship.entries(name)):
        address = without_password(championship.registry.address)
        raise GenmintError(
            f"{address} has no journal of {name}, whose champion was "
            f"{seen}: it is another registry, or an emptied one. Restore it (docs/registry.md), "
            f"or start anew: `genmint promote --first {name}`."
        )


def _since_the_last(registry: Registry, challenger: Challenger) -> str:
    """Describe how the gate differs from the gate of the latest signed version."""
    known = registry.versions(challenger.name)
    earlier = [version for version in known if registry.not_signed(version) is None][-1:]
    return gate_changes(registry, earlier[0], challenger.files.params) if earlier else ""


def _attempt(
    championship: Championship, version: Version, challenger: Challenger, changes: str
) -> PromotionResult | None:
    """Read, decide and write once; return None if another process wrote in between.

    Args:
        championship: state of the registry that holds the version.
        version: version of the challenger.
        challenger: the model.
        changes: gate changes to report if there is no champion to compare with.
    """
    name, dry = version.name, challenger.record.mode == "dry-run"
    rule = challenger.params.gates.get(name)
    registry = championship.registry
    registry_state = championship.read(name, rule) if dry else settle_all(championship, rule, name)
    champion = _champion(championship, name, registry_state)

    def compared(champion: Version) -> ChampionComparison | str:
        return _compared(registry, version, challenger, champion)

    decision = decide_promotion(registry_state, champion, version, compared, dry=dry)
    if decision.verdict == "promoted" and champion is not None:
        changes = gate_changes(registry, champion, challenger.files.params)
    if decision.verdict == "promoted" and changes:
        decision = replace(decision, reason=f"{decision.reason}; {changes}")
    if not _apply(championship, version, challenger, decision, registry_state):
        return None
    return PromotionResult(name, decision.verdict, version.version, decision.reason)


def _compared(
    registry: Registry, version: Version, challenger: Challenger, champion: Version
) -> ChampionComparison | str:
    """Compare with the champion, and show the result on the version's page."""
    try:
        comparison = challenge.compare_versions(registry, challenger, version, champion)
    except challenge.NotComparableError as error:
        log_beside(registry, champion, version)
        return str(error)
    registry.tag(version, COMPARISON_TAG, comparison.model_dump_json())
    page = page_of(registry, challenger, version.run_id, version, champion)
    text = description(challenger.record, version.weights, comparison, page)
    registry.describe(version, text)
    log_beside(registry, champion, version)
    return comparison


def _apply(
    championship: Championship,
    version: Version,
    challenger: Challenger,
    decision: Decision,
    registry_state: RegistryState,
) -> bool:
    """Write what a decision means for the aliases and the journal.

    Returns:
        False, with nothing moved, if another process moved the champion since `registry_state`.

    Raises:
        GenmintError: the registry does not admit the version as champion.
    """
    name = version.name
    if decision.alias == "none":
        remember(challenger.project, version)
        championship.clear_challenger(name, version.version)
    rule = challenger.params.gates.get(name)
    if decision.alias == "champion":
        problem = championship.why_not(name, version.named, rule)
        if problem is not None:
            raise GenmintError(
                f"version {version.version} names these weights, but may not be champion: "
                f"{problem}. Delete that version in MLflow, then run `genmint promote {name}` to "
                "register them."
            )
    if decision.alias in ("challenger", "champion"):
        championship.set_challenger(name, version.version)
    if decision.alias != "champion":
        return True
    moved = championship.move_champion(
        name,
        version,
        rule,
        registry_state=registry_state,
        kind="promotion",
        reason=decision.reason,
        user=tracking.user(),
    )
    if moved:
        remember(challenger.project, version)
    return moved


def _champion(
    championship: Championship, name: str, registry_state: RegistryState
) -> Version | None:
    """Return the champion by number and weights of the journal entry, since tags may change."""
    entry = registry_state.entry
    if registry_state.champion is None:
        return None
    if (
        entry is not None
        and entry.champion is not None
        and entry.version == registry_state.champion
    ):
        return championship.find_named(name, entry.champion)
    return championship.registry.get(name, registry_state.champion)
