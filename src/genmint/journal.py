"""Who is champion: the aliases follow the journal, and neither leads to a version that may not be.

Aliases follow the journal (see `entries`): entry first, then `previous-champion`, then `champion`,
then the head is read again until they agree. The writer then marks the versions that it concerns,
and its entry as `settled`. While an entry is not settled its writer may still be moving aliases;
only when all are, and the aliases stand still, does an alias that differs from the journal mean
that a person moved it.

This is the one place that moves these aliases, and it asks a judge for each of them, whoever wants
it: an entry may name a version that is gone, other weights under an old number, or weights whose
gate failed since.
"""

from __future__ import annotations

import dataclasses
import time

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from genmint import marks
from genmint.admission import Judge
from genmint.entries import LOOKS, SECONDS_BETWEEN_LOOKS, entries, mark_settled
from genmint.errors import TemporaryError
from genmint.history import Entry, NamedVersion, Standing, bars, last_valid, previous
from genmint.registered import MISSING, as_version, exists
from genmint.rows import put

CHAMPION = "champion"
PREVIOUS = "previous-champion"

# After this time without a sign of life, a writer counts as dead and its move is finished for it.
_GRACE_SECONDS = 3.0
# An alias that differs this long, with nobody at work, was set by hand.
_BY_HAND_SECONDS = 1.0


def read(client: MlflowClient, name: str, judge: Judge) -> Standing:
    """Tell who is champion, without writing anything and without waiting for other writers.

    The champion's weights are not hashed, which would be slow where they lie far away.
    """
    return _judged(_look(client, name, judge), judge, whole=False)


def stand(client: MlflowClient, name: str, judge: Judge, *, whole: bool) -> Standing:
    """Tell who is champion, after finishing what a killed writer left half done.

    Waits for writers that are at work; finishes the move of one that gives no sign of life. What a
    person did to the aliases is left as it is.

    Args:
        client: of a registry that answers.
        name: of the model.
        judge: says which versions may be champion.
        whole: whether the champion's stored weights are hashed.
    """
    seen: Standing | None = None
    since = time.monotonic()
    while True:
        standing = _look(client, name, judge)
        now = time.monotonic()
        # One look may have been overtaken while it read; the same seen twice was not.
        if seen != standing:
            seen, since = standing, now
        unsettled = standing.unsettled
        by_hand = standing.by_hand or standing.previous_by_hand
        if unsettled and now - since >= _GRACE_SECONDS:
            for left in unsettled[:-1]:
                _conclude(client, name, left, unsettled[-1], judge)
            settle(client, name, unsettled[-1], judge)
        elif not unsettled and (not by_hand or now - since >= _BY_HAND_SECONDS):
            return _judged(standing, judge, whole=whole)
        else:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def settle(client: MlflowClient, name: str, own: Entry, judge: Judge) -> None:
    """Make the aliases follow the journal, as the writer of the entry `own`.

    Whoever moves an alias looks at the head afterwards, so that the last to look leaves the aliases
    at the last valid entry, which may be a later one than `own`. An alias whose version may not be
    champion is taken away.
    """
    for _ in range(LOOKS):
        try:
            if _settled(client, name, own, judge):
                return
        except MlflowException as error:
            # Somebody deleted a version, or an entry, between the look and the write.
            if error.error_code not in MISSING:
                raise
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise TemporaryError(
        f"the aliases of {name} are being moved by others without end. Run the command again."
    )


def _settled(client: MlflowClient, name: str, own: Entry, judge: Judge) -> bool:
    """Move the aliases once; False if somebody else moved them or wrote an entry meanwhile."""
    written = entries(client, name)
    entry = last_valid(written)
    if entry is None:
        return True
    targets = {
        PREVIOUS: _admitted(previous(written, entry), judge, whole=False),
        CHAMPION: _admitted(entry.champion, judge, whole=True),
    }
    _follow(client, name, targets)
    again = last_valid(entries(client, name))
    current = aliases(client, name)
    agree = all(current.get(alias) == target for alias, target in targets.items())
    if again is None or again.number != entry.number or not agree:
        return False
    _conclude(client, name, own, entry, judge)
    return True


def aliases(client: MlflowClient, name: str) -> dict[str, str]:
    """Return alias → version of a registered model; empty if there is no such model.

    Asked by a search, whose empty answer is confirmed: neither an error nor a model that may not be
    read is taken for "none".
    """
    found = client.search_registered_models(f"name = '{name}'", max_results=1)
    if not found:
        exists(client, name)
        return {}
    return {str(alias): as_version(version) for alias, version in found[0].aliases.items()}


def _look(client: MlflowClient, name: str, judge: Judge) -> Standing:
    """Compare aliases and journal by identity; what the gates said is not asked yet."""
    written = tuple(entries(client, name))
    entry = last_valid(written)
    found = aliases(client, name)
    champion = None if entry is None else entry.champion
    before = None if entry is None else previous(written, entry)
    problem = None if champion is None else judge.absent(champion)
    # A version that is deleted takes its alias along; then nobody moved it.
    expected = champion.version if champion is not None and problem is None else None
    expected_before = before.version if before and judge.absent(before) is None else None
    return Standing(
        written,
        found.get(CHAMPION),
        found.get(PREVIOUS),
        by_hand=found.get(CHAMPION) != expected,
        previous_by_hand=entry is not None and found.get(PREVIOUS) != expected_before,
        problem=problem,
    )


def _judged(standing: Standing, judge: Judge, *, whole: bool) -> Standing:
    """Add what the gates said of the versions that the last entry names."""
    entry = standing.entry
    if entry is None:
        return standing
    problem = standing.problem
    if problem is None and entry.champion is not None:
        problem = judge.why_not(entry.champion, whole=whole)
        if problem is not None:
            problem = f"{entry.champion}: {problem}"
    before = _admitted(previous(standing.written, entry), judge, whole=False)
    return dataclasses.replace(
        standing, problem=problem, previous_by_hand=standing.previous != before
    )


def _admitted(named: NamedVersion | None, judge: Judge, *, whole: bool) -> str | None:
    """Return the number of a version that may be champion, None if it may not or there is none."""
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
    found = client.search_model_versions(
        f"name = '{name}' AND version_number = {named.version}", max_results=1
    )
    return found[0] if found else None


def _conclude(client: MlflowClient, name: str, entry: Entry, head: Entry, judge: Judge) -> None:
    """Mark the versions that an entry concerns, then the entry as settled.

    Marks that a later entry, the head, has overtaken are left out.
    """
    if entry.champion is not None and entry.champion == head.champion:
        champion = _version(client, name, entry.champion, judge)
        if champion is not None:
            marks.clear(client, champion)
    if entry.left is not None and bars(entry):
        named = NamedVersion(entry.left, entry.left_weights)
        left = None if named == head.champion else _version(client, name, named, judge)
        if left is not None:
            marks.set_rolled_back(client, left, f"entry {entry.number}: {entry.reason}")
    mark_settled(client, name, entry)
