"""Addresses of trackers mean the same from every folder, or are refused with a way out."""

import os

import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.common.errors import ConfigError
from genmint.common.project import Project


@pytest.fixture
def project(tmp_path, no_tracker, monkeypatch):
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    root = tmp_path / "home"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{home}/mlflow.db"),
        ("sqlite:///./mlflow.db", "sqlite:///{home}/mlflow.db"),
        ("sqlite:///../x.db", "sqlite:///{above}/x.db"),
        ("sqlite+pysqlite:///a/x.db?timeout=9", "sqlite+pysqlite:///{home}/a/x.db?timeout=9"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("http://tracker.example:5000", "http://tracker.example:5000"),
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
        ("databricks", None),
    ],
)
def test_a_relative_address_is_taken_against_the_home(said, meant, project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", said)
    if meant is None:
        with pytest.raises(ConfigError, match="keeps no runs in folders"):
            tracking.uri(project)
    else:
        expected = meant.format(home=project.root, above=project.root.parent)
        assert tracking.uri(project) == expected


@pytest.mark.parametrize(
    "said", ["./mlruns", "mlruns", "/abs/mlruns", "file:./mlruns", "file:///abs/mlruns"]
)
def test_a_folder_is_refused_with_the_remedy(said, project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", said)
    with pytest.raises(ConfigError, match=r"no runs in folders any more\. Name a server") as caught:
        tracking.connect(project)
    assert str(project.root / "mlflow.db") in str(caught.value)


@pytest.mark.parametrize("said", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
def test_a_database_that_nothing_outlives_is_refused(said, project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", said)
    with pytest.raises(ConfigError, match="no file that outlives the process"):
        tracking.connect(project)


def test_a_registry_elsewhere_is_refused(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///registry.db")
    with pytest.raises(ConfigError, match="runs and registry in one store"):
        tracking.uri(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.root}/registry.db")
    assert tracking.uri(project) == f"sqlite:///{project.root}/registry.db"


def test_runs_of_a_temporary_checkout_outlive_it(project, tmp_path, copy_store, monkeypatch):
    """As in `dvc exp run --temp`, which works in a copy and deletes it."""
    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    monkeypatch.setenv("DVC_ROOT", str(project.root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.chdir(copy)
    copy_store(project.root)
    client = tracking.connect(Project(copy))
    run = client.create_run(tracking.experiment_id(client))
    client.log_text(run.info.run_id, "kept", "note.txt")
    assert list(copy.iterdir()) == []
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{project.root}/mlflow.db"
    (note,) = (project.root / "mlartifacts").rglob("note.txt")
    assert note.read_text() == "kept"


def test_a_database_of_ones_own_keeps_its_artefacts_beside_it(
    project, tmp_path, empty_store, monkeypatch
):
    """Also one that MLflow made, without our experiment: not where the process happens to work."""
    built = []

    def build(fresh, artifacts):
        fresh.write_bytes(empty_store.read_bytes())
        built.append(artifacts)

    monkeypatch.setattr(tracking.store, "_build_store", build)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///stores/own.db")
    monkeypatch.chdir(tmp_path)
    client = tracking.connect(project)
    assert built == [project.root / "stores" / "mlartifacts"]
    assert isinstance(client, MlflowClient)
    assert [path.name for path in (project.root / "stores").iterdir()] == ["own.db"]
    experiment = client.get_experiment_by_name("genmint")
    client.rename_experiment(experiment.experiment_id, "other")
    client = tracking.connect(project)
    made = client.get_experiment_by_name("genmint")
    assert made.artifact_location == (project.root / "mlartifacts" / "genmint").as_uri()
