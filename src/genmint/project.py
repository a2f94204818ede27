"""Where things lie: one object that knows every path of a project."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genmint.errors import ConfigError
from genmint.repository import working_tree

# Names the checkout of this machine that workers work for.
HOME = "GENMINT_HOME"
# Where DVC makes its temporary checkouts, below the workspace.
_DVC_EXPERIMENTS = (".dvc", "tmp", "exps")


@dataclass(frozen=True)
class Project:
    """The paths of a genmint checkout; `root` is the folder of params.yaml and dvc.yaml."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The project around `start` (default: the working folder).

        DVC_ROOT is not consulted: inside `dvc exp run --temp` it points at the main workspace.

        Raises:
            ConfigError: no params.yaml with a dvc.yaml beside it here or above; or the name of the
                folder cannot be part of a database's address.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
                _check_name(folder)
                return cls(folder)
        raise ConfigError(
            f"{here}: no params.yaml with a dvc.yaml beside it, here or in a folder above. "
            "Change into a genmint checkout first."
        )

    @property
    def params(self) -> Path:
        """params.yaml."""
        return self.root / "params.yaml"

    @property
    def lock(self) -> Path:
        """dvc.lock: the hashes of what each stage read and wrote (written by DVC)."""
        return self.root / "dvc.lock"

    def manifest(self, dataset: str) -> Path:
        """Manifest table of a data set (written by ingest)."""
        return self.root / "data" / "manifest" / f"{dataset}.parquet"

    def raw(self, dataset: str) -> Path:
        """Folder with the fetched or generated files of a data set (written by ingest)."""
        return self.root / "data" / "raw" / dataset

    def quarantine(self, dataset: str) -> Path:
        """CSV of the items that may not enter, with reasons (written by validate)."""
        return self.root / "data" / "quarantine" / f"{dataset}.csv"

    def validation(self, dataset: str) -> Path:
        """Result of the validation (written by validate)."""
        return self.root / "reports" / "data" / f"{dataset}.json"

    def data_docs(self, dataset: str) -> Path:
        """Browsable Data Docs of a data set (written by validate)."""
        return self.root / "reports" / "data" / dataset

    def suite(self, kind: str) -> Path:
        """Expectation suite of a kind, meant to be edited."""
        return self.root / "gx" / f"{kind}.yaml"

    def prepared(self, dataset: str) -> Path:
        """Folder of memory-mapped arrays (written by prepare)."""
        return self.root / "data" / "prepared" / dataset

    def reference(self, dataset: str) -> Path:
        """What models of a data set are judged against (written by reference)."""
        return self.root / "data" / "reference" / dataset

    def model(self, name: str) -> Path:
        """Folder of a model: weights, config.json, history.csv, health.json (by train)."""
        return self.root / "models" / name

    def metrics(self, name: str) -> Path:
        """What is compared (written by evaluate)."""
        return self.root / "metrics" / f"{name}.json"

    def cost(self, name: str) -> Path:
        """Times, memory, sizes; cached apart, never compared (written by evaluate)."""
        return self.root / "metrics" / f"{name}.cost.json"

    def samples(self, name: str) -> Path:
        """Folder of a model's samples and per-item likelihoods (written by evaluate)."""
        return self.root / "samples" / name

    def items(self, name: str) -> Path:
        """Log-likelihood of each held-out item; none for a GAN (written by evaluate)."""
        return self.samples(name) / "items.npy"

    def resamples(self, name: str) -> Path:
        """Metrics of several independent sets of samples (written by evaluate)."""
        return self.samples(name) / "resamples.json"

    def gate_record(self, name: str) -> Path:
        """The decision on a model (written by gate)."""
        return self.root / "reports" / "gates" / f"{name}.json"

    def spread(self, name: str) -> Path:
        """How far trainings differ by seed alone; kept by git (written by `genmint spread`)."""
        return self.root / "spreads" / f"{name}.json"

    @property
    def state(self) -> Path:
        """Checkpoints, times, spooled metrics: what no stage declares and anyone may delete."""
        return self.root / ".genmint"

    @property
    def home(self) -> Path:
        """Folder that keeps the registry: the same from every checkout of one project.

        The embedded MLflow store, checkpoints and states of services lie there. It is the
        project's folder in the repository's main working tree. A bare repository has none: there,
        each working tree is a home of its own, unless `GENMINT_HOME` names one of the same
        repository. A checkout of a flow belongs to the working tree that the flow was started for,
        a temporary experiment of DVC to its workspace.
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
        """Whether the project's folder is one that is deleted when a flow or an experiment ends."""
        root = self.root.resolve()
        pairs = [(each.parent.name, each.name) for each in (root, *root.parents)]
        return (".genmint", "checkouts") in pairs or _DVC_EXPERIMENTS[1:] in pairs

    def _experiment_of(self) -> Path | None:
        """Workspace of the temporary experiment of DVC that this is a checkout of, if it is one."""
        # `dvc exp run --temp` and `--queue` work in a copy with a git folder of its own.
        if "DVC_EXP_BASELINE_REV" in os.environ and "DVC_ROOT" in os.environ:
            workspace = Path(os.environ["DVC_ROOT"]).resolve()
            return None if workspace == self.root.resolve() else workspace
        root = self.root.resolve()
        for folder in root.parents:
            if (folder.parent.parent.name, folder.parent.name, folder.name) == _DVC_EXPERIMENTS:
                return folder.parents[2]
        return None


def _check_name(folder: Path) -> None:
    name = str(folder)
    # Blanks, quotes, #, % and & work. A ? ends the path in the address of a SQLite database.
    if "?" in name or not name.isprintable():
        shown = name if name.isprintable() else ascii(name)
        raise ConfigError(
            f"{shown}: a folder with a question mark, a control character or undecodable bytes in "
            "its path cannot hold a checkout, since the address of MLflow's database cannot name "
            "it. Rename the folder."
        )
