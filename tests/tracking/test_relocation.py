"""A checkout that is moved or copied finds its own artefacts, and nobody else's."""

import contextlib
import shutil
import sqlite3

from genmint import tracking
from genmint.common.project import Project
from genmint.diagnostics import doctor
from genmint.promotion.promote import promote
from genmint.registry.resolve import download
from genmint.tracking.relocation import elsewhere, relocate


def forget():
    """A new process knows nothing of where artefacts were."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_in_a_moved_checkout_the_champion_loads_and_the_old_folder_stays_gone(stocked, tmp_path):
    target = tmp_path / "elsewhere" / "moved here"
    target.parent.mkdir()
    stocked.root.rename(target)
    forget()
    moved = type(stocked)(target)
    assert doctor.check(moved.project, "artefacts")[0] == "!"
    weights = download(moved.project, "tiny", tmp_path / "got", alias="champion")
    assert (weights / "model.safetensors").is_file()
    assert doctor.check(moved.project, "artefacts")[0] == "ok"
    new = moved.make(seed=9, elbo=-5.0)
    (outcome,) = promote(moved.project, moved.params, ["tiny"])
    assert outcome.verdict == "promoted"
    assert not stocked.root.exists()
    assert tracking.find_run(tracking.connect(moved.project), "tiny", new)


def test_a_copy_writes_nothing_into_the_original(stocked, tmp_path):
    original = stocked.root
    shutil.copytree(original, tmp_path / "copy")
    copied = type(stocked)(tmp_path / "copy")
    before = files(original)
    copied.make(seed=9, elbo=-5.0)
    forget()
    (outcome,) = promote(copied.project, copied.params, ["tiny"])
    assert outcome.verdict == "promoted"
    assert files(original) == before
    shutil.rmtree(original)
    forget()
    assert download(copied.project, "tiny", tmp_path / "got", alias="champion").is_dir()


def test_what_only_the_original_has_stays_readable_there(stocked, tmp_path):
    """A copy of the database alone: its old versions lie in the original, its new ones here."""
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(stocked.root / "mlflow.db", copy)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(stocked.root / name, copy)
    project = Project(copy)
    forget()
    assert download(project, "tiny", tmp_path / "got", alias="champion").is_dir()
    location = tracking.connect(project).get_experiment_by_name("genmint").artifact_location
    assert location == (copy / "mlartifacts" / "genmint").as_uri()
    mark, text = doctor.check(project, "artefacts")
    assert mark == "!"
    assert str(stocked.root / "mlartifacts") in text


def test_addresses_of_other_kinds_stay(stocked, tmp_path):
    foreign = {
        "s3://bucket/mlartifacts/genmint",
        "file:///data/store/genmint",
        "mlflow-artifacts:/7",
    }
    shutil.copytree(stocked.root, tmp_path / "copy")
    database = tmp_path / "copy" / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as store:
        runs = store.execute("SELECT run_uuid FROM runs").fetchall()
        for (run,), address in zip(runs, sorted(foreign), strict=False):
            store.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (address, run))
        store.commit()
    assert relocate(database, tmp_path / "copy" / "mlartifacts")
    with contextlib.closing(sqlite3.connect(database)) as store:
        found = {row[0] for row in store.execute("SELECT artifact_uri FROM runs")}
    assert foreign <= found


def test_nothing_is_written_where_nothing_differs(stocked):
    database = stocked.root / "mlflow.db"
    before = database.read_bytes()
    assert relocate(database, stocked.root / "mlartifacts") == []
    assert elsewhere(database, stocked.root / "mlartifacts") == []
    assert database.read_bytes() == before
