"""Signing key of a project: creation, status of signatures, and signing older entries."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from genmint import tracking
from genmint.common.console import print_json
from genmint.common.errors import GenmintError
from genmint.common.escaping import printable
from genmint.common.files import write_text
from genmint.common.project import Project
from genmint.common.project_key import SigningKey, create_key, key_file, load_key
from genmint.common.tags import SIGNATURE_TAG
from genmint.config import Params
from genmint.promotion.challenge import resign_confirmation
from genmint.registry import signature
from genmint.registry.admission import Admission
from genmint.registry.championship import Championship, no_key
from genmint.registry.entries import sign_entries
from genmint.registry.journal_entries import Entry
from genmint.registry.registry import Registry
from genmint.registry.signature import Signed


def with_key(registry: Registry, names: Sequence[str]) -> Registry:
    """Return the registry with the project's key; create the key if the registry is empty.

    Args:
        registry: registry to write to.
        names: all models of the project.

    Raises:
        GenmintError: the registry has versions or entries of these models, but there is no key.
    """
    if registry.key is not None:
        return registry
    for name in names:
        if _is_there(registry, name):
            # A concurrent process may have created the key just before it wrote these entries.
            key = load_key(registry.project)
            if key is None:
                missing = no_key(registry.project)
                raise GenmintError(f"the registry has versions of {name}, and {missing}")
            return registry.signing_with(key)
    return registry.signing_with(_ensure_key(registry.project))


def _ensure_key(project: Project) -> SigningKey:
    key = create_key(project)
    print(  # noqa: T201 - the user must see it
        f"signing key {key.id} created in {key.source}. Keep a copy: promotion needs it.",
        file=sys.stderr,
        flush=True,
    )
    return key


@dataclass(frozen=True)
class Signatures:
    """Signature status of one model under the project's key.

    Attributes:
        name: name of the model.
        versions: number of signed versions.
        entries: number of signed journal entries.
        others: one message per unsigned version or entry, with the reason.
    """

    name: str
    versions: int
    entries: int
    others: list[str]

    def __str__(self) -> str:
        text = f"{self.name}: {self.versions} versions and {self.entries} journal entries signed"
        return "\n".join([text, *(f"  {other}" for other in self.others)])


def print_signatures(project: Project, names: Sequence[str], *, as_json: bool = False) -> int:
    """Print the key and what is signed with it; return 1 if anything is unsigned, else 0.

    As JSON it prints `key` and `source` (null without a key) and `models`, the fields of
    `Signatures` of each.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    key = load_key(project)
    registry = Registry.existing(project)
    if key is None:
        empty = registry is None or not any(_is_there(registry, name) for name in names)
        origin = (
            "the first `genmint promote` creates one" if empty else "and the registry is not empty"
        )
        if as_json:
            print_json({"key": None, "source": None, "models": []})
        else:
            print(f"no signing key here; {origin}")  # noqa: T201
        return 0 if empty else 1
    per_model = [] if registry is None else [_signatures_of(registry, key, name) for name in names]
    if as_json:
        models = [asdict(signatures) for signatures in per_model]
        print_json({"key": key.id, "source": str(key.source), "models": models})
        return 1 if any(signatures.others for signatures in per_model) else 0
    print(f"signing key {key.id}, from {key.source}")  # noqa: T201
    for signatures in per_model:
        print(printable(str(signatures)))  # noqa: T201
    return 1 if any(signatures.others for signatures in per_model) else 0


def _is_there(registry: Registry, name: str) -> bool:
    return bool(registry.versions(name) or Championship(registry).entries(name))


def adopt(project: Project, params: Params, names: Sequence[str]) -> int:
    """Sign the existing versions and journal entries of models that pass the other checks.

    Creates the key if there is none. This is meant for a registry in which nothing is signed with
    the key. If something is signed already, genmint did not write the unsigned rest.

    Args:
        project: project of the registry.
        params: settings of the project.
        names: names of the models.

    Returns:
        1 if something could not be signed, else 0.

    Raises:
        GenmintError: something of a model is already signed with the current key.
        RegistryUnreachableError: the registry does not answer.
    """
    registry = Registry.existing(project)
    if registry is None:
        raise GenmintError("nothing is registered yet; `genmint promote` creates the key itself")
    key = registry.key or _ensure_key(project)
    registry = registry.signing_with(key)
    # While this file exists, an interrupted adoption may be resumed.
    unfinished = key_file(project).with_name("adopting")
    if not unfinished.exists():
        for name in names:
            _refuse_signed(registry, name)
        write_text(unfinished, f"{key.id}\n")
    left = 0
    for name in names:
        gate = params.gates.get(name)
        refused = _adopt_one(registry, key, name, overrides=bool(gate and gate.allow_overrides))
        print(printable(str(_signatures_of(registry, key, name))))  # noqa: T201
        for problem in refused:
            print(printable(f"  not signed: {problem}"))  # noqa: T201
        left += len(refused)
    unfinished.unlink()
    return 1 if left else 0


def _refuse_signed(registry: Registry, name: str) -> None:
    versions = [each for each in registry.versions(name) if registry.not_signed(each) is None]
    if versions or any(entry.valid for entry in Championship(registry).entries(name)):
        raise GenmintError(
            f"{name}: parts of it are signed with the current key. The others were not written by "
            "genmint, or were changed: `genmint keys` lists them. Delete them in MLflow."
        )


def _adopt_one(registry: Registry, key: SigningKey, name: str, *, overrides: bool) -> list[str]:
    refused = []
    client = registry.client
    with tracking.reaching(registry.address):
        judge = Admission(client, registry.address, name, overrides=overrides)
        for version in registry.versions(name):
            if registry.not_signed(version) is None:
                continue
            signed = judge.as_stored(version)
            if isinstance(signed, Signed):
                resign_confirmation(registry, version)
                registry.tag(version, SIGNATURE_TAG, signed.tag(key, name))
            else:
                refused.append(f"version {version.version}: {signed}")
        numbers = []
        for entry in Championship(registry).entries(name):
            problem = _unfit(judge, entry) if entry.forged else None
            if problem is not None:
                refused.append(f"entry {entry.number}: {problem}")
            elif entry.forged:
                numbers.append(entry.number)
        sign_entries(client, name, key, numbers)
    return refused


def _unfit(judge: Admission, entry: Entry) -> str | None:
    """Return why an entry is not signed: its champion exists but is not admissible."""
    champion = entry.champion
    if champion is None or judge.absent(champion) is not None:
        return None
    return judge.why_not(champion, whole=True)


def _signatures_of(registry: Registry, key: SigningKey, name: str) -> Signatures:
    others, signed = [], 0
    for version in registry.versions(name):
        problem = signature.signature_problem(key, name, version.weights, version.tags)
        signed += problem is None
        if problem is not None:
            others.append(f"version {version.version}: {problem}")
    entries = Championship(registry).entries(name)
    others += [f"entry {entry.number}: {entry.forged}" for entry in entries if entry.forged]
    return Signatures(name, signed, sum(entry.valid for entry in entries), others)
