"""Admission of a version as champion: it exists, and its weights passed their recorded gate.

Every move of `champion` and `previous-champion` is checked here: `journal` moves no alias without a
`Judge`. A version number can be reused, so a version is identified by number and hash.

The result comes from the gate record stored with the version. Tags can be edited, and the "Promote
model" button copies them, so they prove nothing. Tags that are present must agree with the record.
Record and files count only with the project's signature.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from mlflow import MlflowClient

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_bytes, sha256_file, sha256_json
from genmint.common.gate_verdict import has_failed, not_admitted
from genmint.common.layout import CONFIG, CURRENT_EVALUATION, WEIGHTS
from genmint.common.project import RELATIVE
from genmint.common.project_key import SigningKey
from genmint.common.reading import parse_json
from genmint.common.tags import GATE_MODE_TAG, GATE_RECORD_TAG, GATE_TAG
from genmint.registry import signature, versions
from genmint.registry.journal_entries import NamedVersion
from genmint.registry.signature import STORED_WEIGHTS, Signed, code_of
from genmint.registry.stored_files import StoredFiles, open_files
from genmint.registry.versions import Version


class Judge(Protocol):
    """Decides whether a version may be champion."""

    @property
    def key(self) -> SigningKey | None:
        """Signing key of journal entries; None if signatures are not checked."""
        ...

    def absent(self, named: NamedVersion) -> str | None:
        """Return why the registry no longer has this version, None if it has."""
        ...

    def why_not(self, named: NamedVersion, *, whole: bool) -> str | None:
        """Return why this version may not be champion, None if it may.

        Args:
            named: the version.
            whole: hash the stored weights as well; False only reads their hash from the record.
        """
        ...


class Admission:
    """Judge of one model, by identity, gate record and, if policy allows, override."""

    def __init__(
        self,
        client: MlflowClient,
        address: str,
        name: str,
        *,
        overrides: bool,
        key: SigningKey | None = None,
    ) -> None:
        """Create the judge of the model `name`.

        Args:
            client: client of a reachable registry.
            address: address of the registry.
            name: name of the model.
            overrides: whether the tag `override` of a version counts.
            key: key that versions are signed with; None disables the check of signatures.
        """
        self.key = key
        self._client = client
        self._address = address
        self._name = name
        self._overrides = overrides
        # Weights are large and artefacts are written once, so each is hashed once per command.
        self._stored: dict[str, _Stored] = {}

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
        """Whether a person gave a reason for an override, and policy allows overrides.

        The stored weights must be those of the version, because the override applies to them.
        """
        if not (self._overrides and version.override and version.weights):
            return False
        if self.not_signed(version) is not None:
            return False
        with open_files(self._client, self._address, version) as files:
            return files is not None and self._others(version, files) is None

    def verdict(self, version: Version, *, whole: bool) -> str | None:
        """Return why the gate does not admit a version as champion, None if it passed.

        Raises:
            MlflowException, RequestException: registry or artefacts do not answer, so there is no
                result.
            RegistryDeniedError: the files may not be read, so there is no result either.
        """
        if not version.weights:
            return "it was never gated"
        problem = self._own_verdict(version, whole=whole)
        if problem is not None:
            return problem
        # Promotion updates the first version with these weights. A copy with its own files keeps an
        # older gate record.
        first = self.first_with(version.weights)
        if first is not None and first.version != version.version:
            other = self._own_verdict(first, whole=False)
            if other is not None:
                return f"version {first.version} has the same weights, and {other}"
        return None

    def first_with(self, weights: str) -> Version | None:
        """Return the first version with these weights that carries the project's signature."""
        matching = versions.with_weights(self._client, self._name, weights)
        return next((each for each in matching if self.not_signed(each) is None), None)

    def other_files(self, version: Version) -> str | None:
        """Return why the stored model is not that of the version, None if it is.

        Raises:
            MlflowException, RequestException: registry or artefacts do not answer.
        """
        with open_files(self._client, self._address, version) as files:
            if files is None:
                return "its files are gone"
            return self._others(version, files) or _other_current(version, files)

    def as_stored(self, version: Version) -> Signed | str:
        """Hash the files of an unsigned version, or return why it cannot be signed.

        The files must match the tags and the gate record as far as these name them. The original
        code is unknown, so its hash stays empty.

        Raises:
            MlflowException, RequestException: registry or artefacts do not answer.
        """
        if not version.weights:
            return "it was never gated"
        with open_files(self._client, self._address, version) as files:
            if files is None:
                return "its files are gone"
            problem = self._others(version, files) or _record_of(version, files)[0]
            if problem is not None:
                return problem
            folder = signature.folder_of(version.tags)
            there = files.whole() / folder
            evaluation = {
                path.relative_to(there).as_posix(): sha256_file(path)
                for path in sorted(there.rglob("*"))
                if path.is_file()
            }
            return Signed(
                weights=version.weights,
                config=self._stored[files.source].config,
                code="",
                grounds=version.gate_inputs,
                folder=folder,
                evaluation=evaluation,
            )

    def not_signed(self, version: Version) -> str | None:
        """Return why a version does not carry the project's signature, None if it does."""
        if self.key is None:
            return None
        return signature.signature_problem(self.key, version.name, version.weights, version.tags)

    def _find(self, named: NamedVersion) -> tuple[Version | None, str | None]:
        if not named.weights:
            return None, f"{named} cannot be identified, since its entry names no weights"
        version = versions.get(self._client, self._name, named.version)
        if version is None:
            return None, f"{named} does not exist any more"
        if version.weights != named.weights:
            return None, (
                f"{named} does not exist any more: that number now has "
                f"{f'the weights {version.weights[:12]}' if version.weights else 'unknown weights'}"
            )
        return version, None

    def _own_verdict(self, version: Version, *, whole: bool) -> str | None:
        with open_files(self._client, self._address, version) as files:
            if files is None:
                return "its files are gone, so there is no evidence that it passed its gate"
            problem = self._others(version, files) if whole else None
            if problem is None:
                config = self._stored[files.source].config if whole else None
                problem = _by_record(version, files, config)
        return problem or self.not_signed(version)

    def _others(self, version: Version, files: StoredFiles) -> str | None:
        """Return which stored file is not that of the version, None if all match."""
        if files.source not in self._stored:
            if not {WEIGHTS, CONFIG} <= set(files.names(STORED_WEIGHTS)):
                return "no model is stored with it, so it was never gated"
            folder = files.whole()
            weights, config = (folder / STORED_WEIGHTS / name for name in (WEIGHTS, CONFIG))
            config_json = _json(config.read_bytes(), CONFIG)
            if config_json is None:
                return "the model that is stored with it is damaged"
            self._stored[files.source] = _Stored(
                sha256_file(weights),
                sha256_file(config),
                code_of(folder),
                str(config_json.get("name")),
            )
        stored = self._stored[files.source]
        if stored.model != version.name:
            return (
                f"it is a copy of a version of {stored.model}, and was never gated as "
                f"{version.name}"
            )
        if stored.weights != version.weights:
            return "its weights are not those that passed the gate"
        signed = signature.read(version.tags)
        if signed is None:
            return None
        if signed[0].config != stored.config:
            return f"its {CONFIG} is not the one that was registered"
        if signed[0].code not in ("", stored.code):
            return "the code stored with it is not the one that was registered"
        return None


class _Stored(NamedTuple):
    """Hashes of the files below a source, and the model name in the stored config.json."""

    weights: str
    config: str
    code: str
    model: str


def _other_current(version: Version, files: StoredFiles) -> str | None:
    """Return why a served model would read another gate record than the signed one, else None."""
    signed = signature.read(version.tags)
    # Versions of an earlier genmint have no such file, and their code reads no gate record.
    if signed is None or CURRENT_EVALUATION not in files.names(""):
        return None
    folder = files.fetch("", (CURRENT_EVALUATION,))
    content = None if folder is None else (folder / CURRENT_EVALUATION).read_bytes()
    if content == signature.current_evaluation(signed[0].folder).encode():
        return None
    return f"its {CURRENT_EVALUATION} names another evaluation than the signed one"


def _by_record(version: Version, files: StoredFiles, config: str | None) -> str | None:
    """Return how record or tags contradict a passed gate, None if they do not.

    Args:
        version: the version.
        files: files stored with the version.
        config: sha256 of its config.json; None if it was not read.
    """
    problem, record, digest = _record_of(version, files)
    if problem is not None:
        return problem
    recorded = {tag: version.tags.get(tag) for tag in (GATE_TAG, GATE_MODE_TAG)}
    reason = not_admitted(record)
    if reason is not None:
        tags_differ = has_failed(record) and recorded[GATE_TAG] == "passed"
        return reason + (", whatever its tags say" if tags_differ else "")
    for tag, expected in ((GATE_TAG, "passed"), (GATE_MODE_TAG, "enforce")):
        if recorded[tag] not in (None, expected):
            return f"its tag {tag} says {recorded[tag]}, and its gate record {expected}"
    # A record of an earlier genmint does not list config.json.
    gated = _evidence(record).get((RELATIVE.model(version.name) / CONFIG).as_posix())
    if config is not None and gated is not None and gated != config:
        return f"its {CONFIG} is not the one that passed the gate"
    signed = signature.read(version.tags)
    stored = RELATIVE.gate_record(version.name).as_posix()
    if signed is not None and signed[0].evaluation.get(stored) != digest:
        return "the gate record stored with it is not the one that was signed"
    return None


def _record_of(
    version: Version, files: StoredFiles
) -> tuple[str | None, dict[str, Any], str | None]:
    """Read the gate record of a version once, so that the hashed bytes are the parsed ones.

    Returns:
        Why the record is not that of the version (None if it is), its content, and its sha256.
    """
    record_path = RELATIVE.gate_record(version.name)
    stored = record_path.name
    records = f"{signature.folder_of(version.tags)}/{record_path.parent.as_posix()}"
    folder = files.fetch(records, (stored,))
    if folder is None:
        others = [name.removesuffix(".json") for name in files.names(records)]
        if others:
            problem = (
                f"it is a copy of a version of {others[0]}, and was never gated as {version.name}"
            )
        else:
            problem = "no model with its gate record is stored with it, so it was never gated"
        return problem, {}, None
    content = (folder / stored).read_bytes()
    record = _json(content, stored)
    if record is None:
        return "the gate record stored with it is damaged", {}, None
    other = None
    weights = _evidence(record).get((RELATIVE.model(version.name) / WEIGHTS).as_posix())
    if version.tags.get(GATE_RECORD_TAG) not in (None, sha256_json(record)):
        other = "the gate record stored with it is not the one that its tags name"
    elif record.get("model") != version.name or weights != version.weights:
        other = "the gate record stored with it is that of other weights"
    return other, record, sha256_bytes(content)


def _evidence(record: dict[str, Any]) -> dict[str, Any]:
    """Return the hash of each file that a record names."""
    listed = record.get("evidence")
    items = listed if isinstance(listed, list) else []
    return {str(item.get("file")): item.get("sha256") for item in items if isinstance(item, dict)}


def _json(content: bytes, name: str) -> dict[str, Any] | None:
    """Parse a JSON object, None if it is not one; own types would fail across genmint versions."""
    try:
        content_value = parse_json(content, name)
    except GenmintError:
        return None
    return content_value if isinstance(content_value, dict) else None
