"""Notes on a version's page in MLflow: rolled back, alias reverted, or champion by override.

Tags and the first line of the description are for people. Whether a version is rolled back is
derived from the journal.
"""

from __future__ import annotations

import re

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from genmint.common.tags import REVERTED_TAG, ROLLED_BACK_TAG
from genmint.tracking.write_conflicts import put

# Maximum length of a description in characters: the limit of MLflow's column on PostgreSQL.
LONGEST = 5000

# Pages written by earlier versions of genmint use the second wording.
_NOTE = re.compile(r"\A> \*\*(?:Alias (?:reverted|put back)|Override)\.\*\*[^\n]*\n\n?")


def set_rolled_back(client: MlflowClient, version: ModelVersion, text: str) -> None:
    """Mark a version as rolled back."""
    if version.tags.get(ROLLED_BACK_TAG) != text:
        put(client.set_model_version_tag, version.name, str(version.version), ROLLED_BACK_TAG, text)


def set_reverted(client: MlflowClient, version: ModelVersion, reason: str) -> None:
    """State on a version's page why `champion` may not point to it."""
    number = str(version.version)
    if version.tags.get(REVERTED_TAG) != reason:
        put(client.set_model_version_tag, version.name, number, REVERTED_TAG, reason)
    described = with_note(version.description or "", reason)
    if version.description != described:
        client.update_model_version(version.name, number, described)


def set_overridden(client: MlflowClient, version: ModelVersion, text: str) -> None:
    """State on a version's page that a person made it champion against its gate."""
    _remove_tags(client, version)
    described = with_note(version.description or "", text, "Override")
    if version.description != described:
        client.update_model_version(version.name, str(version.version), described)


def clear(client: MlflowClient, version: ModelVersion) -> None:
    """Remove all notes from a version that is champion."""
    _remove_tags(client, version)
    described = version.description or ""
    if without_note(described) != described:
        client.update_model_version(version.name, str(version.version), without_note(described))


def _remove_tags(client: MlflowClient, version: ModelVersion) -> None:
    for tag in (ROLLED_BACK_TAG, REVERTED_TAG):
        if tag in version.tags:
            put(client.delete_model_version_tag, version.name, str(version.version), tag)


def with_note(description: str, reason: str, head: str = "Alias reverted") -> str:
    """Put the reason at the start of a description, and replace an older note."""
    line = " ".join(reason.split())
    whole = f"> **{head}.** {line}\n\n{without_note(description)}"
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - 1]}…"


def without_note(description: str) -> str:
    """Return a description without the line added by `with_note`."""
    return _NOTE.sub("", description)
