"""Champion aliases: they follow the journal, and never point to an inadmissible version.

A writer creates the entry first (see `entries`), then sets `previous-champion`, then `champion`. It
reads the head again until they agree. It then updates the notes of the versions concerned and marks
its entry as finalised. While an entry is not finalised, its writer may still be moving aliases. If
all entries are finalised and the aliases are stable, an alias that differs from the journal was
moved by a person.

Only this module moves these aliases, and it asks a judge before each move. An entry may name a
deleted version, other weights under a reused number, or weights whose gate has failed since.
"""

from __future__ import annotations

import dataclasses
import time

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from genmint.common.errors import TemporaryError
from genmint.registry import version_notes
from genmint.registry.admission import Judge
from genmint.registry.conflicts import retry_on_conflict
from genmint.registry.entries import READS, SECONDS_BETWEEN_READS, entries, mark_finalised
from genmint.registry.journal_entries import (
    Entry,
    NamedVersion,
    RegistryState,
    bars,
    last_valid,
    previous,
)
from genmint.registry.versions import MISSING, as_version, exists
from genmint.tracking.write_conflicts import put

CHAMPION = "champion"
PREVIOUS = "previous-champion"

# A writer without activity for this long counts as dead, and its move is completed.
_GRACE_SECONDS = 3.0
# An alias that differs for this long without an active writer was set by a person.
_BY_HAND_SECONDS = 1.0


def read(client: MlflowClient, name: str, judge: Judge) -> RegistryState:
    """Return the registry state, without writing and without waiting for other writers.

    The champion's weights are not hashed, because that is slow on a remote store.
    """
    return _judged(_read_state(client, name, judge), judge, whole=False)


def finish_moves(client: MlflowClient, name: str, judge: Judge, *, whole: bool) -> RegistryState:
    """Return the registry state after completing the moves of interrupted writers.

    Waits for active writers and completes the move of a writer without activity. Manual changes of
    the aliases are left as they are.

    Args:
        client: client of a reachable registry.
        name: name of the model.
        judge: decides which versions may be champion.
        whole: whether the champion's stored weights are hashed.
    """
    seen: RegistryState | None = None
    since = time.monotonic()
    while True:
        registry_state = _read_state(client, name, judge)
        now = time.monotonic()
        # A single read may be inconsistent because of concurrent writes; two equal reads are not.
        if seen != registry_state:
            seen, since = registry_state, now
        unfinished = registry_state.unfinished
        by_hand = registry_state.by_hand or registry_state.previous_by_hand
        if unfinished and now - since >= _GRACE_SECONDS:
            for left in unfinished[:-1]:
                _conclude(client, name, left, unfinished[-1], judge)
            apply_journal(client, name, unfinished[-1], judge)
        elif not unfinished and (not by_hand or now - since >= _BY_HAND_SECONDS):
            return _judged(registry_state, judge, whole=whole)
        else:
            time.sleep(SECONDS_BETWEEN_READS)


def apply_journal(client: MlflowClient, name: str, own: Entry, judge: Judge) -> None:
    """Make the aliases follow the journal, as the writer of the entry `own`.

    Every writer reads the head again after moving an alias. The last one to read therefore leaves
    the aliases at the last valid entry, which may be later than `own`. An alias is removed if its
    version may not be champion.
    """

    def attempt() -> bool | None:
        try:
            return _finalised(client, name, own, judge) or None
        except MlflowException as error:
            # A version or an entry was deleted between the read and the write.
            if error.error_code not in MISSING:
                raise
            return None

    retry_on_conflict(
        attempt,
        lambda _: TemporaryError(
            f"other processes keep moving the aliases of {name}. Run the command again."
        ),
        attempts=READS,
        seconds=SECONDS_BETWEEN_READS,
    )


def _finalised(client: MlflowClient, name: str, own: Entry, judge: Judge) -> bool:
    """Move the aliases once; return False if another process wrote meanwhile."""
    written = entries(client, name, judge.key)
    entry = last_valid(written)
    if entry is None:
        return True
    targets = {
        PREVIOUS: _admitted(previous(written, entry), judge, whole=False),
        CHAMPION: _admitted(entry.champion, judge, whole=True),
    }
    _follow(client, name, targets)
    latest = last_valid(entries(client, name, judge.key))
    current = aliases(client, name)
    agree = all(current.get(alias) == target for alias, target in targets.items())
    if latest is None or latest.number != entry.number or not agree:
        return False
    _conclude(client, name, own, entry, judge)
    return True


def aliases(client: MlflowClient, name: str) -> dict[str, str]:
    """Return alias → version of a registered model; empty if there is no such model.

    An empty search result is confirmed by a direct request. Neither an error nor an unreadable
    model is therefore taken for "none".
    """
    models = client.search_registered_models(f"name = '{name}'", max_results=1)
    if not models:
        exists(client, name)
        return {}
    return {str(alias): as_version(version) for alias, version in models[0].aliases.items()}


def _read_state(client: MlflowClient, name: str, judge: Judge) -> RegistryState:
    """Compare aliases and journal by identity, without evaluating the gate results."""
    written = tuple(entries(client, name, judge.key))
    entry = last_valid(written)
    pointed = aliases(client, name)
    champion = None if entry is None else entry.champion
    before = None if entry is None else previous(written, entry)
    problem = None if champion is None else judge.absent(champion)
    # Deleting a version deletes its alias, which does not count as a manual move.
    expected = champion.version if champion is not None and problem is None else None
    expected_before = before.version if before and judge.absent(before) is None else None
    return RegistryState(
        written,
        pointed.get(CHAMPION),
        pointed.get(PREVIOUS),
        by_hand=pointed.get(CHAMPION) != expected,
        previous_by_hand=entry is not None and pointed.get(PREVIOUS) != expected_before,
        problem=problem,
    )


def _judged(registry_state: RegistryState, judge: Judge, *, whole: bool) -> RegistryState:
    """Add the gate results of the versions that the last entry names."""
    entry = registry_state.entry
    if entry is None:
        return registry_state
    problem = registry_state.problem
    if problem is None and entry.champion is not None:
        problem = judge.why_not(entry.champion, whole=whole)
        if problem is not None:
            problem = f"{entry.champion}: {problem}"
    before = _admitted(previous(registry_state.written, entry), judge, whole=False)
    return dataclasses.replace(
        registry_state, problem=problem, previous_by_hand=registry_state.previous != before
    )


def _admitted(named: NamedVersion | None, judge: Judge, *, whole: bool) -> str | None:
    """Return the version number if it may be champion; None if it may not or there is none."""
    if named is None or judge.why_not(named, whole=whole) is not None:
        return None
    return named.version


def _follow(client: MlflowClient, name: str, targets: dict[str, str | None]) -> None:
    current = aliases(client, name)
    for alias, target in targets.items():
        if target is None and alias in current:
            put(client.delete_registered_model_alias, name, alias)
        elif target is not None and current.get(alias) != target:
            put(client.set_registered_model_alias, name, alias, target)


def _version(
    client: MlflowClient, name: str, named: NamedVersion, judge: Judge
) -> ModelVersion | None:
    if judge.absent(named) is not None:
        return None
    versions = client.search_model_versions(
        f"name = '{name}' AND version_number = {named.version}", max_results=1
    )
    return versions[0] if versions else None


def _conclude(client: MlflowClient, name: str, entry: Entry, head: Entry, judge: Judge) -> None:
    """Update the notes of the versions that an entry concerns, then mark it as finalised.

    Notes that are outdated by a later entry, the head, are left out.
    """
    if entry.champion is not None and entry.champion == head.champion:
        champion = _version(client, name, entry.champion, judge)
        if champion is not None and entry.kind == "override":
            by = f"Journal entry {entry.number} made it champion against its gate"
            version_notes.set_overridden(client, champion, f"{by}: {entry.reason}.")
        elif champion is not None:
            version_notes.clear(client, champion)
    if entry.left is not None and bars(entry):
        named = NamedVersion(entry.left, entry.left_weights)
        left = None if named == head.champion else _version(client, name, named, judge)
        if left is not None:
            version_notes.set_rolled_back(client, left, f"entry {entry.number}: {entry.reason}")
    mark_finalised(client, name, entry)
