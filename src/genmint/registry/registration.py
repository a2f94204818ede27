"""Registration of weights as a version of a registered model, with files and signature."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mlflow.exceptions import MlflowException

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import apply_umask, scratch_dir
from genmint.common.layout import CURRENT_EVALUATION
from genmint.common.project_key import SigningKey
from genmint.common.tags import GATE_INPUTS_TAG, REGISTERED_TAG, SIGNATURE_TAG, WEIGHTS_TAG
from genmint.registry import signature, versions
from genmint.registry.championship import no_key
from genmint.registry.registry import Registry
from genmint.registry.signature import Signed
from genmint.registry.versions import Version
from genmint.tracking.write_conflicts import put


def register(
    registry: Registry,
    name: str,
    model: Path,
    *,
    weights: str,
    run_id: str,
    tags: Mapping[str, str],
    description: str,
    evaluation: Mapping[str, Path],
) -> Version:
    """Register weights as a version, or update the version that already has them.

    A version with these weights but without the project's signature does not count.

    Args:
        registry: registry to write to.
        name: name of the model.
        model: folder with model.safetensors and config.json.
        weights: sha256 of model.safetensors.
        run_id: id of the training run that produced them.
        tags: tags of the version.
        description: Markdown.
        evaluation: evaluation files by their path in a project. They are stored with the version,
            so that it can be compared later without being measured again.

    Raises:
        GenmintError: this machine does not have the signing key.
        RegistryUnreachableError: the registry does not answer.
    """
    key = registry.key
    if key is None:
        raise GenmintError(no_key(registry.project))
    known = registry.find(name, weights)
    with tracking.reaching(registry.address):
        if known is None:
            facts = {**tags, WEIGHTS_TAG: weights}
            return _create(registry, key, name, model, run_id, facts, description, evaluation)
        known_signature = signature.read(known.tags)
        assert known_signature is not None, "a version that carries the signature"
        signed = known_signature[0].with_evaluation(evaluation, tags.get(GATE_INPUTS_TAG, ""))
        facts = {**tags, SIGNATURE_TAG: signed.tag(key, name)}
        _update(registry, known, signed.folder, facts, description, evaluation)
        return replace(known, tags={**known.tags, **facts})


def _create(
    registry: Registry,
    key: SigningKey,
    name: str,
    model: Path,
    run_id: str,
    tags: Mapping[str, str],
    description: str,
    evaluation: Mapping[str, Path],
) -> Version:
    client = registry.client
    versions.create_if_missing(client, name, {REGISTERED_TAG: "1"})
    # A separate folder keeps files that others stored with the same run unchanged.
    folder = f"model-{secrets.token_hex(4)}"
    with scratch_dir() as scratch:
        packed = scratch / "model"
        # Imports torch, which takes seconds; commands that only read need not wait for it.
        from genmint.registry import pyfunc

        pyfunc.save(model, packed)
        # MLflow copies file modes, and those of its temporary folders deny access to others.
        apply_umask(packed)
        signed = Signed.of(packed, evaluation, tags.get(GATE_INPUTS_TAG, ""))
        _write_current(packed, signed.folder)
        tracking.upload_folder(client, run_id, packed, folder)
    source = f"{client.get_run(run_id).info.artifact_uri}/{folder}"
    _log_evaluation(registry, run_id, f"{folder}/{signed.folder}", evaluation)
    created = client.create_model_version(
        name,
        source=source,
        run_id=run_id,
        tags={**tags, SIGNATURE_TAG: signed.tag(key, name)},
        description=description,
        await_creation_for=0,
    )
    first = registry.find(name, tags[WEIGHTS_TAG])
    mine = Version.of(created)
    if first is None or first.version == mine.version:
        return mine
    # Two processes registered the same weights concurrently; the first version is kept.
    client.delete_model_version(name, mine.version)
    return first


def _update(
    registry: Registry,
    version: Version,
    folder: str,
    tags: Mapping[str, str],
    description: str,
    evaluation: Mapping[str, Path],
) -> None:
    client = registry.client
    changed = {k: v for k, v in tags.items() if version.tags.get(k) != v}
    if changed and version.run_id is not None:
        try:
            stored = PurePosixPath(version.source).name
            _log_evaluation(registry, version.run_id, f"{stored}/{folder}", evaluation)
            with scratch_dir() as scratch:
                # Before the tags: a killed promotion finds them unchanged and writes both again.
                current = _write_current(scratch, folder)
                tracking.upload(client, version.run_id, current, stored)
        except MlflowException as error:
            if error.error_code not in versions.MISSING:
                raise
            raise GenmintError(
                f"version {version.version} has these weights, but its run {version.run_id} "
                "does not exist any more, and its files went with it. Delete the version in "
                f"MLflow, then run `genmint promote {version.name}` to register them again."
            ) from error
    for key, value in changed.items():
        put(client.set_model_version_tag, version.name, version.version, key, value)
    if changed or not version.description:
        client.update_model_version(version.name, version.version, description)


def _write_current(folder: Path, evaluation: str) -> Path:
    """Write the file from which a served model learns its current evaluation files."""
    path = folder / CURRENT_EVALUATION
    path.write_text(signature.current_evaluation(evaluation), encoding="utf-8")
    apply_umask(path)
    return path


def _log_evaluation(
    registry: Registry, run_id: str, folder: str, files: Mapping[str, Path]
) -> None:
    """Upload files to a folder of a run's artefacts, under their paths in a project."""
    for name, path in files.items():
        tracking.upload(registry.client, run_id, path, str(PurePosixPath(folder, name).parent))
