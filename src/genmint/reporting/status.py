"""Training, gate and registry state of every model, and inconsistencies between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rich.table import Table

from genmint import tracking
from genmint.common.console import print_json, table_console
from genmint.common.dvc_lock import read_lock
from genmint.common.errors import GenmintError, RegistryError, RegistryMissingError
from genmint.common.files import sha256_file
from genmint.common.layout import WEIGHTS
from genmint.common.project import Project
from genmint.common.tags import GATE_MODE_TAG, GATE_TAG
from genmint.config import Gate, Params
from genmint.decision.gate_record import Record
from genmint.evaluation.recorded import read_evaluation
from genmint.promotion.known_champions import had_champion
from genmint.registry.champion import (
    Champion,
    alias_remedy,
    champion_sentence,
    effect,
    moved_by_hand,
    read_champion,
)
from genmint.registry.championship import Championship
from genmint.registry.journal_entries import RegistryState, rolled_back
from genmint.registry.registry import Registry
from genmint.registry.versions import Version
from genmint.stages import gate

_IN_JSON = (
    "name",
    "trained",
    "gated",
    "version",
    "champion",
    "problems",
    "notes",
    "weights",
    "gate",
    "gate_mode",
    "champion_verdict",
    "moved_by_hand",
)
# A record is outdated if the gate would decide otherwise on the current files and settings.
GateState = Literal["none", "passed", "failed", "outdated"]


@dataclass
class ModelStatus:
    """State of one model; each of the `problems` names the command that fixes it.

    Attributes:
        name: name of the model entry.
        trained: start of the hash of the weights in models/NAME, or "no".
        gated: result of the gate in words.
        version: number of the version with these weights.
        champion: number of the version that the alias `champion` points to.
        problems: where files, records and registry disagree.
        notes: what is worth knowing, but no problem.
        weights: sha256 of the weights in models/NAME; None if there are none.
        gate: state of the gate record.
        gate_mode: mode of the gate in the record; None without a record that matches the files.
        registered: version with these weights; None if there is none or no registry.
        registry_state: journal and aliases; None if the registry is missing or did not answer.
        current: the version that the alias `champion` points to; None if there is none.
        champion_note: what must be known about it; "" if nothing is out of order.
    """

    name: str
    trained: str = "no"
    gated: str = "no"
    version: str = "–"
    champion: str = "–"
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    weights: str | None = None
    gate: GateState = "none"
    registered: Version | None = None
    registry_state: RegistryState | None = None
    gate_mode: str | None = None
    current: Champion | None = None
    champion_note: str = ""

    @property
    def champion_verdict(self) -> str | None:
        """Verdict on the version that `champion` points to; None if there is none."""
        return None if self.current is None else self.current.sentence

    @property
    def moved_by_hand(self) -> bool:
        """Whether a person moved or removed the alias `champion`."""
        return self.registry_state is not None and moved_by_hand(self.registry_state)

    @property
    def champion_cell(self) -> str:
        """Number of the champion with what is wrong about it."""
        remark = "" if self.current is None else self.current.remark
        hand = "moved by hand" if self.moved_by_hand and self.current is not None else ""
        return ": ".join((self.champion, *filter(None, [", ".join(filter(None, (hand, remark)))])))


def status(project: Project, params: Params, *, as_json: bool = False) -> int:
    """Print the state of every model; return 1 if files, records and registry disagree.

    As JSON it prints `models`; `problems`, those that belong to no single model; and `agree`.

    The command is read-only: it creates no store, moves no alias and writes no file.
    """
    registry, problem = open_registry(project)
    states = [read_status(project, params, registry, name) for name in params.models]
    problems = [*_damaged_lock(project), *([problem] if problem else [])]
    agree = not problems and not any(state.problems for state in states)
    if as_json:
        models = [{key: getattr(state, key) for key in _IN_JSON} for state in states]
        document = {"models": models, "problems": problems, "agree": agree}
        print_json(document)
    else:
        _print(states, problems)
    return 0 if agree else 1


def _print(states: list[ModelStatus], problems: list[str]) -> None:
    table = Table("model", "trained", "gate", "version", "champion")
    for state in states:
        table.add_row(state.name, state.trained, state.gated, state.version, state.champion_cell)
    console = table_console()
    console.print(table)
    problems = problems + [f"{state.name}: {text}" for state in states for text in state.problems]
    notes = [f"{state.name}: {text}" for state in states for text in state.notes]
    for text in problems + notes:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if not problems:
        console.print("files, records and registry agree")


def read_status(
    project: Project, params: Params, registry: Registry | None, name: str
) -> ModelStatus:
    """Return the state of one model, without writing anything.

    Args:
        project: project of the model.
        params: settings of the project.
        registry: registry of the project; None if there is none or it does not answer.
        name: name of the model entry.
    """
    state = ModelStatus(name)
    try:
        _describe(project, params, registry, state)
    except RegistryError as error:
        state.problems.append(str(error))
    return state


def _damaged_lock(project: Project) -> list[str]:
    try:
        read_lock(project.lock)
    except GenmintError as error:
        return [str(error)]
    return []


def open_registry(project: Project) -> tuple[Registry | None, str]:
    """Return the registry, None if there is none, and an error message."""
    try:
        return Registry.existing(project), ""
    except RegistryError as error:
        return None, f"registry: {error}"


def _describe(
    project: Project, params: Params, registry: Registry | None, state: ModelStatus
) -> None:
    """Determine the state of one model."""
    name = state.name
    weights = project.model(name) / WEIGHTS
    digest = sha256_file(weights) if weights.is_file() else None
    if digest is not None:
        state.weights = digest
        state.trained = digest[:12]
    record = _record(project, params, name, state) if digest is not None else None
    if record is not None:
        state.gated = ("passed" if record.passed else "refused") + (
            " (dry-run)" if record.mode == "dry-run" else ""
        )
    if registry is None:
        reachable = tracking.is_embedded() and not tracking.database(project).exists()
        if record is not None and reachable:
            seen = had_champion(project, name)
            way_out = f"Run `genmint promote {name}`."
            if seen is not None:
                way_out = f"Restore it, or start anew: `genmint promote --first {name}`."
            state.problems.append(
                f"was gated, but nothing is registered: {tracking.database(project)} does not "
                f"exist. {way_out}"
            )
        return
    state.registered = _compare_version(registry, state, digest, record)
    rule = params.gates.get(name)
    registry_state = Championship(registry).read(name, rule)
    # Both or none: without the verdict on its version, an alias says nothing.
    state.current = read_champion(registry, name, rule, registry_state)
    state.registry_state = registry_state
    state.champion_note = champion_sentence(name, registry_state, state.current, rule)
    _compare_champion(state, registry_state, record, rule)


def _record(project: Project, params: Params, name: str, state: ModelStatus) -> Record | None:
    """Return the gate record if it matches the current files, else add a problem."""
    if not project.gate_record(name).is_file():
        state.problems.append(f"is trained but not gated. Run `dvc repro gate@{name}`.")
        return None
    try:
        record = gate.read_record(project, name)
    except GenmintError as error:
        state.problems.append(str(error))
        state.gate = "outdated"
        return None
    evaluation = read_evaluation(project, name, params.models[name].dataset)
    if record != gate.judge(evaluation, params):
        state.gated = state.gate = "outdated"
        state.problems.append(
            f"the gate record does not match these files. Run `dvc repro gate@{name}`."
        )
        return None
    state.gate = "passed" if record.passed else "failed"
    state.gate_mode = record.mode
    return record


def _compare_version(
    registry: Registry, state: ModelStatus, digest: str | None, record: Record | None
) -> Version | None:
    """Compare the current files with the version and the run of these weights."""
    name = state.name
    way_out = f"Run `genmint promote {name}`."
    version = registry.find(name, digest) if digest is not None else None
    if version is not None:
        state.version = version.version
        if record is not None:
            _compare_record(state, version, record)
    elif record is not None and not record.distrusted():
        state.problems.append(f"was gated ({state.gated}), but is not registered. {way_out}")
    if digest is not None:
        try:
            with tracking.reaching(registry.address):
                known = tracking.find_run(registry.client, name, digest)
        except RegistryMissingError as error:
            state.problems.append(str(error))
        else:
            if known is None:
                state.problems.append(f"the tracker has no run with these weights. {way_out}")
    return version


def _compare_record(state: ModelStatus, version: Version, record: Record) -> None:
    """Compare the gate's result on the files with the result that is stored with their version."""
    stored = version.tags.get(GATE_TAG)
    if record.mode == "dry-run" and version.tags.get(GATE_MODE_TAG) == "enforce":
        # The record of a dry-run does not replace that of an enforced gate.
        return
    now = "passed" if record.passed else "refused"
    if stored not in (None, now):
        state.problems.append(
            f"the gate now says {now}, but version {version.version} is registered as {stored}. "
            f"Run `genmint promote {state.name}`."
        )


def _compare_champion(
    state: ModelStatus, registry_state: RegistryState, record: Record | None, rule: Gate | None
) -> None:
    """Compare aliases, journal and gate records."""
    name, version = state.name, state.registered
    entry = registry_state.entry
    remedy = alias_remedy(name, rule, effect(state.current, by_hand=False))
    if registry_state.champion is not None:
        state.champion = registry_state.champion
    if registry_state.problem is not None:
        assert entry is not None
        state.problems.append(
            f"journal entry {entry.number} names a champion that may not be one: "
            f"{registry_state.problem}. {remedy}"
        )
    if registry_state.forged:
        state.problems.append(registry_state.forged)
    if state.current is not None and state.current.override and not state.moved_by_hand:
        state.notes.append(state.champion_note)
    if state.moved_by_hand:
        state.problems.append(state.champion_note)
    elif registry_state.problem is not None:
        return
    elif registry_state.unfinished or registry_state.previous_by_hand:
        what = (
            "a move of the champion is incomplete"
            if registry_state.unfinished
            else "`previous-champion` was moved"
        )
        state.problems.append(f"{what}. {alias_remedy(name, rule)}")
    elif registry_state.champion is None:
        if (
            version is not None
            and _may_move(record)
            and rolled_back(registry_state.written, version.weights, version.gate_inputs) is None
        ):
            state.problems.append(
                f"passed its gate, but there is no champion. Run `genmint promote {name}`."
            )
        if entry is not None:
            state.notes.append(registry_state.why_none)


def _may_move(record: Record | None) -> bool:
    return record is not None and record.passed == 1 and record.mode == "enforce"
