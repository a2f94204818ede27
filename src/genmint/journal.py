"""Who was champion, since when and why: a list of entries that no two writers can both extend.

The journal of NAME is the registered model `NAME.journal`; its version N is entry N. MLflow offers
one compare-and-set, the same on SQLite, PostgreSQL and over HTTP: the number it gives to a new
version. A writer reads head N and creates a version that claims to be N+1. If it is given another
number, somebody else was quicker and the entry is void: whether it is valid can be read off the
entry itself, so a writer that dies at any moment leaves nothing to clean up.

Aliases follow the journal: entry first, then `previous-champion`, then `champion`, then the head is
read again until they agree. The writer then marks the versions that it concerns, and its entry as
`settled`. While an entry is not settled its writer may still be moving aliases; only when all are,
and the aliases stand still, does an alias that differs from the journal mean that a person moved
it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from genmint import marks
from genmint.history import Entry, Move, bars, last_valid, previous
from genmint.rows import put

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

# What an entry says, and the tag that says it.
_TEXTS = {
    "kind": "genmint.kind",
    "user": "genmint.user",
    "weights": "genmint.weights",
    "grounds": "genmint.grounds",
    "left_weights": "genmint.left_weights",
    "left_grounds": "genmint.left_grounds",
}
_TIME = "genmint.time"
_VERSIONS = {
    "version": "genmint.version",
    "previous": "genmint.previous",
    "left": "genmint.left",
}
# In place of a version: there is no champion from here on.
_NONE = "none"


def as_version(number: int | str) -> str:
    """Return a version as text: the one form in which versions are compared.

    MLflow's SQL store gives the version behind an alias as `int`, its entities as `str`; then
    `alias == "2"` is silently False.
    """
    return str(int(number))


def journal_name(name: str) -> str:
    """Name of the registered model that is the journal of model `name`."""
    return f"{name}{_SUFFIX}"


@dataclass(frozen=True)
class Standing:
    """Who is champion, as journal and aliases say together.

    Attributes:
        written: all entries, oldest first.
        champion: version that is champion; None if there is none.
        by_hand: whether a person moved or took away the alias that the journal speaks of.
        previous_by_hand: the same of `previous-champion`.
    """

    written: tuple[Entry, ...]
    champion: str | None
    by_hand: bool = False
    previous_by_hand: bool = False

    @property
    def entry(self) -> Entry | None:
        """The last valid entry, None if there is none."""
        return last_valid(self.written)

    @property
    def unsettled(self) -> tuple[Entry, ...]:
        """The valid entries whose writers may still be at work."""
        return tuple(entry for entry in self.written if entry.valid and not entry.settled)


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
            return sorted((_entry(version) for version in found), key=lambda entry: entry.number)


def read(client: MlflowClient, name: str) -> Standing:
    """Tell who is champion, without writing anything and without waiting for other writers."""
    written = tuple(entries(client, name))
    entry = last_valid(written)
    found = aliases(client, name)
    champion, previous_champion = _targets(client, name, entry)
    # A version that is deleted takes its alias along; then nobody moved it.
    return Standing(
        written,
        found.get(CHAMPION),
        by_hand=found.get(CHAMPION) != champion,
        previous_by_hand=entry is not None and found.get(PREVIOUS) != previous_champion,
    )


def append(client: MlflowClient, name: str, standing: Standing, move: Move) -> Entry | None:
    """Write the entry after the last one, if what was decided on `standing` still holds.

    It holds while the last valid entry is the one of `standing`: the void entries of others say
    nothing. So a slow writer among many quick ones is only beaten by real moves.

    Args:
        client: of a registry that answers.
        name: of the model.
        standing: what the writer saw when it made up its mind.
        move: what the entry says. Its version, or else the one that it left, exists.

    Returns:
        The entry; None if the champion was moved meanwhile, and the writer must look and decide
        again.
    """
    _ensure(client, name)
    values = _values(standing, move)
    for _ in range(_LOOKS):
        written = entries(client, name)
        if _last_move(written) != _last_move(standing.written):
            return None
        entry = _create(client, name, move, values, _head(written) + 1)
        if entry is not None and entry.valid:
            return entry
        if entry is not None:
            # For people who read the journal in MLflow's UI; validity does not depend on it.
            _mark(client, name, entry, _VOID)
        # Writers that void one another in step would go on doing so.
        time.sleep(random.uniform(0, _SECONDS_BETWEEN_LOOKS))  # noqa: S311 - no secret
    raise MlflowException(f"the journal of {name} is being written by others without end")


def _values(standing: Standing, move: Move) -> dict[str, str]:
    """What an entry says, as tags, but for the number that it claims."""
    values = {tag: getattr(move, key) for key, tag in _TEXTS.items() if getattr(move, key)}
    values[_TIME] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    before = previous(standing.written, move)
    for key, version in (("version", move.version), ("previous", before), ("left", move.left)):
        if version is not None:
            values[_VERSIONS[key]] = as_version(version)
    values.setdefault(_VERSIONS["version"], _NONE)
    return values


def _create(
    client: MlflowClient, name: str, move: Move, values: dict[str, str], claim: int
) -> Entry | None:
    """Write an entry that claims a number; None if others were so quick that MLflow gave up."""
    tags = {**values, _CLAIM: str(claim)}
    try:
        # The source is a pointer for people; nothing is ever loaded from an entry. It is none of a
        # file, since a server refuses paths that lie outside of a run.
        created = client.create_model_version(
            journal_name(name),
            source=f"models:/{name}/{move.version or move.left}",
            tags=tags,
            description=move.reason,
            await_creation_for=0,
        )
    except MlflowException:
        # MLflow gives up when others were quicker three times; a look tells whether they were.
        if _head(entries(client, name)) < claim:
            raise
        return None
    return _entry(created, tags)


def _last_move(written: Sequence[Entry]) -> int:
    entry = last_valid(written)
    return entry.number if entry else 0


def _head(written: Sequence[Entry]) -> int:
    """The highest number given so far, 0 if none; the next entry claims one more."""
    return written[-1].number if written else 0


def settle(client: MlflowClient, name: str, own: Entry) -> None:
    """Make the aliases follow the journal, as the writer of the entry `own`.

    Whoever moves an alias looks at the head afterwards, so that the last to look leaves the aliases
    at the last valid entry, which may be a later one than `own`.
    """
    for _ in range(_LOOKS):
        entry = last_valid(entries(client, name))
        if entry is None:
            return
        _follow(client, name, entry)
        again = last_valid(entries(client, name))
        if again is not None and again.number == entry.number and _agrees(client, name, entry):
            _conclude(client, name, own, entry)
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise MlflowException(f"the aliases of {name} are being moved by others without end")


def stand(client: MlflowClient, name: str) -> Standing:
    """Tell who is champion, after finishing what a killed writer left half done.

    Waits for writers that are at work; finishes the move of one that gives no sign of life. What a
    person did to the aliases is left as it is.
    """
    seen: Standing | None = None
    since = time.monotonic()
    while True:
        standing = read(client, name)
        now = time.monotonic()
        # One look may have been overtaken while it read; the same seen twice was not.
        if seen != standing:
            seen, since = standing, now
        unsettled = standing.unsettled
        by_hand = standing.by_hand or standing.previous_by_hand
        if unsettled and now - since >= _GRACE_SECONDS:
            for left in unsettled[:-1]:
                _conclude(client, name, left, unsettled[-1])
            settle(client, name, unsettled[-1])
        elif not unsettled and (not by_hand or now - since >= _BY_HAND_SECONDS):
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


def _follow(client: MlflowClient, name: str, entry: Entry) -> None:
    champion, previous_champion = _targets(client, name, entry)
    current = aliases(client, name)
    for alias, target in ((PREVIOUS, previous_champion), (CHAMPION, champion)):
        if target is None and alias in current:
            put(client.delete_registered_model_alias, name, alias)
        elif target is not None and current.get(alias) != target:
            put(client.set_registered_model_alias, name, alias, target)


def _agrees(client: MlflowClient, name: str, entry: Entry) -> bool:
    current = aliases(client, name)
    return (current.get(CHAMPION), current.get(PREVIOUS)) == _targets(client, name, entry)


def _targets(client: MlflowClient, name: str, entry: Entry | None) -> tuple[str | None, str | None]:
    """Return where `champion` and `previous-champion` belong; nowhere for a deleted version."""
    if entry is None:
        return None, None
    champion, before = (
        version if version is not None and _version(client, name, version) is not None else None
        for version in (entry.version, entry.previous)
    )
    return champion, before


def _version(client: MlflowClient, name: str, version: str) -> ModelVersion | None:
    found = client.search_model_versions(
        f"name = '{name}' AND version_number = {version}", max_results=1
    )
    return found[0] if found else None


def _conclude(client: MlflowClient, name: str, entry: Entry, head: Entry) -> None:
    """Mark the versions that an entry concerns, then the entry as settled.

    Marks that a later entry, the head, has overtaken are left out.
    """
    champion = None if entry.version is None else _version(client, name, entry.version)
    if champion is not None and entry.version == head.version:
        marks.clear(client, champion)
    left = None if entry.left is None else _version(client, name, entry.left)
    if left is not None and bars(entry) and entry.left != head.version:
        marks.set_rolled_back(client, left, f"entry {entry.number}: {entry.reason}")
    _mark(client, name, entry, _SETTLED)


def _mark(client: MlflowClient, name: str, entry: Entry, tag: str) -> None:
    put(client.set_model_version_tag, journal_name(name), str(entry.number), tag, "1")


def _entry(version: ModelVersion, tags: dict[str, str] | None = None) -> Entry:
    values = tags if tags is not None else dict(version.tags)
    number = int(version.version)
    texts = {key: str(values.get(tag, "")) for key, tag in _TEXTS.items()}
    numbers = {key: values.get(tag) for key, tag in _VERSIONS.items()}
    return Entry(
        number=number,
        valid=values.get(_CLAIM) == str(number) and numbers["version"] is not None,
        settled=values.get(_SETTLED) == "1",
        version=None if numbers["version"] == _NONE else numbers["version"],
        previous=numbers["previous"],
        left=numbers["left"],
        reason=version.description or "",
        time=values.get(_TIME, ""),
        **texts,
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
