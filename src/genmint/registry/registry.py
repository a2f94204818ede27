"""Access to the registry: versions of models, their metadata, and the champion.

Each model entry of `models` is one registered model. A version is one set of weights, registered
once. Weights are found by their hash (tag `genmint.weights`), never by number.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from mlflow import MlflowClient
from mlflow.entities import Metric

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file
from genmint.common.layout import CONFIG
from genmint.common.project import RELATIVE, Project
from genmint.common.project_key import SigningKey, load_key
from genmint.config import Gate
from genmint.registry import journal, signature, versions
from genmint.registry.admission import Admission
from genmint.registry.signature import STORED_WEIGHTS, Signed
from genmint.registry.stored_files import open_files
from genmint.registry.versions import Version
from genmint.tracking.chart_keys import chart_key
from genmint.tracking.write_conflicts import put

_ADVICE = "`genmint lineage` tells more; docs/security.md says what a signature covers."


@dataclass(frozen=True)
class Registry:
    """A reachable registry; every method may raise RegistryUnreachableError.

    Attributes:
        project: project of the registry.
        client: MLflow client.
        address: address of the registry.
        key: signing key of the project; None if this machine does not have it. Without it,
            signatures are not checked and no valid version or entry can be written.
    """

    project: Project
    client: MlflowClient
    address: str
    key: SigningKey | None = None
    _judges: dict[tuple[str, bool], Admission] = field(default_factory=dict, compare=False)

    @classmethod
    def open(cls, project: Project) -> Self:
        """Connect; create the embedded store if it is missing.

        Raises:
            RegistryUnreachableError: the registry does not answer.
        """
        client = tracking.connect(project)
        return cls(project, client, tracking.uri(project), load_key(project))

    @classmethod
    def existing(cls, project: Project) -> Self | None:
        """Connect without creating a store; None if the embedded store does not exist.

        Raises:
            RegistryUnreachableError: the registry does not answer, which is different from None.
        """
        if tracking.is_embedded() and not tracking.database(project).exists():
            return None
        return cls.open(project)

    def signing_with(self, key: SigningKey) -> Self:
        """Return the same registry with a key for writing."""
        return type(self)(self.project, self.client, self.address, key)

    def versions(self, name: str) -> list[Version]:
        """Return all versions of a model, oldest first; [] if it is not registered."""
        with tracking.reaching(self.address):
            stored = versions.search(self.client, f"name = '{name}'")
            if not stored:
                versions.exists(self.client, name)
        return stored

    def find(self, name: str, weights_sha256: str) -> Version | None:
        """Return the version with these weights; the first signed one if there are several."""
        with tracking.reaching(self.address):
            return self.judge(name, None).first_with(weights_sha256)

    def get(self, name: str, version: str) -> Version | None:
        """Return a version by its number, None if there is none."""
        with tracking.reaching(self.address):
            return versions.get(self.client, name, version)

    def aliases(self, name: str) -> dict[str, str]:
        """Return alias → version; {} if the model is not registered."""
        with tracking.reaching(self.address):
            return journal.aliases(self.client, name)

    def judge(self, name: str, gate: Gate | None) -> Admission:
        """Return what decides which versions of a model may be champion, with cached answers."""
        overrides = gate is not None and gate.allow_overrides
        if (name, overrides) not in self._judges:
            judge = Admission(self.client, self.address, name, overrides=overrides, key=self.key)
            self._judges[name, overrides] = judge
        return self._judges[name, overrides]

    def not_signed(self, version: Version) -> str | None:
        """Return why a version does not carry the project's signature, None if it does."""
        return self.judge(version.name, None).not_signed(version)

    def tag(self, version: Version, key: str, value: str) -> None:
        """Set a tag of a version, unless it already has that value."""
        if version.tags.get(key) != value:
            with tracking.reaching(self.address):
                put(self.client.set_model_version_tag, version.name, version.version, key, value)

    def describe(self, version: Version, description: str) -> None:
        """Set the description of a version, unless it is already set."""
        if version.description != description:
            with tracking.reaching(self.address):
                self.client.update_model_version(version.name, version.version, description)

    def download(self, version: Version, target: Path) -> tuple[Path, Path]:
        """Copy a version's files into the folder `target`, and verify them against its signature.

        An evaluation file that is unsigned or modified is removed from the copy. Without the key,
        files are compared with the hashes in the tags, and a line on stderr says so.

        Returns:
            The folder with model.safetensors and config.json, and the folder with the evaluation
            files, laid out as in a project (`metrics/NAME.json`).

        Raises:
            GenmintError: genmint did not register the version; its weights, configuration or code
                are not those that were registered; or the signature is invalid.
        """
        name = f"{version.name}/{version.version}"
        if not version.weights:
            raise GenmintError(
                f"{name}: it was never gated: genmint did not register it, and cannot load it"
            )
        with (
            tracking.reaching(self.address),
            open_files(self.client, self.address, version) as files,
        ):
            folder = None if files is None else files.copy("", target)
        problem = "its files are gone" if folder is None else self.not_signed(version)
        if folder is None or problem is not None:
            raise GenmintError(f"{name}: {problem}. {_ADVICE}")
        if self.key is None:
            message = (
                f"{name}: compared with its hashes alone; the project's signing key is not here"
            )
            print(message, file=sys.stderr, flush=True)  # noqa: T201 - the user must see it
        evaluation = folder / signature.folder_of(version.tags)
        signed = signature.read(version.tags)
        if signed is not None:
            problem = signature.other_model(signed[0], folder)
            if problem is not None:
                raise GenmintError(f"{name}: {problem}. {_ADVICE}")
            _remove_unsigned(name, evaluation, signed[0])
        return folder / STORED_WEIGHTS, evaluation

    def evaluation(self, version: Version, target: Path, *, as_stored: bool = False) -> Path | None:
        """Copy the files of a version, without its weights, into the folder `target`.

        Args:
            version: version of a model.
            target: target folder.
            as_stored: also copy unsigned and modified files.

        Returns:
            The folder with the files, laid out as in a project; None if genmint stored none.
        """
        if not version.weights:
            return None
        with (
            tracking.reaching(self.address),
            open_files(self.client, self.address, version) as files,
        ):
            if files is None:
                return None
            folder = files.copy(signature.folder_of(version.tags), target)
            if folder is None:
                return None
            stored = files.fetch(STORED_WEIGHTS, (CONFIG,))
            if stored is not None:
                model = Project(folder).model(version.name)
                model.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(stored / CONFIG, model / CONFIG)
        signed = signature.read(version.tags)
        if signed is not None and not as_stored:
            config = {(RELATIVE.model(version.name) / CONFIG).as_posix(): signed[0].config}
            _remove_unsigned(f"{version.name}/{version.version}", folder, signed[0], config)
        return folder

    def other_files(self, version: Version) -> str | None:
        """Return why the stored model is not the one that was registered, None if it is."""
        with tracking.reaching(self.address):
            return self.judge(version.name, None).other_files(version)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], time_ms: int) -> None:
        """Log final metrics with a run, unless they are already there; keys as of `chart_key`."""
        keyed = {chart_key(name): value for name, value in metrics.items()}
        with tracking.reaching(self.address):
            known = self.client.get_run(run_id).data.metrics
            new = [Metric(k, v, time_ms, 0) for k, v in keyed.items() if known.get(k) != v]
            if new:
                self.client.log_batch(run_id, metrics=new)


def _remove_unsigned(
    name: str, folder: Path, signed: Signed, more: Mapping[str, str] | None = None
) -> None:
    """Remove unsigned files from a copy of an evaluation; report modified signed files.

    Args:
        name: name of the version.
        folder: the copy.
        signed: signed hashes of the version.
        more: expected hashes of further files.
    """
    expected = {**signed.evaluation, **(more or {})}
    for path in sorted(folder.rglob("*")):
        digest = expected.get(path.relative_to(folder).as_posix())
        if path.is_file() and digest != sha256_file(path):
            path.unlink()
            if digest is not None:
                print(  # noqa: T201 - the user must see it
                    f"{name}: its {path.name} is not the one that was registered, and is not used",
                    file=sys.stderr,
                    flush=True,
                )
