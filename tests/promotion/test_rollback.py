"""Going back: one step or to a version, never forward again by itself."""

import json
import re

import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.cli import run
from genmint.common.errors import GenmintError, RegistryUnreachableError
from genmint.promotion.promote import promote
from genmint.promotion.rollback import rollback
from genmint.registry import entries, journal


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(journal, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(journal, "_BY_HAND_SECONDS", 0.05)


def client(stocked):
    return MlflowClient(tracking.uri(stocked.project))


def aliases(stocked):
    found = journal.aliases(client(stocked), "tiny")
    return found.get("champion"), found.get("previous-champion")


def back(stocked, reason="it blurs", to=None):
    return rollback(stocked.project, stocked.params, "tiny", reason, to)


def one(stocked):
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"])
    return outcome


def mark(stocked, version):
    return client(stocked).get_model_version("tiny", version).tags.get("genmint.rolled_back")


def test_one_step_back(stocked):
    assert aliases(stocked) == ("2", "1")
    assert back(stocked) == "tiny: rolled back from version 2 to version 1: it blurs"
    assert aliases(stocked) == ("1", None)
    entry = entries.entries(client(stocked), "tiny")[-1]
    assert (entry.kind, entry.version, entry.left) == ("rollback", "1", "2")
    assert (entry.valid, entry.finalised, entry.reason) == (True, True, "it blurs")
    assert entry.user == tracking.user()
    assert mark(stocked, "2") == "entry 3: it blurs"
    assert mark(stocked, "1") is None


def test_further_back_there_is_nothing(stocked):
    back(stocked)
    with pytest.raises(GenmintError, match="no earlier champion to go back to"):
        back(stocked)
    assert aliases(stocked) == ("1", None)
    assert len(entries.entries(client(stocked), "tiny")) == 3


def test_two_steps_are_two_steps_not_back_and_forth(stocked):
    stocked.make(seed=5, elbo=-5.0)
    assert one(stocked).verdict == "promoted"
    back(stocked)
    assert aliases(stocked) == ("2", "1")
    back(stocked)
    assert aliases(stocked) == ("1", None)


def test_back_to_a_version_that_passed_its_gate(stocked):
    back(stocked, to="4")
    assert aliases(stocked) == ("4", "1")


def test_forward_again_is_a_rollback_of_the_rollback(stocked):
    back(stocked)
    back(stocked, to="2")
    assert aliases(stocked) == ("2", None)
    assert mark(stocked, "2") is None
    assert mark(stocked, "1") == "entry 4: it blurs"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("3", "version 3 may not be champion: it failed its gate"),
        ("9", "there is no version 9; there are: 1, 2, 3, 4"),
        ("2", "version 2 is champion already"),
    ],
)
def test_versions_that_may_not_be_champion(stocked, to, words):
    with pytest.raises(GenmintError, match=words):
        back(stocked, to=to)
    assert aliases(stocked) == ("2", "1")
    assert len(entries.entries(client(stocked), "tiny")) == 2


def test_a_deleted_champion_is_passed_over(stocked):
    stocked.make(seed=5, elbo=-5.0)
    one(stocked)
    client(stocked).delete_model_version("tiny", "2")
    back(stocked)
    assert aliases(stocked) == ("1", None)


def test_after_the_champion_was_deleted_the_one_before_returns(stocked):
    client(stocked).delete_model_version("tiny", "2")
    assert back(stocked) == "tiny: rolled back from no champion to version 1: it blurs"
    assert aliases(stocked) == ("1", None)


def test_without_a_champion_there_is_nothing_to_go_back_to(workshop):
    workshop.make(elbo=-35.0)
    one(workshop)
    with pytest.raises(GenmintError, match="no earlier champion"):
        back(workshop)
    (workshop.root / "mlflow.db").unlink()
    with pytest.raises(GenmintError, match="nothing is registered"):
        back(workshop)
    assert not (workshop.root / "mlflow.db").exists()


def test_what_was_rolled_back_is_not_promoted_by_the_next_retrain(stocked):
    stocked.make(seed=1, elbo=-15.0)
    back(stocked)
    for _ in range(2):
        outcome = one(stocked)
        assert (outcome.verdict, outcome.exit_code) == ("rolled back", 0), outcome
        assert "journal entry 3 (it blurs)" in outcome.reason
    # Measured again, with other times: that is no other decision.
    stocked.make(seed=1, elbo=-15.0, gate=False)
    cost = stocked.project.cost("tiny")
    cost.write_text(cost.read_text().replace("1.0", "2.0"))
    stocked.gate()
    assert one(stocked).verdict == "rolled back"
    assert aliases(stocked) == ("1", None)
    assert mark(stocked, "2") is not None


def test_under_a_new_gate_record_the_comparison_decides(stocked):
    stocked.make(seed=1, elbo=-15.0)
    back(stocked)
    stocked.edit("margin: 1.0", "margin: 2.0")
    stocked.gate()
    outcome = one(stocked)
    assert (outcome.verdict, outcome.version) == ("promoted", "2"), outcome
    assert aliases(stocked) == ("2", "1")
    assert mark(stocked, "2") is None


def test_under_a_new_gate_record_it_must_still_be_better(stocked):
    """Version 4 passed, is worse than 1 by its new measurement, and stays where it is."""
    back(stocked, to="4")
    back(stocked, to="1")
    stocked.make(seed=3, elbo=-21.0)
    assert one(stocked).verdict == "not better"
    assert aliases(stocked)[0] == "1"


def test_a_better_one_is_promoted_over_the_one_gone_back_to(stocked):
    back(stocked)
    stocked.make(seed=5, elbo=-16.0)
    outcome = one(stocked)
    assert (outcome.verdict, outcome.version) == ("promoted", "5")
    assert aliases(stocked) == ("5", "1")


def test_a_killed_rollback_is_completed_with_its_mark(stocked, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "apply_journal", killed)
        with pytest.raises(KeyboardInterrupt):
            back(stocked)
    assert aliases(stocked) == ("2", "1")
    stocked.make(seed=1, elbo=-15.0)
    assert one(stocked).verdict == "rolled back"
    assert aliases(stocked) == ("1", None)
    assert mark(stocked, "2") == "entry 3: it blurs"


def test_a_move_by_hand_is_judged_first(stocked, capsys):
    client(stocked).set_registered_model_alias("tiny", "champion", "3")
    back(stocked)
    assert aliases(stocked) == ("1", None)
    kinds = [entry.kind for entry in entries.entries(client(stocked), "tiny")]
    assert kinds == ["promotion", "promotion", "reverted", "rollback"]
    assert "tiny: reverted" in capsys.readouterr().err


def test_somebody_else_was_quicker(stocked, monkeypatch):
    real = journal.finish_moves

    def stale(store, name, judge, **how):
        registry_state = real(store, name, judge, **how)
        monkeypatch.setattr(journal, "finish_moves", real)
        back(stocked, to="4")
        return registry_state

    monkeypatch.setattr(journal, "finish_moves", stale)
    with pytest.raises(GenmintError, match="another process moved the champion meanwhile"):
        back(stocked)
    assert aliases(stocked)[0] == "4"


def test_an_unreachable_registry_changes_nothing(stocked, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RegistryUnreachableError):
        back(stocked)


def test_the_command_line(stocked, monkeypatch, capsys):
    monkeypatch.chdir(stocked.root)
    monkeypatch.setenv("COLUMNS", "160")

    def genmint(*arguments):
        return run(arguments), *capsys.readouterr()

    code, out, err = genmint("rollback", "tiny", "--to", "3", "--reason", "why not")
    assert (code, out) == (1, "")
    assert err.startswith("genmint rollback: tiny: version 3 may not be champion")
    said = "tiny: rolled back from version 2 to version 1: it blurs\n"
    assert genmint("rollback", "tiny", "--reason", " it blurs ") == (0, said, "")
    code, out, _ = genmint("journal", "tiny", "--json")
    assert (code, json.loads(out)[-1]["kind"]) == (0, "rollback")
    code, out, _ = genmint("journal", "tiny")
    assert code == 0
    assert re.search(r"3 +valid +rollback +1 +– +.* it blurs", out)
    code, out, err = genmint("reconcile")
    assert (code, len(out.splitlines()), err) == (0, 2, "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for verb in (["journal", "tiny"], ["rollback", "tiny", "--reason", "x"], ["reconcile"]):
        code, out, err = genmint(*verb)
        assert (code, out) == (1, "")
        assert "does not answer" in err


def test_a_journal_of_nothing_makes_no_store(stocked, monkeypatch, capsys):
    monkeypatch.chdir(stocked.root)
    (stocked.root / "mlflow.db").unlink()
    assert run(["journal", "tiny"]) == 0
    assert "no entries" in capsys.readouterr().out
    assert not (stocked.root / "mlflow.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [["tiny"], ["tiny", "--reason", " "], ["tiny", "--reason", "x", "--to", "two"], ["tny"]],
)
def test_wrong_usage_is_2(stocked, monkeypatch, arguments, capsys):
    monkeypatch.chdir(stocked.root)
    try:
        code = run(["rollback", *arguments])
    except SystemExit as refusal:
        code = refusal.code
    assert code == 2
    assert len(entries.entries(client(stocked), "tiny")) == 2
