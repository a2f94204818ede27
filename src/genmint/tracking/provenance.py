"""Provenance of a run or a version: code, data and machine."""

from __future__ import annotations

import getpass
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genmint.common.cores import threads_setting
from genmint.common.dvc_lock import DATASET_STAGES, MODEL_STAGES, read_lock
from genmint.common.programs import GitError, git, has_git
from genmint.common.project import Project
from genmint.common.tags import ENVIRONMENT_TAGS, GIT_COMMIT_TAG, GIT_DIRTY_TAG, GIT_PROBLEM_TAG


@dataclass(frozen=True)
class DatasetInfo:
    """The data that a model was trained on, as logged to the tracker.

    Attributes:
        name: name of the data set entry.
        kind: image, audio or text.
        sha256: hash of the prepared set (`Prepared.sha256`).
        source: path of the prepared folder, relative to the project's root.
        items: number of items of each split.
    """

    name: str
    kind: str
    sha256: str
    source: str
    items: Mapping[str, int]

    def to_mlflow(self) -> Any:
        """Return the `DatasetInput` for `MlflowClient.log_inputs`."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=self.name,
            digest=self.sha256[:32],  # the tracker stores at most 36 characters
            source_type="dvc",
            source=json.dumps({"path": self.source, "sha256": self.sha256}),
            profile=json.dumps({"kind": self.kind, **dict(self.items)}),
        )
        return DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", "training")])


def flatten(block: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a nested mapping to `a.b` → text, as for MLflow parameters, in the order of keys."""
    flat: dict[str, str] = {}
    for key, value in block.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = json.dumps(value) if isinstance(value, list | tuple) else str(value)
    return flat


def git_state(project: Project) -> dict[str, str]:
    """Return tags with the commit and whether tracked files differ from it; {} outside of git.

    dvc.lock is ignored, because DVC writes it while stages run. If git fails, the tag
    `genmint.git_problem` holds its message.
    """
    if not has_git(project):
        return {}
    try:
        commit = git(project, "rev-parse", "--verify", "HEAD").strip()
        dirty = git(project, "status", "--porcelain", "--untracked-files=no", ":/", ":!dvc.lock")
    except GitError as error:
        return {GIT_PROBLEM_TAG: str(error)} if error.unusable else {}
    tags = {"mlflow.source.git.commit": commit, GIT_COMMIT_TAG: commit}
    tags[GIT_DIRTY_TAG] = str(int(bool(dirty)))
    return tags


def data_hashes(project: Project, dataset: str) -> dict[str, str]:
    """Return DVC's hash of each output of a data set's stages in dvc.lock, by path.

    Raises:
        GenmintError: dvc.lock is damaged.
    """
    return _outputs(project, {f"{stage}@{dataset}" for stage in DATASET_STAGES})


def model_hashes(project: Project, name: str, dataset: str) -> dict[str, str]:
    """Return DVC's hash of each output of a model's stages and of its data set's stages.

    Raises:
        GenmintError: dvc.lock is damaged.
    """
    own = _outputs(project, {f"{stage}@{name}" for stage in MODEL_STAGES})
    return {**data_hashes(project, dataset), **own}


def environment_tags() -> dict[str, str]:
    """Return tags that describe the software and hardware of a run."""
    import torch

    threads = str(threads_setting() or torch.get_num_threads())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    values = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": importlib.metadata.version("numpy"),
        "genmint": importlib.metadata.version("genmint"),
        "platform": platform.platform(),
        "device": device,
        "threads": threads,
    }
    return {f"{ENVIRONMENT_TAGS}{key}": value for key, value in values.items()}


def user() -> str:
    """Return the login name; "unknown" in a container whose user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _outputs(project: Project, stages: set[str]) -> dict[str, str]:
    lock = read_lock(project.lock)
    return {
        str(out["path"]): str(out["md5"])
        for stage, entry in lock.items()
        if stage in stages
        for out in entry.get("outs") or []
        if "md5" in out
    }
