"""What a person did to the aliases in MLflow's UI: honoured, or put back.

`champion` may be moved by hand to a version that passed its gate; then the journal says so. From
any other version it is put back, and so is an alias that was taken away, unless a person wrote
down why (the tag `override` on the version) and `gates.NAME.allow_overrides` lets that count.
`genmint reconcile` and `genmint promote` follow these rules by the same code.

That a version passed is not taken from its tags alone, which the "Promote model" button copies
along and anyone can edit: the gate record and the weights that are stored with it must bear them
out.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genmint import tracking
from genmint.config import Gate, Params
from genmint.errors import GenmintError, RegistryUnreachableError
from genmint.files import read_json, sha256_file, sha256_json
from genmint.history import Kind
from genmint.journal import CHAMPION, PREVIOUS, Standing
from genmint.models.record import WEIGHTS, load_record
from genmint.project import Project
from genmint.registry import CHALLENGER, Registry, Version

OVERRIDE_TAG = "override"

# Each attempt was beaten by a real move of somebody else's.
_ATTEMPTS = 50

Verdict = Literal[
    "in order", "finished", "confirmed", "overridden", "put back", "dry-run", "not mended"
]


@dataclass(frozen=True)
class Outcome:
    """What became of one model's aliases.

    Attributes:
        name: of the model.
        verdict: in one word; "not mended" is the only failure.
        champion: version that is champion now, None if there is none.
        reason: the verdict in words.
    """

    name: str
    verdict: Verdict
    champion: str | None
    reason: str

    @property
    def exit_code(self) -> int:
        """1 if something is still amiss."""
        return 1 if self.verdict == "not mended" else 0

    def __str__(self) -> str:
        champion = f"champion is version {self.champion}" if self.champion else "no champion"
        return f"{self.name}: {self.verdict} ({champion}): {self.reason}"


def reconcile(project: Project, params: Params, names: Sequence[str]) -> list[Outcome]:
    """Bring aliases and journal together, one pass over the models; idempotent.

    Finishes what a killed writer left, then judges what a person did to the aliases. Prints one
    line per model: to stderr those that could not be mended, else to stdout.

    Raises:
        RegistryUnreachableError: the registry does not answer; nothing was written since.
    """
    registry = Registry.existing(project)
    outcomes = []
    for name in names:
        if registry is None:
            outcome = Outcome(name, "in order", None, "nothing is registered")
        else:
            try:
                outcome = _reconcile_one(registry, params.gates.get(name), name)
            except RegistryUnreachableError:
                raise
            except GenmintError as error:
                outcome = Outcome(name, "not mended", None, str(error))
        print(outcome, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)
        outcomes.append(outcome)
    return outcomes


def settle_by_hand(
    registry: Registry, gate: Gate | None, name: str, standing: Standing
) -> Outcome | None:
    """Honour or put back what a person did to the aliases.

    Args:
        registry: that holds them.
        gate: the block of the model in params.yaml; None if it has none.
        name: of the model.
        standing: from `Registry.stand`, with an alias that was moved by hand.

    Returns:
        What became of it; None if somebody else wrote in between: look again.
    """
    if not standing.by_hand:
        assert standing.entry is not None
        registry.follow(name, standing.entry)
        reason = f"`{PREVIOUS}` had been moved by hand"
        return Outcome(name, "put back", standing.champion, reason)
    if standing.champion is None:
        return _taken_away(registry, gate, name, standing)
    version = registry.get(name, standing.champion)
    if version is None:
        return None
    problem = why_not(registry, version)
    if problem is None:
        reason = f"moved by hand from {_champion_of(standing)}; it passed its gate"
        return _moved(registry, version, standing, "by-hand", "confirmed", reason)
    said = version.tags.get(OVERRIDE_TAG, "").strip()
    if said and gate is not None and gate.allow_overrides:
        reason = f"{said} (by hand from {_champion_of(standing)}, though {problem})"
        return _moved(registry, version, standing, "override", "overridden", reason)
    return _put_back(registry, version, standing, problem + _no_override(name, said))


def why_not(registry: Registry, version: Version) -> str | None:
    """Say why a version may not be champion by its gate, None if it passed.

    Raises:
        RegistryUnreachableError: the registry or its artefacts do not answer, which is no verdict.
    """
    verdict = version.tags.get("genmint.gate")
    if not version.weights or verdict is None:
        return "it was never gated"
    if verdict != "passed":
        return "it failed its gate"
    if version.tags.get("genmint.gate_mode") != "enforce":
        return "its gate was in dry-run"
    if not registry.has_files(version):
        return "its files are gone, so that nothing shows that it passed its gate"
    with tempfile.TemporaryDirectory(prefix="genmint-") as folder:
        return _belied(version, *registry.download(version, Path(folder)))


def _belied(version: Version, weights: Path, evaluation: Path) -> str | None:
    """Say which of a version's files speaks against its tags, None if none does."""
    try:
        model = load_record(weights).name
        digest = sha256_file(weights / WEIGHTS)
        record: Any = read_json(Project(evaluation).gate_record(model))
    except (GenmintError, OSError):
        return "no model with its gate record is stored with it, so it was never gated"
    if model != version.name:
        return f"it is a copy of a version of {model}, and was never gated as {version.name}"
    if digest != version.weights:
        return "its weights are not those that passed the gate"
    if not isinstance(record, dict) or sha256_json(record) != version.tags.get("genmint.record"):
        return "the gate record stored with it is not the one that its tags name"
    if record.get("passed") != 1 or record.get("mode") != "enforce":
        return "it failed its gate, whatever its tags say"
    gated = {"file": f"models/{model}/{WEIGHTS}", "sha256": digest}
    if record.get("model") != model or gated not in record.get("evidence", []):
        return "the gate record stored with it is that of other weights"
    return None


def _reconcile_one(registry: Registry, gate: Gate | None, name: str) -> Outcome:
    left = [entry.number for entry in registry.read(name).unsettled]
    if gate is not None and gate.mode == "dry-run":
        return _dry(registry, name)
    for _ in range(_ATTEMPTS):
        standing = registry.stand(name)
        if standing.by_hand or standing.previous_by_hand:
            outcome = settle_by_hand(registry, gate, name, standing)
            if outcome is not None:
                return outcome
            time.sleep(0.05)
            continue
        return _finished(registry, name, standing.champion, left)
    raise GenmintError(
        f"the champion was moved {_ATTEMPTS} times meanwhile. Run `genmint reconcile {name}` again."
    )


def _finished(registry: Registry, name: str, champion: str | None, left: list[int]) -> Outcome:
    """Say what was half done, having taken the last step of a writer that was killed before it."""
    done = [f"entry {number} was half done" for number in left]
    if champion is not None and registry.aliases(name).get(CHALLENGER) == champion:
        registry.clear_challenger(name, champion)
        done.append(f"`{CHALLENGER}` was left on the champion")
    if done:
        return Outcome(name, "finished", champion, "; ".join(done))
    return Outcome(name, "in order", champion, "aliases and journal agree")


def _dry(registry: Registry, name: str) -> Outcome:
    """Only look: a gate in dry-run moves no alias."""
    standing = registry.read(name)
    if standing.by_hand:
        version = None if standing.champion is None else registry.get(name, standing.champion)
        problem = "there is none" if version is None else why_not(registry, version)
        reason = f"the alias was moved by hand from {_champion_of(standing)}, and stays: "
        return Outcome(name, "dry-run", standing.champion, reason + (problem or "it passed"))
    return Outcome(name, "dry-run", standing.champion, "nothing moves")


def _moved(
    registry: Registry,
    version: Version,
    standing: Standing,
    kind: Kind,
    verdict: Verdict,
    reason: str,
) -> Outcome | None:
    """Write into the journal that a person moved the alias to `version`."""
    name = version.name
    moved = registry.move_champion(
        name, version, standing=standing, kind=kind, reason=reason, user=_found_by()
    )
    return Outcome(name, verdict, version.version, reason) if moved else None


def _put_back(
    registry: Registry, version: Version, standing: Standing, problem: str
) -> Outcome | None:
    """Put the alias back where the journal has it, and say why on the version's page."""
    name = version.name
    entry = standing.entry
    number = None if entry is None else entry.version
    back = None if number is None else registry.get(name, number)
    to = "away from it" if back is None else f"back to version {back.version}"
    registry.set_reverted(
        version, f"`{CHAMPION}` was moved here by hand and was put {to}: {problem}."
    )
    reason = f"moved by hand to version {version.version}: {problem}"
    moved = registry.move_champion(
        name,
        back,
        standing=standing,
        kind="reverted",
        reason=reason,
        user=_found_by(),
        left=version if back is None else None,
    )
    return (
        Outcome(name, "put back", number if back is not None else None, reason) if moved else None
    )


def _taken_away(
    registry: Registry, gate: Gate | None, name: str, standing: Standing
) -> Outcome | None:
    """Put a deleted alias back, unless its version says why there is to be no champion."""
    entry = standing.entry
    assert entry is not None
    assert entry.version is not None
    version = registry.get(name, entry.version)
    if version is None:
        return None
    said = version.tags.get(OVERRIDE_TAG, "").strip()
    if said and gate is not None and gate.allow_overrides:
        reason = f"{said} (the alias was taken away by hand from version {version.version})"
        moved = registry.move_champion(
            name,
            None,
            standing=standing,
            kind="override",
            reason=reason,
            user=_found_by(),
            left=version,
        )
        return Outcome(name, "overridden", None, reason) if moved else None
    reason = "taken away by hand" + _no_override(name, said)
    return _moved(registry, version, standing, "reverted", "put back", reason)


def _champion_of(standing: Standing) -> str:
    entry = standing.entry
    return "none" if entry is None or entry.version is None else f"version {entry.version}"


def _no_override(name: str, said: str) -> str:
    if not said:
        return ""
    return f"; its tag `{OVERRIDE_TAG}` does not count while gates.{name}.allow_overrides is false"


def _found_by() -> str:
    return f"found by {tracking.user()}"
