"""Who was champion, since when and why: a list of entries that no two writers can both extend.

The journal of NAME is the registered model `NAME.journal`; its version N is entry N. MLflow offers
one compare-and-set, the same on SQLite, PostgreSQL and over HTTP: the number it gives to a new
version. A writer reads head N and creates a version that claims to be N+1. If it is given another
number, somebody else was quicker and the entry is void: whether it is valid can be read off the
entry itself, so a writer that dies at any moment leaves nothing to clean up.

Aliases follow the journal: entry first, then `previous-champion`, then `champion`, then the head is
read again until they agree. The writer then marks its entry `settled`. While an entry is not
settled its writer may still be moving aliases; only when all are, and the aliases stand still, does
an alias that differs from the journal mean that a person moved it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

CHAMPION = "champion"
PREVIOUS = "previous-champion"

_SUFFIX = ".journal"
_CLAIM = "genmint.claims"
_VOID = "genmint.void"
_SETTLED = "genmint.settled"
_PAGE = 200
# Between two looks at what other writers are doing.
_SECONDS_BETWEEN_LOOKS = 0.1
# After this time without a sign of life, a writer counts as dead and its move is finished for it.
_GRACE_SECONDS = 3.0
# An alias that differs this long, with nobody at work, was set by hand.
_BY_HAND_SECONDS = 1.0
_LOOKS = 400

Kind = Literal["promotion", "by-hand"]


@dataclass(frozen=True)
class Entry:
    """One entry of a journal.

    Attributes:
        number: its place; also the version of the registered model `NAME.journal`.
        valid: whether it got the number that it claimed.
        settled: whether the aliases were seen to agree with it.
        kind: what moved the champion.
        version: of the model that became champion.
        previous: version that was champion before; None if there was none.
        reason: why, in words.
    """

    number: int
    valid: bool
    settled: bool
    kind: str
    version: str
    previous: str | None
    reason: str


def as_version(number: int | str) -> str:
    """Return a version as text: the one form in which versions are compared.

    MLflow's SQL store gives the version behind an alias as `int`, its entities as `str`; then
    `alias == "2"` is silently False.
    """
    return str(int(number))


def journal_name(name: str) -> str:
    """Name of the registered model that is the journal of model `name`."""
    return f"{name}{_SUFFIX}"


def is_journal(registered: str) -> bool:
    """Whether a registered model is a journal."""
    return registered.endswith(_SUFFIX)


@dataclass(frozen=True)
class Standing:
    """Who is champion, as journal and aliases say together.

    Attributes:
        head: the highest number given so far, 0 if none; the next entry claims one more.
        entry: the last valid entry, None if there is none.
        champion: version that is champion; None if there is none.
        by_hand: whether a person moved or took away the alias that the journal speaks of.
    """

    head: int
    entry: Entry | None
    champion: str | None
    by_hand: bool


def entries(client: MlflowClient, name: str) -> list[Entry]:
    """Return all entries of a journal, void ones included, oldest first."""
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(
            f"name = '{journal_name(name)}'", max_results=_PAGE, page_token=token
        )
        found += page
        token = page.token
        if not token:
            return sorted((_entry(version) for version in found), key=lambda e: e.number)


def read(client: MlflowClient, name: str) -> Standing:
    """Tell who is champion, without writing anything and without waiting for other writers."""
    return _look(client, name)[0]


def append(
    client: MlflowClient,
    name: str,
    *,
    after: int,
    kind: Kind,
    version: str,
    previous: str | None,
    reason: str,
    tags: dict[str, str] | None = None,
) -> Entry | None:
    """Write entry `after` + 1, or nothing valid if somebody else wrote it first.

    Args:
        client: of a registry that answers.
        name: of the model.
        after: the highest number that the writer saw when it made up its mind.
        kind: what moves the champion.
        version: of the model that becomes champion.
        previous: version that is champion now; None if there is none.
        reason: why, in words; the entry's description.
        tags: further tags of the entry.

    Returns:
        The entry; None if it came out void, and the writer must look and decide again.
    """
    _ensure(client, name)
    values = {
        **(tags or {}),
        _CLAIM: str(after + 1),
        "genmint.kind": kind,
        "genmint.version": as_version(version),
        "genmint.time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if previous is not None:
        values["genmint.previous"] = as_version(previous)
    # The source is a pointer for people; nothing is ever loaded from an entry. It is none of a
    # file, since a server refuses paths that lie outside of a run.
    created = client.create_model_version(
        journal_name(name),
        source=f"models:/{name}/{as_version(version)}",
        tags=values,
        description=reason,
        await_creation_for=0,
    )
    entry = _entry(created, values)
    if entry.valid:
        return entry
    # For people who read the journal in MLflow's UI; validity does not depend on it.
    _mark(client, name, entry, _VOID)
    return None


def settle(client: MlflowClient, name: str, own: Entry) -> None:
    """Make the aliases follow the journal, as the writer of the entry `own`.

    Whoever moves an alias looks at the head afterwards, so that the last to look leaves the aliases
    at the last valid entry, which may be a later one than `own`.
    """
    for _ in range(_LOOKS):
        entry = _last_valid(entries(client, name))
        if entry is None:
            return
        _follow(client, name, entry)
        again = _last_valid(entries(client, name))
        if again is not None and again.number == entry.number and _agrees(client, name, entry):
            _mark(client, name, own, _SETTLED)
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise MlflowException(f"the aliases of {name} are being moved by others without end")


def stand(client: MlflowClient, name: str) -> Standing:
    """Tell who is champion, after finishing what a killed writer left half done.

    Waits for writers that are at work; finishes the move of one that gives no sign of life. What a
    person did to the alias is left as it is.
    """
    seen: list[Entry] = []
    patience = by_hand_since = time.monotonic()
    while True:
        standing, unsettled = _look(client, name)
        entry, now = standing.entry, time.monotonic()
        if unsettled != seen:
            seen, patience = unsettled, now + _GRACE_SECONDS
        if not standing.by_hand:
            by_hand_since = now
        if unsettled and now < patience:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        elif entry is not None and unsettled:
            settle(client, name, entry)
            for left in unsettled:
                _mark(client, name, left, _SETTLED)
        elif not standing.by_hand or now - by_hand_since >= _BY_HAND_SECONDS:
            return standing
        else:
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def aliases(client: MlflowClient, name: str) -> dict[str, str]:
    """Return alias → version of a registered model; empty if there is no such model.

    Asked by a search, whose empty answer says "none" outright; an error is never read as "none".
    """
    found = client.search_registered_models(f"name = '{name}'", max_results=1)
    if not found:
        return {}
    return {str(alias): as_version(version) for alias, version in found[0].aliases.items()}


def _look(client: MlflowClient, name: str) -> tuple[Standing, list[Entry]]:
    """Return who is champion, and the valid entries whose writers may still be at work."""
    written = entries(client, name)
    entry = _last_valid(written)
    alias = aliases(client, name).get(CHAMPION)
    # A version that is deleted takes its alias along; then nobody moved it.
    by_hand = alias != (entry.version if entry else None) and (
        alias is not None or (entry is not None and _exists(client, name, entry.version))
    )
    standing = Standing(written[-1].number if written else 0, entry, alias, by_hand)
    return standing, [e for e in written if e.valid and not e.settled]


def _last_valid(written: list[Entry]) -> Entry | None:
    return next((entry for entry in reversed(written) if entry.valid), None)


def _follow(client: MlflowClient, name: str, entry: Entry) -> None:
    champion, previous = _targets(client, name, entry)
    current = aliases(client, name)
    if previous is None and PREVIOUS in current:
        client.delete_registered_model_alias(name, PREVIOUS)
    elif previous is not None and current.get(PREVIOUS) != previous:
        client.set_registered_model_alias(name, PREVIOUS, previous)
    if champion is not None and current.get(CHAMPION) != champion:
        client.set_registered_model_alias(name, CHAMPION, champion)


def _agrees(client: MlflowClient, name: str, entry: Entry) -> bool:
    current = aliases(client, name)
    return (current.get(CHAMPION), current.get(PREVIOUS)) == _targets(client, name, entry)


def _targets(client: MlflowClient, name: str, entry: Entry | None) -> tuple[str | None, str | None]:
    """Return where `champion` and `previous-champion` belong; nowhere for a deleted version."""
    if entry is None:
        return None, None
    previous = entry.previous
    return (
        entry.version if _exists(client, name, entry.version) else None,
        previous if previous is not None and _exists(client, name, previous) else None,
    )


def _exists(client: MlflowClient, name: str, version: str) -> bool:
    found = client.search_model_versions(
        f"name = '{name}' AND version_number = {version}", max_results=1
    )
    return len(found) == 1


def _mark(client: MlflowClient, name: str, entry: Entry, tag: str) -> None:
    client.set_model_version_tag(journal_name(name), str(entry.number), tag, "1")


def _entry(version: ModelVersion, tags: dict[str, str] | None = None) -> Entry:
    values = tags if tags is not None else dict(version.tags)
    number = int(version.version)
    return Entry(
        number=number,
        valid=values.get(_CLAIM) == str(number),
        settled=values.get(_SETTLED) == "1",
        kind=values.get("genmint.kind", "unknown"),
        version=values.get("genmint.version", ""),
        previous=values.get("genmint.previous"),
        reason=version.description or "",
    )


def _ensure(client: MlflowClient, name: str) -> None:
    registered = journal_name(name)
    if client.search_registered_models(f"name = '{registered}'", max_results=1):
        return
    try:
        client.create_registered_model(
            registered,
            tags={"genmint.journal": "1"},
            description=f"The journal of `{name}`: version N is entry N. Written by genmint only.",
        )
    except MlflowException:
        # Somebody else was quicker; if not, the next look tells.
        if not client.search_registered_models(f"name = '{registered}'", max_results=1):
            raise
