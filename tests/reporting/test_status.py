"""Status: says where files, records and registry disagree, and names what mends it."""

import json
import shutil

import pytest
from mlflow import MlflowClient
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from genmint import tracking
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.reporting.status import status


@pytest.fixture
def told(workshop, capsys):
    """Exit code of status, and what it said in one line."""

    def tell():
        capsys.readouterr()
        code = status(workshop.project, workshop.params)
        return code, capsys.readouterr().out

    return tell


def client(workshop):
    return MlflowClient(tracking.uri(workshop.project))


def promoted(workshop, **changed):
    workshop.make(**changed)
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    return outcome


def test_before_anything_is_trained_all_agrees(workshop, told):
    (workshop.root / "mlflow.db").unlink()
    code, said = told()
    assert code == 0
    assert "agree" in said
    assert not (workshop.root / "mlflow.db").exists()


def test_after_promotion_all_agrees(workshop, told):
    assert promoted(workshop).verdict == "promoted"
    code, said = told()
    assert code == 0, said
    assert "passed" in said


def test_a_refused_model_that_is_registered_agrees(workshop, told):
    assert promoted(workshop, elbo=-35.0).verdict == "refused"
    code, said = told()
    assert code == 0, said
    assert "refused" in said


def test_a_challenger_beside_a_champion_agrees(workshop, told):
    promoted(workshop)
    assert promoted(workshop, seed=1, elbo=-25.0).verdict == "not better"
    code, said = told()
    assert code == 0, said


def test_trained_but_not_gated(workshop, told):
    workshop.make(gate=False)
    code, said = told()
    assert code == 1
    assert "dvc repro gate@tiny" in said


def test_gated_but_not_registered(workshop, told):
    workshop.make()
    code, said = told()
    assert code == 1
    assert "tiny: was gated (passed), but is not registered. Run `genmint promote tiny`." in said


def test_a_lost_store_is_reported_not_made(workshop, told):
    promoted(workshop)
    (workshop.root / "mlflow.db").unlink()
    code, said = told()
    assert code == 1
    assert "mlflow.db does not exist. Restore it, or start anew: `genmint promote --first" in said
    assert not (workshop.root / "mlflow.db").exists()
    shutil.rmtree(workshop.root / "mlartifacts")
    # MLflow keeps the deleted file open: a process that starts now would not.
    for store in (SqlAlchemyStore, RegistryStore):
        for engine in store._engine_map.values():
            engine.dispose()
    promote(workshop.project, workshop.params, ["tiny"], first=True)
    assert told()[0] == 0


def test_a_record_of_other_files(workshop, told):
    promoted(workshop)
    workshop.make(seed=1, gate=False)
    code, said = told()
    assert code == 1
    assert "the gate record does not match these files. Run `dvc repro gate@tiny`." in said


@pytest.mark.parametrize("to", ["1", None])
def test_an_alias_moved_by_hand(workshop, told, to):
    promoted(workshop)
    promoted(workshop, seed=1, elbo=-15.0)
    if to is None:
        client(workshop).delete_registered_model_alias("tiny", "champion")
    else:
        client(workshop).set_registered_model_alias("tiny", "champion", to)
    code, said = told()
    assert code == 1
    what = "removed by hand" if to is None else "moved by hand to version 1"
    assert f"tiny: the alias `champion` was {what}; the journal says version 2." in said
    verdict = "" if to is None else "Version 1 passed its gate. "
    confirm = "" if to is None else " to confirm the move"
    assert f"{verdict}Run `genmint reconcile tiny`{confirm}." in said
    reconcile(workshop.project, workshop.params, ["tiny"])
    assert told()[0] == 0


def test_a_move_that_a_killed_writer_left(stocked, capsys):
    store = client(stocked)
    stocked.write_entry("4")
    for alias in ("previous-champion", "champion"):
        store.set_registered_model_alias("tiny", alias, "2" if alias != "champion" else "4")
    assert status(stocked.project, stocked.params) == 1
    said = capsys.readouterr().out
    assert "tiny: a move of the champion is incomplete. Run `genmint reconcile tiny`." in said


def test_a_previous_champion_moved_by_hand(stocked, capsys):
    client(stocked).set_registered_model_alias("tiny", "previous-champion", "4")
    assert status(stocked.project, stocked.params) == 1
    said = capsys.readouterr().out
    assert "tiny: `previous-champion` was moved. Run `genmint reconcile tiny`." in said


def test_a_run_that_the_tracker_does_not_know(workshop, told):
    promoted(workshop)
    (version,) = client(workshop).search_model_versions("name = 'tiny'")
    client(workshop).delete_run(version.run_id)
    code, said = told()
    assert code == 1
    assert "has no run with these weights. Run `genmint promote tiny`." in said
    promote(workshop.project, workshop.params, ["tiny"])
    assert told()[0] == 0


def test_a_lost_journal(workshop, told):
    promoted(workshop)
    client(workshop).delete_registered_model("tiny.journal")
    code, said = told()
    assert code == 1
    assert "the alias `champion` was moved by hand to version 1; the journal says none" in said
    reconcile(workshop.project, workshop.params, ["tiny"])
    assert told()[0] == 0


def test_an_unreachable_registry(workshop, told, monkeypatch):
    promoted(workshop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, said = told()
    assert code == 1
    assert "does not answer" in said


def test_the_state_is_printed_as_json(workshop, capsys):
    promoted(workshop)
    capsys.readouterr()
    assert status(workshop.project, workshop.params, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    model = document["models"][0]
    assert (model["name"], model["gated"], model["champion"]) == ("tiny", "passed", "1")
    assert (model["problems"], document["problems"], document["agree"]) == ([], [], True)


def test_a_problem_is_in_the_json(workshop, capsys):
    workshop.make()
    capsys.readouterr()
    assert status(workshop.project, workshop.params, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["agree"] is False
    assert "is not registered" in " ".join(document["models"][0]["problems"])
