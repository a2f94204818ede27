"""Journal entries in the registry: reading, and writing with optimistic concurrency.

The journal of NAME is the registered model `NAME.journal`; its version N is entry N. MLflow offers
one compare-and-set that works on SQLite, PostgreSQL and over HTTP: the number of a new version. A
writer reads head N and creates a version that claims to be N+1. If the version gets another number,
another writer was faster and the entry is void. The validity of an entry follows from the entry
itself, so a writer that dies at any moment leaves nothing to clean up.

An entry is signed with the project's key. An entry that others wrote or changed is void.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from genmint.common.errors import TemporaryError
from genmint.common.project_key import SigningKey
from genmint.common.tags import (
    CLAIM_TAG,
    ENTRY_TEXT_TAGS,
    ENTRY_VERSION_TAGS,
    FINALISED_TAG,
    JOURNAL_TAG,
    REASON_TAG,
    SIGNATURE_TAG,
    TIME_TAG,
    VOID_TAG,
)
from genmint.registry.admission import Judge
from genmint.registry.journal_entries import Entry, Move, RegistryState, before, last_valid
from genmint.registry.versions import as_version, create_if_missing, exists, search_all
from genmint.tracking.write_conflicts import put

# Interval between polls of the other writers' progress, in seconds.
SECONDS_BETWEEN_READS = 0.1
READS = 400

_SUFFIX = ".journal"

# Value that replaces a version number if there is no champion.
_NONE = "none"
# Tags written with the entry and never changed afterwards; the signature covers them.
_SIGNED = (CLAIM_TAG, TIME_TAG, REASON_TAG, *ENTRY_TEXT_TAGS.values(), *ENTRY_VERSION_TAGS.values())


def journal_name(name: str) -> str:
    """Return the name of the registered model that holds the journal of model `name`."""
    return f"{name}{_SUFFIX}"


def entries(client: MlflowClient, name: str, key: SigningKey | None = None) -> list[Entry]:
    """Return all entries of a journal, including void ones, oldest first.

    Args:
        client: client of a reachable registry.
        name: name of the model.
        key: key that entries are signed with; None disables the check of signatures.

    Raises:
        MlflowException: a request failed, for example because the journal may not be read.
    """
    written = _written(client, name)
    return sorted((_entry(name, each, key) for each in written), key=lambda entry: entry.number)


def sign_entries(client: MlflowClient, name: str, key: SigningKey, numbers: Sequence[int]) -> None:
    """Sign entries in their current state and replace existing signatures."""
    for version in _written(client, name):
        if int(version.version) in numbers:
            tags = {REASON_TAG: version.description or "", **version.tags}
            changed = {REASON_TAG: tags[REASON_TAG], SIGNATURE_TAG: _signature(name, tags, key)}
            for tag, value in changed.items():
                put(
                    client.set_model_version_tag,
                    journal_name(name),
                    str(version.version),
                    tag,
                    value,
                )


def _written(client: MlflowClient, name: str) -> list[ModelVersion]:
    versions = search_all(client, f"name = '{journal_name(name)}'")
    if not versions:
        # A search omits models that the user may not read; a direct request raises an error
        # instead.
        exists(client, journal_name(name))
    return versions


def append(
    client: MlflowClient, name: str, registry_state: RegistryState, move: Move, judge: Judge
) -> Entry | None:
    """Append an entry, if the registry state that the decision was based on still holds.

    It holds while the last valid entry is that of `registry_state`; void entries of others do not
    count. A slow writer among many fast ones is thus rejected only because of actual moves.

    Args:
        client: client of a reachable registry.
        name: name of the model.
        registry_state: registry state that the writer's decision is based on.
        move: content of the entry.
        judge: decides which earlier champion `previous-champion` may point to.

    Returns:
        The entry; None if the champion was moved meanwhile and the writer must decide again.
    """
    create_if_missing(
        client,
        journal_name(name),
        {JOURNAL_TAG: "1"},
        f"Journal of `{name}`: written by genmint, do not edit. Version N is entry N.",
    )
    values = _values(registry_state, move, judge)
    for _ in range(READS):
        written = entries(client, name, judge.key)
        if _last_move(written) != _last_move(registry_state.written):
            return None
        entry = _create(client, name, move, values, _head(written) + 1, judge.key)
        if entry is not None and entry.valid:
            return entry
        if entry is not None:
            # This tag is for people who read the journal in MLflow; validity does not depend on it.
            _mark(client, name, entry, VOID_TAG)
        # A random delay breaks the lockstep of writers that keep voiding each other's entries.
        time.sleep(random.uniform(0, SECONDS_BETWEEN_READS))  # noqa: S311 - no secret
    raise TemporaryError(
        f"other processes keep writing the journal of {name}. Run the command again."
    )


def mark_finalised(client: MlflowClient, name: str, entry: Entry) -> None:
    """Mark an entry as finalised: aliases and version notes were seen to agree with it."""
    _mark(client, name, entry, FINALISED_TAG)


def _values(registry_state: RegistryState, move: Move, judge: Judge) -> dict[str, str]:
    """Return the content of an entry as tags, without the claimed number."""
    values = {
        tag: getattr(move, key) for key, tag in ENTRY_TEXT_TAGS.items() if getattr(move, key, "")
    }
    values[TIME_TAG] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    values[REASON_TAG] = move.reason
    for key, version in (("version", move.version), ("left", move.left)):
        if version is not None:
            values[ENTRY_VERSION_TAGS[key]] = as_version(version)
    values.setdefault(ENTRY_VERSION_TAGS["version"], _NONE)
    for named in before(registry_state.written, move):
        if judge.why_not(named, whole=False) is None:
            values[ENTRY_VERSION_TAGS["previous"]] = named.version
            values[ENTRY_TEXT_TAGS["previous_weights"]] = named.weights
            break
    return values


def _create(
    client: MlflowClient,
    name: str,
    move: Move,
    values: dict[str, str],
    claim: int,
    key: SigningKey | None,
) -> Entry | None:
    """Write an entry that claims a number; None if MLflow gave up because of other writers."""
    tags = {**values, CLAIM_TAG: str(claim)}
    if key is not None:
        tags[SIGNATURE_TAG] = _signature(name, tags, key)
    try:
        # The source is a pointer for people; nothing is loaded from an entry. It is not an MLflow
        # address, because those must resolve and the version may be gone. The server requires an
        # absolute path.
        created = client.create_model_version(
            journal_name(name),
            source=f"genmint:/{name}/{move.version or move.left or _NONE}",
            tags=tags,
            description=move.reason,
            await_creation_for=0,
        )
    except MlflowException:
        # MLflow gives up after losing three races; the head shows whether that was the cause.
        if _head(entries(client, name)) < claim:
            raise
        return None
    return _entry(name, created, key, tags)


def _signature(name: str, tags: Mapping[str, str], key: SigningKey) -> str:
    return key.sign("entry", _content(name, tags))


def _content(name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the content that the signature of an entry covers."""
    return {"name": name, **{tag: str(tags[tag]) for tag in _SIGNED if tag in tags}}


def _last_move(written: Sequence[Entry]) -> int:
    entry = last_valid(written)
    return entry.number if entry else 0


def _head(written: Sequence[Entry]) -> int:
    """Return the highest number so far, 0 if none; the next entry claims one more."""
    return written[-1].number if written else 0


def _mark(client: MlflowClient, name: str, entry: Entry, tag: str) -> None:
    put(client.set_model_version_tag, journal_name(name), str(entry.number), tag, "1")


def _entry(
    name: str, version: ModelVersion, key: SigningKey | None, tags: dict[str, str] | None = None
) -> Entry:
    values = tags if tags is not None else dict(version.tags)
    number = int(version.version)
    texts = {key: str(values.get(tag, "")) for key, tag in ENTRY_TEXT_TAGS.items()}
    # Anyone can edit tags in MLflow; an entry without a valid version number is void.
    numbers = {key: _number(values.get(tag)) for key, tag in ENTRY_VERSION_TAGS.items()}
    none = values.get(ENTRY_VERSION_TAGS["version"]) == _NONE
    forged = None
    if key is not None:
        forged = key.problem("entry", _content(name, values), values.get(SIGNATURE_TAG, ""))
    claimed = values.get(CLAIM_TAG) == str(number) and (none or numbers["version"] is not None)
    return Entry(
        number=number,
        valid=claimed and forged is None,
        forged=forged if claimed else None,
        finalised=values.get(FINALISED_TAG) == "1",
        version=numbers["version"],
        previous=numbers["previous"],
        left=numbers["left"],
        reason=values.get(REASON_TAG, version.description or ""),
        time=values.get(TIME_TAG, ""),
        **texts,
    )


def _number(text: str | None) -> str | None:
    return as_version(text) if text is not None and re.fullmatch("[1-9][0-9]{0,8}", text) else None
