"""Entries of a journal in the registry: reading them, and writing one that nobody else wrote.

The journal of NAME is the registered model `NAME.journal`; its version N is entry N. MLflow offers
one compare-and-set, the same on SQLite, PostgreSQL and over HTTP: the number it gives to a new
version. A writer reads head N and creates a version that claims to be N+1. If it is given another
number, somebody else was quicker and the entry is void: whether it is valid can be read off the
entry itself, so a writer that dies at any moment leaves nothing to clean up.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from genmint.admission import Judge
from genmint.errors import TemporaryError
from genmint.history import Entry, Move, Standing, before, last_valid
from genmint.registered import as_version, exists
from genmint.rows import put

# Between two looks at what other writers are doing.
SECONDS_BETWEEN_LOOKS = 0.1
LOOKS = 400

_SUFFIX = ".journal"
_CLAIM = "genmint.claims"
_VOID = "genmint.void"
_SETTLED = "genmint.settled"
_PAGE = 200

# What an entry says, and the tag that says it.
_TEXTS = {
    "kind": "genmint.kind",
    "user": "genmint.user",
    "weights": "genmint.weights",
    "grounds": "genmint.grounds",
    "left_weights": "genmint.left_weights",
    "left_grounds": "genmint.left_grounds",
    "previous_weights": "genmint.previous_weights",
}
_TIME = "genmint.time"
_VERSIONS = {
    "version": "genmint.version",
    "previous": "genmint.previous",
    "left": "genmint.left",
}
# In place of a version: there is no champion from here on.
_NONE = "none"


def journal_name(name: str) -> str:
    """Name of the registered model that is the journal of model `name`."""
    return f"{name}{_SUFFIX}"


def entries(client: MlflowClient, name: str) -> list[Entry]:
    """Return all entries of a journal, void ones included, oldest first.

    Raises:
        MlflowException: among others, if the journal is there and may not be read.
    """
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(
            f"name = '{journal_name(name)}'", max_results=_PAGE, page_token=token
        )
        found += page
        token = page.token
        if not token:
            break
    if not found:
        # A server leaves out of a search what its user may not read; asked outright, it says so.
        exists(client, journal_name(name))
    return sorted((_entry(version) for version in found), key=lambda entry: entry.number)


def append(
    client: MlflowClient, name: str, standing: Standing, move: Move, judge: Judge
) -> Entry | None:
    """Write the entry after the last one, if what was decided on `standing` still holds.

    It holds while the last valid entry is the one of `standing`: the void entries of others say
    nothing. So a slow writer among many quick ones is only beaten by real moves.

    Args:
        client: of a registry that answers.
        name: of the model.
        standing: what the writer saw when it made up its mind.
        move: what the entry says.
        judge: says which of the earlier champions may be the one to go back to.

    Returns:
        The entry; None if the champion was moved meanwhile, and the writer must look and decide
        again.
    """
    _ensure(client, name)
    values = _values(standing, move, judge)
    for _ in range(LOOKS):
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
        time.sleep(random.uniform(0, SECONDS_BETWEEN_LOOKS))  # noqa: S311 - no secret
    raise TemporaryError(
        f"the journal of {name} is being written by others without end. Run the command again."
    )


def mark_settled(client: MlflowClient, name: str, entry: Entry) -> None:
    """Mark an entry as one whose aliases and marks were seen to agree with it."""
    _mark(client, name, entry, _SETTLED)


def _values(standing: Standing, move: Move, judge: Judge) -> dict[str, str]:
    """What an entry says, as tags, but for the number that it claims."""
    values = {tag: getattr(move, key) for key, tag in _TEXTS.items() if getattr(move, key, "")}
    values[_TIME] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for key, version in (("version", move.version), ("left", move.left)):
        if version is not None:
            values[_VERSIONS[key]] = as_version(version)
    values.setdefault(_VERSIONS["version"], _NONE)
    for named in before(standing.written, move):
        if judge.why_not(named, whole=False) is None:
            values[_VERSIONS["previous"]] = named.version
            values[_TEXTS["previous_weights"]] = named.weights
            break
    return values


def _create(
    client: MlflowClient, name: str, move: Move, values: dict[str, str], claim: int
) -> Entry | None:
    """Write an entry that claims a number; None if others were so quick that MLflow gave up."""
    tags = {**values, _CLAIM: str(claim)}
    try:
        # The source is a pointer for people; nothing is ever loaded from an entry. It is none of
        # MLflow's own addresses: those must lead to something, and the version may be gone. A
        # server wants the path to be an absolute one.
        created = client.create_model_version(
            journal_name(name),
            source=f"genmint:/{name}/{move.version or move.left or _NONE}",
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


def _mark(client: MlflowClient, name: str, entry: Entry, tag: str) -> None:
    put(client.set_model_version_tag, journal_name(name), str(entry.number), tag, "1")


def _entry(version: ModelVersion, tags: dict[str, str] | None = None) -> Entry:
    values = tags if tags is not None else dict(version.tags)
    number = int(version.version)
    texts = {key: str(values.get(tag, "")) for key, tag in _TEXTS.items()}
    # Anybody can edit a tag in MLflow: an entry that names no version is void.
    numbers = {key: _number(values.get(tag)) for key, tag in _VERSIONS.items()}
    none = values.get(_VERSIONS["version"]) == _NONE
    return Entry(
        number=number,
        valid=values.get(_CLAIM) == str(number) and (none or numbers["version"] is not None),
        settled=values.get(_SETTLED) == "1",
        version=numbers["version"],
        previous=numbers["previous"],
        left=numbers["left"],
        reason=version.description or "",
        time=values.get(_TIME, ""),
        **texts,
    )


def _number(text: str | None) -> str | None:
    return as_version(text) if text is not None and re.fullmatch("[1-9][0-9]{0,8}", text) else None


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
