"""What the state machine of the registry works on: a project, and steps that its rules share."""

import contextlib
import io
import shutil
from pathlib import Path

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from genmint import tracking
from genmint.common.files import sha256_file

# Seed and ELBO of each model; those of `stock` are among them.
MODELS = {0: -20.0, 1: -15.0, 2: -35.0, 3: -18.0, 5: -5.0}
GATES = {"lenient": -30.0, "strict": -10.0}
MADE = ("models", "metrics", "samples", "reports", "params.yaml")
STORED = "artifacts/weights/model.safetensors"
ANY = st.integers(0, 30)
SEED, GATE = st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(GATES))
TO = st.none() | st.integers(1, 6)


def renew(source, target):
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


class Kit:
    """One project for all examples, and what they begin with: MLflow keeps its file open."""

    def __init__(self, workshop, folder):
        self.workshop, self.folder = workshop, folder
        self.weights, self.steps, self.ours = {}, 0, 0
        for gate, bound in GATES.items():
            workshop.edit("elbo: {min: -30.0, baseline", f"elbo: {{min: {bound}, baseline")
            for seed, elbo in MODELS.items():
                with contextlib.redirect_stdout(io.StringIO()):
                    self.weights[seed] = workshop.make(seed=seed, elbo=elbo)
                for name in MADE:
                    target = folder / gate / str(seed) / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    renew(workshop.root / name, target)
            workshop.edit(f"elbo: {{min: {bound}, baseline", "elbo: {min: -30.0, baseline")
        for name in ("mlflow.db", "mlartifacts"):
            renew(workshop.root / name, folder / name)

    def begin(self):
        for store in (SqlAlchemyStore, RegistryStore):
            for engine in store._engine_map.values():
                engine.dispose()
        for name in ("mlflow.db", "mlartifacts"):
            renew(self.folder / name, self.workshop.root / name)

    def lay_out(self, seed, gate):
        for name in MADE:
            renew(self.folder / gate / str(seed) / name, self.workshop.root / name)


class Registered(RuleBasedStateMachine):
    """A registry with the versions of `stock`, and what is known of their weights."""

    def __init__(self, kit):
        super().__init__()
        self.kit = kit
        self.root = kit.workshop.root

    @initialize()
    def begin(self):
        self.kit.begin()
        self.client = MlflowClient(tracking.uri(self.kit.workshop.project))
        # What the gate said last of each set of weights; a set where nobody can know.
        self.truth = {weights: {MODELS[seed] > -30.0} for seed, weights in self.kit.weights.items()}
        self.renamed, self.copies, self.runs = [], 0, []
        self.kit.lay_out(1, "lenient")

    def versions(self, name="tiny"):
        found = self.client.search_model_versions(f"name = '{name}'")
        return sorted(found, key=lambda version: int(version.version))

    def one(self, number, name="tiny"):
        known = self.versions(name)
        return known[number % len(known)] if known else None

    @contextlib.contextmanager
    def by_hand(self, what):
        self.kit.steps += 1
        note(what)
        # A person is told what MLflow refuses, and nothing has changed.
        with contextlib.suppress(MlflowException):
            yield

    def files(self, version):
        where = self.client.get_model_version_download_uri(version.name, version.version)
        return Path(where.removeprefix("file://"))

    def forget(self, version):
        """From here on an older record of these weights may be the only one that can be found."""
        with contextlib.suppress(FileNotFoundError):
            path = self.files(version) / STORED
            weights = sha256_file(path)
            self.truth[weights] = self.truth.get(weights, set()) | {True}
