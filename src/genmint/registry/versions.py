"""Versions of registered models, as stored in the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from genmint.common.tags import GATE_INPUTS_TAG, OVERRIDE_TAG, WEIGHTS_TAG
from genmint.registry.journal_entries import NamedVersion

# MLflow's error codes for a missing resource.
MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")

_PAGE = 200
# Anyone can write a tag; a value that is not a hash identifies nothing and is unsafe in a query.
_SHA256 = re.compile(r"[0-9a-f]{64}")


def as_version(number: int | str) -> str:
    """Return a version number as text, the only form in which versions are compared.

    MLflow's SQL store returns the version of an alias as `int`, its entities as `str`. Then `alias
    == "2"` is silently False.
    """
    return str(int(number))


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: name of the model.
        version: version number, as text.
        weights: sha256 of model.safetensors; "" for a version that genmint did not register.
        tags: all tags of the version.
        description: Markdown.
        run_id: id of the run that produced it, None if there is none.
        source: address of its files.
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
        """Convert a version from MLflow's class."""
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
    def gate_inputs(self) -> str:
        """Hash of the gate's inputs without costs; "" if unknown."""
        return self.tags.get(GATE_INPUTS_TAG, "")

    @property
    def override(self) -> str:
        """Reason from the tag `override` why the version may be champion; "" if there is none."""
        return self.tags.get(OVERRIDE_TAG, "").strip()

    @property
    def named(self) -> NamedVersion:
        """Number and hash, which identify the version."""
        return NamedVersion(self.version, self.weights)


def exists(client: MlflowClient, name: str) -> bool:
    """Return whether a registered model of that name exists.

    A server with user accounts omits from a search what the user may not read. An empty search
    result means "none" only if this function returns False.

    Raises:
        MlflowException: the server does not answer, or the model may not be read.
    """
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code in MISSING:
            return False
        raise
    return True


def create_if_missing(
    client: MlflowClient, name: str, tags: Mapping[str, str], description: str | None = None
) -> None:
    """Create a registered model, unless there is one of that name."""
    query = f"name = '{name}'"
    if client.search_registered_models(query, max_results=1):
        return
    try:
        client.create_registered_model(name, tags=dict(tags), description=description)
    except MlflowException:
        # Another process may have created it first; the search shows whether it did.
        if not client.search_registered_models(query, max_results=1):
            raise


def search(client: MlflowClient, query: str) -> list[Version]:
    """Return the versions that match an MLflow query, ordered by number."""
    versions = search_all(client, query)
    return sorted((Version.of(item) for item in versions), key=lambda v: int(v.version))


def search_all(client: MlflowClient, query: str) -> list[ModelVersion]:
    """Return all pages of the versions that match an MLflow query, in MLflow's class."""
    versions: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(query, max_results=_PAGE, page_token=token)
        versions += page
        token = page.token
        if not token:
            return versions


def get(client: MlflowClient, name: str, version: str) -> Version | None:
    """Return a version by its number, None if there is none."""
    versions = search(client, f"name = '{name}' AND version_number = {as_version(version)}")
    return versions[0] if versions else None


def with_weights(client: MlflowClient, name: str, weights: str) -> list[Version]:
    """Return the versions whose tags name these weights, ordered by number."""
    return search(client, f"name = '{name}' AND tags.`{WEIGHTS_TAG}` = '{weights}'")
