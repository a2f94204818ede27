"""Fixtures of all tests: stores, workshops, the environment."""

import contextlib
import functools
import os
import shutil
import signal
import sqlite3
import sys

import numpy as np
import pytest
from tests.workshop import PARAMS, Workshop

from genmint import tracking
from genmint.common.files import sha256_file, write_json
from genmint.common.programs import clean_environment
from genmint.common.project import Project

# Started by a hook of git, tests would make their repositories in that one.
for _name in os.environ.keys() - clean_environment().keys():
    del os.environ[_name]
# A shell that starts us in the background has SIGINT ignored, and our children would inherit that:
# then no test could interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)
# As nohup does with SIGHUP.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# MLflow's server starts half a dozen processes for jobs that we have none of, and each of them
# imports MLflow: a server is ready in half the time without them.
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")


@pytest.fixture
def one_thread():
    """Torch computes on one thread, so that the same comes out whatever else runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def denormal_numbers():
    """A training flushes them for its whole process, which is no business of other tests."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An embedded store without runs: its schema takes seconds to create, a copy none."""
    from mlflow.store.db import utils

    root = tmp_path_factory.mktemp("store")
    (root / "params.yaml").touch()
    tracking.create_store(Project(root))
    # MLflow reads all its migration scripts again for every store that it opens.
    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)
    return root / "mlflow.db"


def move_artefacts(database_file, old, new):
    """Make a copied store find its artefacts under another root."""
    columns = {
        "experiments": ("artifact_location",),
        "runs": ("artifact_uri",),
        "model_versions": ("source", "storage_location"),
    }
    with contextlib.closing(sqlite3.connect(database_file)) as database:
        for table, names in columns.items():
            for name in names:
                database.execute(
                    f"UPDATE {table} SET {name} = replace({name}, ?, ?)",  # noqa: S608
                    (old.as_uri(), new.as_uri()),
                )
        database.commit()


@pytest.fixture(scope="session")
def copy_store(empty_store):
    """Puts a store without runs into a folder; returns its address."""

    def copy(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_store, folder / "mlflow.db")
        move_artefacts(folder / "mlflow.db", empty_store.parent, folder)
        return f"sqlite:///{folder}/mlflow.db"

    return copy


@pytest.fixture(scope="session")
def open_workshop(copy_store):
    """Makes projects outside of git, each with an embedded store of its own without runs."""

    def make(root):
        copy_store(root)
        (root / "params.yaml").write_text(PARAMS)
        (root / "dvc.yaml").write_text("stages: {}\n")
        made = Workshop(root)
        made.spread()
        return made

    return make


@pytest.fixture
def no_tracker(monkeypatch):
    """Nothing of the caller's environment names a tracker."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workshop(tmp_path, no_tracker, open_workshop):
    """A project outside of git, with an embedded store of its own without runs."""
    return open_workshop(tmp_path / "project")


GATE_OF_OTHER = """gates:
  other:
    thresholds:
      elbo: {min: -30.0}
    champion: {superior: [elbo]}
"""


@pytest.fixture(scope="session")
def stock(tmp_path_factory, open_workshop):
    """A workshop whose registry holds something; look, and change nothing.

    Of `tiny`: 1, which was champion; 2, which is; 3, which its gate refused; 4, which passed and is
    not better. Of `other`: 1, champion.
    """
    from genmint.promotion.promote import promote
    from genmint.registry import pyfunc

    root = tmp_path_factory.mktemp("stock") / "project"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        # The code that serves a version is many files, and nothing that is looked at.
        patch.setattr(pyfunc, "_CODE", ("__init__.py",))
        made = open_workshop(root)
        made.edit("gates:\n", GATE_OF_OTHER)
        verdicts = []
        for name, seed, elbo in (
            *(("tiny", 0, -20.0), ("tiny", 1, -15.0), ("tiny", 2, -35.0), ("tiny", 3, -18.0)),
            ("other", 4, -10.0),
        ):
            made.make(name, seed=seed, elbo=elbo)
            verdicts += [outcome.verdict for outcome in promote(made.project, made.params, [name])]
    assert verdicts == ["promoted", "promoted", "refused", "not better", "promoted"]
    return made


@pytest.fixture(scope="session")
def restock(stock):
    """Makes copies of `stock`, or of such a copy, each to do anything with."""
    from mlflow.tracking._tracking_service import utils

    def copy(root, of=stock):
        shutil.copytree(of.root, root)
        move_artefacts(root / "mlflow.db", of.root, root)
        # MLflow remembers where the artefacts of a run are; in a copy they are elsewhere.
        utils._artifact_repos_cache.clear()
        return Workshop(root)

    return copy


@pytest.fixture
def stocked(restock, no_tracker, tmp_path):
    """A copy of `stock`."""
    return restock(tmp_path / "project")


def pytest_collection_modifyitems(items):
    """One test of the whole pipeline goes first, so that its making overlaps with all others."""
    first = [item for item in items if item.path.name == "test_pipeline.py"][:1]
    whole = [item for item in items if "e2e" in item.path.parts and item not in first]
    rest = [item for item in items if "e2e" not in item.path.parts]
    items[:] = [*first, *rest, *whole]


@pytest.fixture
def by_hand(empty_store, monkeypatch):
    """Make a project that can train: `dots` (60 noise pictures, 8×8) and `words` (a text)."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def write(folder, splits, **meta):
        folder.mkdir(parents=True)
        for split, array in splits.items():
            np.save(folder / f"{split}.npy", array)
        items = {split: len(array) for split, array in splits.items()}
        files = {path.name: sha256_file(path) for path in sorted(folder.glob("*.npy"))}
        write_json(folder / "meta.json", {"items": items, "files": files, **meta})

    def make(root, params):
        root.mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(params)
        (root / "dvc.yaml").write_text("stages: {}\n")
        shutil.copy(empty_store, root / "mlflow.db")
        project = Project(root)
        rng = np.random.default_rng(0)
        sizes = {"train": 60, "validation": 10, "test": 10}
        dots = {
            split: rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8) for split, n in sizes.items()
        }
        write(project.prepared("dots"), dots, dataset="dots", kind="image", shape=[1, 8, 8])
        words = {
            split: (np.cumsum(rng.integers(1, 3, 20 * n)) % 8 + 2).astype(np.uint16)
            for split, n in sizes.items()
        }
        about = {"dataset": "words", "kind": "text", "shape": []}
        write(project.prepared("words"), words, vocabulary=["<unk>", "<s>", *"abcdefgh"], **about)
        return project

    return make
