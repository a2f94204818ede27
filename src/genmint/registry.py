"""The registry: versions of models, what is known of each, and who is champion.

Each block of `models` is one registered model; a version is one set of weights, registered once.
Weights are found by their hash (tag `genmint.weights`), never by number.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Self

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from genmint import entries, journal, marks, registered, tracking
from genmint.admission import EVALUATION, STORED_WEIGHTS, Admission
from genmint.config import Gate
from genmint.errors import GenmintError
from genmint.files import apply_umask, scratch_dir
from genmint.history import Entry, Kind, Move, NamedVersion, Standing
from genmint.models.record import CONFIG
from genmint.project import Project
from genmint.registered import WEIGHTS_TAG, Version
from genmint.rows import put

CHALLENGER = "challenger"

_MODEL = "model"
_EVIDENCE = f"{_MODEL}/{EVALUATION}"


@dataclass(frozen=True)
class Registry:
    """A registry that has answered; every method may raise RegistryUnreachableError."""

    project: Project
    client: MlflowClient
    address: str
    _judges: dict[tuple[str, bool], Admission] = field(default_factory=dict, compare=False)

    @classmethod
    def open(cls, project: Project) -> Self:
        """Connect; the embedded store is created if it is missing.

        Raises:
            RegistryUnreachableError: it does not answer.
        """
        return cls(project, tracking.connect(project), tracking.uri(project))

    @classmethod
    def existing(cls, project: Project) -> Self | None:
        """Connect; None if the embedded store was never created, and it is not created here.

        Raises:
            RegistryUnreachableError: it does not answer. That is never "none".
        """
        if tracking.is_embedded() and not tracking.database(project).exists():
            return None
        return cls.open(project)

    def versions(self, name: str) -> list[Version]:
        """Return all versions of a model, oldest first; [] if it was never registered."""
        with tracking.reaching(self.address):
            found = registered.search(self.client, f"name = '{name}'")
            if not found:
                registered.exists(self.client, name)
        return found

    def find(self, name: str, weights_sha256: str) -> Version | None:
        """Return the version with these weights, the first of them if there are several."""
        with tracking.reaching(self.address):
            found = registered.with_weights(self.client, name, weights_sha256)
        return found[0] if found else None

    def get(self, name: str, version: str) -> Version | None:
        """Return a version by its number, None if there is none."""
        with tracking.reaching(self.address):
            return registered.get(self.client, name, version)

    def find_named(self, name: str, named: NamedVersion) -> Version | None:
        """Return a version by its number, None unless it has these weights."""
        found = self.get(name, named.version)
        return found if found is not None and found.named == named else None

    def aliases(self, name: str) -> dict[str, str]:
        """Return alias → version; {} if the model was never registered."""
        with tracking.reaching(self.address):
            return journal.aliases(self.client, name)

    def stand(self, name: str, gate: Gate | None, *, whole: bool = False) -> Standing:
        """Tell who is champion, after finishing half-done moves; see `journal.stand`."""
        with tracking.reaching(self.address):
            return journal.stand(self.client, name, self._judge(name, gate), whole=whole)

    def read(self, name: str, gate: Gate | None) -> Standing:
        """Tell who is champion, writing nothing; see `journal.read`."""
        with tracking.reaching(self.address):
            return journal.read(self.client, name, self._judge(name, gate))

    def entries(self, name: str) -> list[Entry]:
        """Return the journal, oldest first."""
        with tracking.reaching(self.address):
            return entries.entries(self.client, name)

    def verdict(self, version: Version) -> str | None:
        """Say why a version may not be champion by its gate, None if it passed."""
        with tracking.reaching(self.address):
            return self._judge(version.name, None).verdict(version, whole=True)

    def why_not(self, name: str, named: NamedVersion, gate: Gate | None) -> str | None:
        """Say why a version may not be champion, by gate and override; None if it may."""
        with tracking.reaching(self.address):
            return self._judge(name, gate).why_not(named, whole=True)

    def _judge(self, name: str, gate: Gate | None) -> Admission:
        overrides = gate is not None and gate.allow_overrides
        if (name, overrides) not in self._judges:
            judge = Admission(self.client, self.address, name, overrides=overrides)
            self._judges[name, overrides] = judge
        return self._judges[name, overrides]

    def register(
        self,
        name: str,
        model: Path,
        *,
        weights: str,
        run_id: str,
        tags: Mapping[str, str],
        description: str,
        evaluation: Mapping[str, Path],
    ) -> Version:
        """Make weights a version, unless they are one; its facts are brought up to date.

        Args:
            name: of the model.
            model: folder with model.safetensors and config.json.
            weights: sha256 of model.safetensors.
            run_id: of the run that made them.
            tags: what is known of the version.
            description: Markdown.
            evaluation: files that say how it was measured, by their path in a project; stored
                with the version, so that it can be compared later without being measured again.
        """
        known = self.find(name, weights)
        with tracking.reaching(self.address):
            if known is None:
                known = self._create(name, model, weights, run_id, tags, description, evaluation)
            else:
                self._update(known, tags, description, evaluation)
                known = replace(known, tags={**known.tags, **tags})
        return known

    def tag(self, version: Version, key: str, value: str) -> None:
        """Set a tag of a version, unless it has that value."""
        if version.tags.get(key) != value:
            with tracking.reaching(self.address):
                put(self.client.set_model_version_tag, version.name, version.version, key, value)

    def describe(self, version: Version, description: str) -> None:
        """Set the description of a version, unless it is that one."""
        if version.description != description:
            with tracking.reaching(self.address):
                self.client.update_model_version(version.name, version.version, description)

    def set_challenger(self, name: str, version: str) -> None:
        """Point `challenger` at a version, if it does not already."""
        with tracking.reaching(self.address):
            if journal.aliases(self.client, name).get(CHALLENGER) != version:
                put(self.client.set_registered_model_alias, name, CHALLENGER, version)

    def clear_challenger(self, name: str, version: str) -> None:
        """Take `challenger` away from a version, if it is there."""
        with tracking.reaching(self.address):
            if journal.aliases(self.client, name).get(CHALLENGER) == version:
                put(self.client.delete_registered_model_alias, name, CHALLENGER)

    def move_champion(
        self,
        name: str,
        version: Version | None,
        gate: Gate | None,
        *,
        standing: Standing,
        kind: Kind,
        reason: str,
        user: str,
        left: Version | None = None,
    ) -> bool:
        """Make a version champion: journal entry first, then the aliases, `challenger` last.

        Args:
            name: of the model.
            version: the new champion; None to have none.
            gate: of the model; None if it has none.
            standing: on which the decision rests.
            kind: what moves the champion.
            reason: why, in words.
            user: who moves it.
            left: the version that it is taken from, where that is the point of the move.

        Returns:
            False, with nothing moved, if somebody else moved the champion since `standing`: look
            again and decide again.

        Raises:
            GenmintError: the version may not be champion; nothing was moved.
        """
        problem = None if version is None else self.why_not(name, version.named, gate)
        if version is not None and problem is not None:
            raise GenmintError(f"version {version.version} may not be champion: {problem}")
        judge = self._judge(name, gate)
        move = Move(
            kind=kind,
            version=None if version is None else version.version,
            reason=reason,
            user=user,
            left=None if left is None else left.version,
            weights="" if version is None else version.weights,
            grounds="" if version is None else version.grounds,
            left_weights="" if left is None else left.weights,
            left_grounds="" if left is None else left.grounds,
        )
        with tracking.reaching(self.address):
            entry = entries.append(self.client, name, standing, move, judge)
            if entry is None:
                return False
            journal.settle(self.client, name, entry, judge)
        if version is not None:
            self.clear_challenger(name, version.version)
        return True

    def follow(self, name: str, entry: Entry, gate: Gate | None) -> None:
        """Make the aliases follow the journal once more; see `journal.settle`."""
        with tracking.reaching(self.address):
            journal.settle(self.client, name, entry, self._judge(name, gate))

    def set_reverted(self, version: Version, reason: str) -> None:
        """Say on a version's page why `champion` may not point to it."""
        with tracking.reaching(self.address):
            found = self.client.get_model_version(version.name, version.version)
            marks.set_reverted(self.client, found, reason)

    def download(self, version: Version, target: Path) -> tuple[Path, Path]:
        """Copy a version's files into the folder `target`.

        Returns:
            The folder with model.safetensors and config.json, and the one under which the files of
            the evaluation lie as in a project (`metrics/NAME.json`); a version that genmint did not
            make has neither.
        """
        with tracking.reaching(self.address):
            source = self.client.get_model_version_download_uri(version.name, version.version)
            folder = Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=source, dst_path=str(target), tracking_uri=self.address
                )
            )
        return folder / STORED_WEIGHTS, folder / EVALUATION

    def evaluation(self, version: Version, target: Path) -> Path | None:
        """Copy the files of a version, without its weights, into the folder `target`.

        Returns:
            The folder under which they lie as in a project; None if genmint stored none.
        """
        if version.run_id is None:
            return None
        with tracking.reaching(self.address):
            if not self.client.list_artifacts(version.run_id, _EVIDENCE):
                return None
            folder = Path(
                self.client.download_artifacts(version.run_id, _EVIDENCE, dst_path=str(target))
            )
            with scratch_dir() as scratch:
                stored = f"{_MODEL}/{STORED_WEIGHTS}/{CONFIG}"
                config = self._file(version.run_id, stored, scratch)
                if config is not None:
                    model = Project(folder).model(version.name)
                    model.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(config, model / CONFIG)
            return folder

    def stored_params(self, version: Version, target: Path) -> Path | None:
        """Copy the params.yaml that a version was judged by to `target`; None if there is none."""
        if version.run_id is None:
            return None
        with tracking.reaching(self.address):
            return self._file(version.run_id, f"{_EVIDENCE}/params.yaml", target)

    def _file(self, run_id: str, path: str, target: Path) -> Path | None:
        """Copy one file of a run's artefacts into the folder `target`; None if it is not there."""
        folder = path.rpartition("/")[0]
        if path not in {item.path for item in self.client.list_artifacts(run_id, folder)}:
            return None
        return Path(self.client.download_artifacts(run_id, path, dst_path=str(target)))

    def other_files(self, version: Version) -> str | None:
        """Say why the stored model is not the one that was registered, None if it is."""
        with tracking.reaching(self.address):
            return self._judge(version.name, None).other_files(version)

    def _create(
        self,
        name: str,
        model: Path,
        weights: str,
        run_id: str,
        tags: Mapping[str, str],
        description: str,
        evaluation: Mapping[str, Path],
    ) -> Version:
        self._ensure(name)
        with scratch_dir() as scratch:
            packed = scratch / _MODEL
            # Takes torch, and so seconds; who only looks need not wait for it.
            from genmint import serving

            serving.save(model, packed)
            # MLflow copies modes along, and those of its temporary folders shut everybody else out.
            apply_umask(packed)
            self.client.log_artifacts(run_id, str(packed), _MODEL)
        source = f"{self.client.get_run(run_id).info.artifact_uri}/{_MODEL}"
        self._log_evaluation(run_id, evaluation)
        created = self.client.create_model_version(
            name,
            source=source,
            run_id=run_id,
            tags={**tags, WEIGHTS_TAG: weights},
            description=description,
            await_creation_for=0,
        )
        first = self.find(name, weights)
        mine = Version.of(created)
        if first is None or first.version == mine.version:
            return mine
        # Two processes registered the same weights at the same moment: the first one stays.
        self.client.delete_model_version(name, mine.version)
        return first

    def _update(
        self,
        version: Version,
        tags: Mapping[str, str],
        description: str,
        evaluation: Mapping[str, Path],
    ) -> None:
        changed = {k: v for k, v in tags.items() if version.tags.get(k) != v}
        if changed and version.run_id is not None:
            try:
                self._log_evaluation(version.run_id, evaluation)
            except MlflowException as error:
                if error.error_code not in registered.MISSING:
                    raise
                raise GenmintError(
                    f"version {version.version} has these weights, but its run {version.run_id} "
                    "does not exist any more, and its files went with it. Delete the version in "
                    f"MLflow, then run `genmint promote {version.name}` to register them anew."
                ) from error
        for key, value in changed.items():
            put(self.client.set_model_version_tag, version.name, version.version, key, value)
        if changed or not version.description:
            self.client.update_model_version(version.name, version.version, description)

    def _log_evaluation(self, run_id: str, files: Mapping[str, Path]) -> None:
        """Store files under their paths in a project, beside the model."""
        for name, path in files.items():
            folder = PurePosixPath(_EVIDENCE, name).parent
            self.client.log_artifact(run_id, str(path), str(folder))

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], time_ms: int) -> None:
        """Show final metrics on the page of a run, unless they are there."""
        with tracking.reaching(self.address):
            known = self.client.get_run(run_id).data.metrics
            new = [Metric(k, v, time_ms, 0) for k, v in metrics.items() if known.get(k) != v]
            if new:
                self.client.log_batch(run_id, metrics=new)

    def _ensure(self, name: str) -> None:
        query = f"name = '{name}'"
        if self.client.search_registered_models(query, max_results=1):
            return
        try:
            self.client.create_registered_model(name, tags={"genmint": "1"})
        except MlflowException:
            # Somebody else was quicker; if not, the next look tells.
            if not self.client.search_registered_models(query, max_results=1):
                raise
