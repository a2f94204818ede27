"""A version of a registered model, as the registry has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from genmint.history import NamedVersion

WEIGHTS_TAG = "genmint.weights"
GROUNDS_TAG = "genmint.grounds"
OVERRIDE_TAG = "override"

# What MLflow says where there is no such thing.
MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")

_PAGE = 200
# Anybody can write into a tag: what is no hash identifies nothing, and belongs into no query.
_SHA256 = re.compile(r"[0-9a-f]{64}")


def as_version(number: int | str) -> str:
    """Return a version as text: the one form in which versions are compared.

    MLflow's SQL store gives the version behind an alias as `int`, its entities as `str`; then
    `alias == "2"` is silently False.
    """
    return str(int(number))


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: of the model.
        version: its number, as text.
        weights: sha256 of model.safetensors; "" for a version that genmint did not make.
        tags: all its tags.
        description: Markdown.
        run_id: of the run that made it, if any.
        source: where its files are.
    """

    name: str
    version: str
    weights: str
    tags: Mapping[str, str]
    description: str
    run_id: str | None
    source: str

    @classmethod
    def of(cls, item: ModelVersion) -> Self:
        """Make it of MLflow's own."""
        tags = {str(key): str(value) for key, value in item.tags.items()}
        weights = tags.get(WEIGHTS_TAG, "")
        return cls(
            name=str(item.name),
            version=as_version(item.version),
            weights=weights if _SHA256.fullmatch(weights) else "",
            tags=tags,
            description=item.description or "",
            run_id=item.run_id or None,
            source=str(item.source),
        )

    @property
    def grounds(self) -> str:
        """Hash of what its gate decided on, costs apart; "" if unknown."""
        return self.tags.get(GROUNDS_TAG, "")

    @property
    def override(self) -> str:
        """What a person wrote into its tag `override`: why it may be champion; "" if nothing."""
        return self.tags.get(OVERRIDE_TAG, "").strip()

    @property
    def named(self) -> NamedVersion:
        """Number and hash: what identifies it."""
        return NamedVersion(self.version, self.weights)


def exists(client: MlflowClient, name: str) -> bool:
    """Whether there is a registered model of that name.

    A server with users leaves out of a search what this one may not read: an empty search result
    is "none" only when this says so.

    Raises:
        MlflowException: it does not answer, or the model may not be read.
    """
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code in MISSING:
            return False
        raise
    return True


def search(client: MlflowClient, query: str) -> list[Version]:
    """Return the versions that MLflow finds, in the order of their numbers."""
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(query, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return sorted((Version.of(item) for item in found), key=lambda v: int(v.version))


def get(client: MlflowClient, name: str, version: str) -> Version | None:
    """Return a version by its number, None if there is none."""
    found = search(client, f"name = '{name}' AND version_number = {as_version(version)}")
    return found[0] if found else None


def with_weights(client: MlflowClient, name: str, weights: str) -> list[Version]:
    """Return the versions that have these weights by their tags, in the order of their numbers."""
    return search(client, f"name = '{name}' AND tags.`{WEIGHTS_TAG}` = '{weights}'")
