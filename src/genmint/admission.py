"""Whether a version may be champion: it exists, and its weights passed the gate recorded for them.

Every move of `champion` and `previous-champion` asks here, whoever makes it: `journal` moves no
alias without a `Judge`. A number identifies nothing, so a version is named by number and hash.

The verdict is taken from the gate record that is stored with the version. Tags can be edited, and
the "Promote model" button copies them: they prove nothing, but where they are there they must
agree with the record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from genmint import registered
from genmint.errors import GenmintError, RegistryDeniedError, RegistryUnreachableError
from genmint.files import scratch_dir, sha256_file, sha256_json
from genmint.history import NamedVersion
from genmint.models.record import CONFIG, WEIGHTS
from genmint.reading import parse_json
from genmint.registered import Version

# Where a version keeps its files, below its source.
EVALUATION = "evaluation"
STORED_WEIGHTS = "artifacts/weights"
_RECORDS = f"{EVALUATION}/reports/gates"


class Judge(Protocol):
    """Says why a version may not be champion."""

    def absent(self, named: NamedVersion) -> str | None:
        """Say why the registry does not have this version any more, None if it has."""
        ...

    def why_not(self, named: NamedVersion, *, whole: bool) -> str | None:
        """Say why this version may not be champion, None if it may.

        Args:
            named: the version.
            whole: hash the stored weights too, not only read the record that names their hash.
        """
        ...


class Admission:
    """The judge of one model: by identity, gate record and, where policy allows it, override."""

    def __init__(self, client: MlflowClient, address: str, name: str, *, overrides: bool) -> None:
        """Make the judge of the model `name`.

        Args:
            client: of a registry that answers.
            address: of the registry.
            name: of the model.
            overrides: whether the tag `override` of a version counts.
        """
        self._client = client
        self._address = address
        self._name = name
        self._overrides = overrides
        # Weights are large, and artefacts are written once: each are hashed once per command.
        self._digests: dict[str, _Stored] = {}

    def absent(self, named: NamedVersion) -> str | None:
        """See `Judge`."""
        return self._find(named)[1]

    def why_not(self, named: NamedVersion, *, whole: bool) -> str | None:
        """See `Judge`."""
        version, problem = self._find(named)
        if version is None:
            return problem
        problem = self.verdict(version, whole=whole)
        return None if problem is not None and self.overrides(version) else problem

    def overrides(self, version: Version) -> bool:
        """Whether a person said, where policy allows it, why a version may be champion.

        The weights must be those that the version names: they are what the override is for.
        """
        if not (self._overrides and version.override and version.weights):
            return False
        with self._files(version) as files:
            return files is not None and self._other_weights(version, files) is None

    def verdict(self, version: Version, *, whole: bool) -> str | None:
        """Say why a version may not be champion by its gate, None if it passed.

        Raises:
            MlflowException, RequestException: registry or artefacts do not answer: no verdict.
            RegistryDeniedError: the files may not be read, which is no verdict either.
        """
        if not version.weights:
            return "it was never gated"
        problem = self._own_verdict(version, whole=whole)
        if problem is not None:
            return problem
        # What promotion brings up to date is the first version with these weights; a copy that has
        # files of its own keeps an older record.
        first = registered.with_weights(self._client, version.name, version.weights)[:1]
        if first and first[0].version != version.version:
            other = self._own_verdict(first[0], whole=False)
            if other is not None:
                return f"version {first[0].version} has the same weights, and {other}"
        return None

    def other_files(self, version: Version) -> str | None:
        """Say why the stored model is not the one of the version, None if it is.

        Raises:
            MlflowException, RequestException: registry or artefacts do not answer.
        """
        with self._files(version) as files:
            if files is None:
                return "its files are gone"
            return self._other_weights(version, files)

    def _find(self, named: NamedVersion) -> tuple[Version | None, str | None]:
        if not named.weights:
            return None, f"{named} cannot be identified, since its entry names no weights"
        found = registered.get(self._client, self._name, named.version)
        if found is None:
            return None, f"{named} does not exist any more"
        if found.weights != named.weights:
            return None, (
                f"{named} does not exist any more: that number now has "
                f"{f'the weights {found.weights[:12]}' if found.weights else 'unknown weights'}"
            )
        return found, None

    def _own_verdict(self, version: Version, *, whole: bool) -> str | None:
        with self._files(version) as files:
            if files is None:
                return "its files are gone, so that nothing shows that it passed its gate"
            if whole:
                problem = self._other_weights(version, files)
                if problem is not None:
                    return problem
            return _by_record(version, files, self._digests[files.source].config if whole else None)

    @contextlib.contextmanager
    def _files(self, version: Version) -> Iterator[_Files | None]:
        """Reach a version's files; None if nothing lies where they should be."""
        source = version.source
        if source.startswith("models:"):
            # A copy within the registry: MLflow knows where the files of the original are.
            source = self._client.get_model_version_download_uri(version.name, version.version)
        try:
            repository = get_artifact_repository(source, tracking_uri=self._address)
        except MlflowException:
            if source.startswith("mlflow-artifacts:"):
                # Files that only a tracking server hands out, which is not the tracker here.
                raise RegistryUnreachableError(
                    f"{version.name}/{version.version}: its files are at {source}, which only a "
                    "tracking server can read. Set MLFLOW_TRACKING_URI to that server."
                ) from None
            # No store of this kind is known here: nothing was asked that could have been away.
            yield None
            return
        with scratch_dir() as scratch, _readable(version):
            files = _Files(repository, source, scratch)
            yield files if files.names("") else None

    def _other_weights(self, version: Version, files: _Files) -> str | None:
        """Say why the stored weights are not those of the version, None if they are."""
        if files.source not in self._digests:
            folder = files.fetch(STORED_WEIGHTS, (WEIGHTS, CONFIG))
            if folder is None:
                return "no model is stored with it, so it was never gated"
            config = _json(folder / CONFIG)
            if config is None:
                return "the model that is stored with it is damaged"
            self._digests[files.source] = _Stored(
                sha256_file(folder / WEIGHTS), sha256_file(folder / CONFIG), str(config.get("name"))
            )
        stored = self._digests[files.source]
        if stored.model != version.name:
            return (
                f"it is a copy of a version of {stored.model}, and was never gated as "
                f"{version.name}"
            )
        if stored.weights != version.weights:
            return "its weights are not those that passed the gate"
        return None


class _Stored(NamedTuple):
    """What lies under a source: hashes of weights and config.json, and the name that it says."""

    weights: str
    config: str
    model: str


class _Files:
    """The stored files of a version."""

    def __init__(self, repository: ArtifactRepository, source: str, scratch: Path) -> None:
        self._repository = repository
        self._scratch = scratch
        self.source = source

    def names(self, folder: str) -> list[str]:
        """Return what a folder holds; [] if there is none."""
        if isinstance(self._repository, LocalArtifactRepository):
            # MLflow lists a folder that may not be read as an empty one.
            try:
                there = Path(self._repository.artifact_dir) / folder
                return sorted(path.name for path in there.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []
        listed = self._repository.list_artifacts(folder or None)
        return [str(item.path).rpartition("/")[2] for item in listed]

    def fetch(self, folder: str, names: tuple[str, ...]) -> Path | None:
        """Bring files of a folder here; None if one of them is missing."""
        if not set(names) <= set(self.names(folder)):
            return None
        # What lies on a disk that is reached from here is read where it lies.
        local = isinstance(self._repository, LocalArtifactRepository)
        where = None if local else str(self._scratch)
        for name in names:
            path = Path(self._repository.download_artifacts(f"{folder}/{name}", where))
        return path.parent


def _by_record(version: Version, files: _Files, config: str | None) -> str | None:
    """Say which of record and tags speaks against a version, None if neither does.

    Args:
        version: that was asked for.
        files: that are stored with it.
        config: sha256 of its config.json; None if it was not read.
    """
    stored = f"{version.name}.json"
    folder = files.fetch(_RECORDS, (stored,))
    if folder is None:
        others = [name.removesuffix(".json") for name in files.names(_RECORDS)]
        if others:
            return (
                f"it is a copy of a version of {others[0]}, and was never gated as {version.name}"
            )
        return "no model with its gate record is stored with it, so it was never gated"
    record = _json(folder / stored)
    if record is None:
        return "the gate record stored with it is damaged"
    said = {key: version.tags.get(f"genmint.{key}") for key in ("gate", "gate_mode", "record")}
    if said["record"] not in (None, sha256_json(record)):
        return "the gate record stored with it is not the one that its tags name"
    if _failed(record):
        tags = ", whatever its tags say" if said["gate"] == "passed" else ""
        return f"it failed its gate{tags}"
    if record.get("mode") != "enforce":
        return "its gate was in dry-run"
    for key, expected in (("gate", "passed"), ("gate_mode", "enforce")):
        if said[key] not in (None, expected):
            return f"its tag genmint.{key} says {said[key]}, and its gate record {expected}"
    evidence = _evidence(record)
    if (
        record.get("model") != version.name
        or evidence.get(f"models/{version.name}/{WEIGHTS}") != version.weights
    ):
        return "the gate record stored with it is that of other weights"
    # A record of an earlier genmint does not name it.
    gated = evidence.get(f"models/{version.name}/{CONFIG}")
    if config is not None and gated is not None and gated != config:
        return f"its {CONFIG} is not the one that passed the gate"
    return None


def _failed(record: dict[str, Any]) -> bool:
    """Whether a record says in any of its places that a check failed, or says of none."""
    checks = record.get("checks")
    counted = (record.get("passed"), record.get("checks_failed"))
    if counted != (1, 0) or not isinstance(checks, list) or not checks:
        return True
    return not all(isinstance(check, dict) and check.get("passed") is True for check in checks)


def _evidence(record: dict[str, Any]) -> dict[str, Any]:
    """Hash of each file that a record names."""
    listed = record.get("evidence")
    items = listed if isinstance(listed, list) else []
    return {str(item.get("file")): item.get("sha256") for item in items if isinstance(item, dict)}


def _json(path: Path) -> dict[str, Any] | None:
    """Read a JSON map, None if it is none; not as our own types, which change with genmint."""
    try:
        content = parse_json(path.read_bytes(), str(path))
    except GenmintError:
        return None
    return content if isinstance(content, dict) else None


@contextlib.contextmanager
def _readable(version: Version) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise RegistryDeniedError(
            f"{version.name} {version.named}: {error.filename}: this user may not read it. "
            "Ask its owner for the permission to read the artefacts."
        ) from None
