"""Paths of a project."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genmint.common.errors import ConfigError
from genmint.common.git_repository import working_tree
from genmint.common.layout import CHECKOUTS, GRAPH, LOCK, PARAMS, STATE
from genmint.common.output_paths import DataPaths, ModelPaths

# Variable with the local checkout that workers use.
HOME = "GENMINT_HOME"
# Location of DVC's temporary checkouts, below the workspace.
_DVC_EXPERIMENTS = (".dvc", "tmp", "exps")


@dataclass(frozen=True)
class Project(DataPaths, ModelPaths):
    """The paths of a genmint checkout; `root` is the folder of params.yaml and dvc.yaml."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Return the project that contains `start` (default: the working folder).

        DVC_ROOT is not used, because inside `dvc exp run --temp` it names the main workspace.

        Raises:
            ConfigError: there is no params.yaml with a dvc.yaml beside it here or above; or the
                folder's name cannot be part of a database address.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if is_project(folder):
                _check_name(folder)
                return cls(folder)
        raise ConfigError(
            f"{here}: no params.yaml with a dvc.yaml beside it, here or in a folder above. "
            "Change into a genmint checkout first."
        )

    @property
    def params(self) -> Path:
        """Path of params.yaml."""
        return self.root / PARAMS

    @property
    def lock(self) -> Path:
        """Path of dvc.lock: hashes of the inputs and outputs of each stage (written by DVC)."""
        return self.root / LOCK

    @property
    def recipes(self) -> Path:
        """Folder of recipes: entries that `genmint add` copies into params.yaml, one per file."""
        return self.root / "config" / "recipes"

    def suite(self, kind: str) -> Path:
        """Expectation suite of a kind of data, meant to be edited."""
        return self.root / "config" / "expectations" / f"{kind}.yaml"

    @property
    def state(self) -> Path:
        """Folder of checkpoints, times and queued metrics; not a stage output, safe to delete."""
        return self.root / STATE

    def train_seconds(self, weights: str) -> Path:
        """Duration of a training run, by the hash of its weights; not a stage output."""
        return self.state / "cost" / f"{weights}.json"

    @property
    def home(self) -> Path:
        """Folder that keeps the registry, the same for every checkout of one project.

        It holds the embedded MLflow store, checkpoints and the state of services. It is the
        project's folder in the repository's main working tree. In a bare repository, each working
        tree is its own home, unless `GENMINT_HOME` names one of the same repository. A checkout of
        a flow belongs to the working tree that started the flow, and a temporary DVC experiment to
        its workspace.
        """
        workspace = self._experiment_of()
        if workspace is not None:
            return Project(workspace).home
        root = self.root.resolve()
        tree = working_tree(root)
        if tree is None:
            return root
        prefix = root.relative_to(tree.top)
        if tree.main is not None:
            return (tree.main / prefix).resolve()
        if tree.noted_home is not None:
            return tree.noted_home
        named = os.environ.get(HOME)
        if named:
            other = working_tree(Path(named))
            if other is not None and other.common == tree.common:
                return Path(named).resolve()
        return root

    @property
    def is_temporary(self) -> bool:
        """Whether the project's folder is deleted when a flow or an experiment ends."""
        root = self.root.resolve()
        pairs = [(each.parent.name, each.name) for each in (root, *root.parents)]
        return (STATE, CHECKOUTS) in pairs or _DVC_EXPERIMENTS[1:] in pairs

    def _experiment_of(self) -> Path | None:
        """Return the workspace if this is a temporary DVC experiment, None if it is not one."""
        # `dvc exp run --temp` and `--queue` work in a copy with its own git folder.
        if "DVC_EXP_BASELINE_REV" in os.environ and "DVC_ROOT" in os.environ:
            workspace = Path(os.environ["DVC_ROOT"]).resolve()
            return None if workspace == self.root.resolve() else workspace
        root = self.root.resolve()
        for folder in root.parents:
            if (folder.parent.parent.name, folder.parent.name, folder.name) == _DVC_EXPERIMENTS:
                return folder.parents[2]
        return None


# Its paths are relative to the folder of a project, as in records, signatures and dvc.lock.
RELATIVE = Project(Path())


def is_project(folder: Path) -> bool:
    """Return whether a folder is that of a project: it holds params.yaml and dvc.yaml."""
    return (folder / PARAMS).is_file() and (folder / GRAPH).is_file()


def _check_name(folder: Path) -> None:
    name = str(folder)
    # Spaces, quotes, #, % and & work. A ? ends the path in the address of a SQLite database.
    if "?" in name or not name.isprintable():
        shown = name if name.isprintable() else ascii(name)
        raise ConfigError(
            f"{shown}: a folder with a question mark, a control character or undecodable bytes in "
            "its path cannot hold a checkout, since the address of MLflow's database cannot name "
            "it. Rename the folder."
        )
