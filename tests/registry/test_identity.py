"""A version is its number and its weights: no way leads to a champion that failed its gate."""

import contextlib
import sqlite3

import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.cli import run
from genmint.common.errors import GenmintError
from genmint.common.project_key import load_key
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.promotion.rollback import rollback
from genmint.registry import entries, journal
from genmint.reporting.status import status


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(journal, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(journal, "_BY_HAND_SECONDS", 0.05)


def client(stocked):
    return MlflowClient(tracking.uri(stocked.project))


def aliases(stocked):
    found = journal.aliases(client(stocked), "tiny")
    return found.get("champion"), found.get("previous-champion")


def last(stocked):
    return entries.entries(client(stocked), "tiny", load_key(stocked.project))[-1]


def promoted(stocked, **changed):
    if changed:
        stocked.make(**changed)
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"])
    return outcome


def reconciled(stocked):
    (outcome,) = reconcile(stocked.project, stocked.params, ["tiny"])
    return outcome


@pytest.fixture
def said(stocked, capsys):
    """Exit code of status, and what it said of the model."""

    def say():
        capsys.readouterr()
        code = status(stocked.project, stocked.params)
        out = capsys.readouterr().out
        return code, "\n".join(line for line in out.splitlines() if line.startswith("tiny:"))

    return say


def deleted(stocked):
    client(stocked).delete_registered_model("tiny")


def renamed(stocked):
    client(stocked).rename_registered_model("tiny", "tiny-old")


def register_failed(stocked, source):
    """Versions 1 and 2 anew, both with weights that failed their gate."""
    client(stocked).create_registered_model("tiny")
    for _ in range(2):
        client(stocked).create_model_version("tiny", source=source.source, tags=source.tags)


WAYS = {
    "reconcile": lambda stocked: reconciled(stocked),
    "promote": lambda stocked: promoted(stocked, seed=2, elbo=-35.0),
    "rollback": lambda stocked: rollback(stocked.project, stocked.params, "tiny", "test"),
    "rollback --to 2": lambda stocked: rollback(
        stocked.project, stocked.params, "tiny", "test", "2"
    ),
}


@pytest.mark.parametrize("act", WAYS)
@pytest.mark.parametrize("lost", [deleted, renamed])
def test_a_number_that_begins_again_makes_no_failed_version_champion(stocked, said, lost, act):
    """Version 1 and 2 of the journal passed; the new 1 and 2 have other weights, and failed."""
    failed = client(stocked).get_model_version("tiny", "3")
    lost(stocked)
    code, text = said()
    assert code == 1
    assert "journal entry 2 names a champion that may not be one: version 2 (weights " in text
    assert "does not exist any more" in text
    register_failed(stocked, failed)
    assert said()[0] == 1
    with contextlib.suppress(GenmintError):
        WAYS[act](stocked)
    assert aliases(stocked) == (None, None)
    assert last(stocked).version is None
    assert "does not exist any more" in last(stocked).reason


@pytest.mark.parametrize("lost", [deleted, renamed])
def test_after_a_registered_model_was_lost_the_next_that_passes_is_champion(stocked, lost, capsys):
    lost(stocked)
    client(stocked).create_registered_model("tiny")
    client(stocked).create_model_version("tiny", source="file:///nowhere")
    outcome = promoted(stocked, seed=8, elbo=-19.0)
    assert (outcome.verdict, outcome.version) == ("promoted", "2"), outcome
    assert "does not exist any more" in outcome.reason
    assert aliases(stocked) == ("2", None)
    assert "tiny: withdrawn (no champion)" in capsys.readouterr().err
    # The number 2 of the journal's first entries is another version.
    with pytest.raises(GenmintError, match="no earlier champion"):
        rollback(stocked.project, stocked.params, "tiny", "test")


def test_a_champion_of_before_that_is_registered_again_is_found_by_its_weights(stocked):
    deleted(stocked)
    promoted(stocked, seed=7, elbo=-35.0)
    outcome = promoted(stocked, seed=1, elbo=-15.0)
    assert (outcome.verdict, outcome.version) == ("promoted", "2"), outcome
    assert aliases(stocked) == ("2", None)


def test_a_lost_journal_is_said_and_judged(stocked, said):
    client(stocked).rename_registered_model("tiny.journal", "old.journal")
    code, text = said()
    assert (code, "moved by hand to version 2; the journal says none" in text) == (1, True)
    assert reconciled(stocked).verdict == "confirmed"
    assert aliases(stocked)[0] == "2"


def test_model_and_journal_renamed_together_leave_nothing_that_agrees(stocked, said):
    stocked.make(seed=1, elbo=-15.0)
    for name in ("tiny", "tiny.journal"):
        client(stocked).rename_registered_model(name, f"old-{name}")
    code, text = said()
    assert code == 1
    assert "was gated (passed), but is not registered. Run `genmint promote tiny`." in text
    outcome = promoted(stocked, seed=7, elbo=-35.0)
    assert (outcome.verdict, "genmint promote --first tiny" in outcome.reason) == (
        "not promoted", True
    )  # fmt: skip
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"], first=True)
    assert outcome.verdict == "refused"
    assert reconciled(stocked).champion is None


def test_a_model_that_takes_the_name_of_another_is_none_of_its_versions(stocked, capsys):
    """Both registered models are renamed to what another entry of params.yaml is called."""
    store = client(stocked)
    for name in ("tiny", "tiny.journal"):
        store.delete_registered_model(name)
    for name in ("other", "other.journal"):
        store.rename_registered_model(name, name.replace("other", "tiny"))
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("not fixed", None), outcome
    assert "no entry of its journal is valid (its signature is invalid" in outcome.reason
    said = capsys.readouterr().err
    assert "it is a copy of a version of other, and was never gated as tiny" in said
    assert aliases(stocked)[0] is None


def stricter(stocked):
    """Gate the champion's weights again, by a bound that they fail."""
    stocked.make(seed=1, elbo=-15.0)
    stocked.edit("      elbo: {min: -30.0, baseline", "      elbo: {min: -1.0, baseline")
    stocked.gate()


def test_a_champion_that_fails_a_stricter_gate_is_none(stocked, said, capsys):
    stricter(stocked)
    outcome = promoted(stocked)
    assert (outcome.verdict, outcome.version) == ("refused", "2"), outcome
    assert "tiny: withdrawn (no champion): promotion of entry 2 is no longer valid" in (
        capsys.readouterr().err
    )
    assert aliases(stocked) == (None, "1")
    assert (last(stocked).kind, last(stocked).version) == ("withdrawn", None)
    page = client(stocked).get_model_version("tiny", "2")
    assert page.tags["genmint.reverted"].startswith("`champion` was removed from here: ")
    assert page.tags["genmint.reverted"].endswith("it failed its gate.")
    assert reconciled(stocked).verdict == "in order"
    assert "there is no champion: journal entry 3 (withdrawn: " in said()[1]
    # The way back is open: to the one before, and to itself under the gate that it passed.
    rollback(stocked.project, stocked.params, "tiny", "the one before")
    assert aliases(stocked)[0] == "1"


def test_a_withdrawn_champion_returns_with_the_gate_that_it_passed(stocked):
    stricter(stocked)
    promoted(stocked)
    stocked.edit("      elbo: {min: -1.0, baseline", "      elbo: {min: -30.0, baseline")
    stocked.gate()
    outcome = promoted(stocked)
    assert (outcome.verdict, outcome.version) == ("promoted", "2"), outcome
    assert aliases(stocked) == ("2", "1")
    assert "genmint.reverted" not in client(stocked).get_model_version("tiny", "2").tags


@pytest.mark.parametrize("away", [True, False])
def test_reconcile_puts_no_failed_champion_back(stocked, monkeypatch, said, away):
    """The gate was made stricter, and the process was killed right after the new record."""
    stricter(stocked)
    with monkeypatch.context() as patch:
        patch.setattr("genmint.promotion.promote.settle_all", lambda *_: None)
        assert promoted(stocked).verdict == "refused"
    if away:
        client(stocked).delete_registered_model_alias("tiny", "champion")
    code, text = said()
    assert (code, "it failed its gate" in text) == (1, True)
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion, outcome.exit_code) == ("withdrawn", None, 0)
    assert "`genmint rollback tiny --reason …`" in outcome.reason
    assert aliases(stocked) == (None, "1")
    assert reconciled(stocked).verdict == "in order"


def test_no_way_back_leads_to_a_version_that_failed_since(stocked, monkeypatch):
    """Neither `previous-champion`, nor a step back, nor a choice, though it was champion once."""
    stocked.make(seed=0, elbo=-20.0)
    stocked.edit("      elbo: {min: -30.0, baseline", "      elbo: {min: -1.0, baseline")
    stocked.gate()
    assert promoted(stocked).verdict == "refused"
    assert aliases(stocked) == ("2", None)
    for to in (None, "1"):
        with pytest.raises(GenmintError, match="it failed its gate"):
            rollback(stocked.project, stocked.params, "tiny", "test", to)
    client(stocked).set_registered_model_alias("tiny", "previous-champion", "1")
    assert reconciled(stocked).verdict == "reverted"
    assert aliases(stocked) == ("2", None)


def test_a_half_done_move_to_a_version_that_failed_is_not_finished(stocked):
    """An entry that somebody else wrote into the journal, say."""
    stocked.write_entry("3")
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("withdrawn", None), outcome
    assert "it failed its gate" in outcome.reason
    assert aliases(stocked)[0] is None


def without_hash(stocked, number):
    """As an earlier genmint wrote entries, and signed since."""
    store = client(stocked)
    store.delete_model_version_tag("tiny.journal", str(number), "genmint.weights")
    entries.sign_entries(store, "tiny", load_key(stocked.project), [number])


def test_an_entry_without_a_hash_leads_to_no_champion(stocked):
    without_hash(stocked, 2)
    outcome = reconciled(stocked)
    # The alias stands on a version that passed: it is judged as if a person had moved it there.
    assert (outcome.verdict, outcome.champion) == ("confirmed", "2"), outcome
    without_hash(stocked, 3)
    client(stocked).delete_registered_model_alias("tiny", "champion")
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("withdrawn", None), outcome
    assert "its entry names no weights" in outcome.reason


@pytest.mark.parametrize("value", ["latest", "-1", "2; drop", "", "99999999999999999999"])
def test_an_entry_that_names_no_version_is_void(stocked, value):
    client(stocked).set_model_version_tag("tiny.journal", "2", "genmint.version", value)
    assert not last(stocked).valid
    assert reconciled(stocked).verdict == "confirmed"


def test_a_hash_written_into_a_tag_by_hand_makes_no_champion(stocked):
    """Version 3 failed; somebody gives it the hash of a model that passes."""
    weights = stocked.make(seed=5, elbo=-5.0)
    client(stocked).set_model_version_tag("tiny", "3", "genmint.weights", weights)
    client(stocked).set_registered_model_alias("tiny", "champion", "3")
    outcome = reconciled(stocked)
    assert outcome.verdict == "reverted", outcome
    assert "its weights are not those that passed the gate" in outcome.reason
    # Nor does it keep the model that has them from being registered.
    outcome = promoted(stocked)
    assert (outcome.verdict, outcome.version) == ("promoted", "5"), outcome


def test_an_older_record_of_the_same_weights_does_not_count(stocked, tmp_path):
    """A copy with files of its own keeps the record of the gate before it was made stricter."""
    import shutil

    store = client(stocked)
    folder = tmp_path / "copy"
    original = store.get_model_version("tiny", "2")
    shutil.copytree(original.source.removeprefix("file://"), folder)
    copy = store.create_model_version("tiny", source=folder.as_uri(), tags=original.tags)
    stricter(stocked)
    promoted(stocked)
    store.set_registered_model_alias("tiny", "champion", copy.version)
    outcome = reconciled(stocked)
    assert outcome.verdict == "reverted", outcome
    assert "version 2 has the same weights, and it failed its gate" in outcome.reason
    assert aliases(stocked)[0] is None


def test_a_gate_in_dry_run_does_not_replace_the_record_that_counts(stocked):
    stocked.make(seed=1, elbo=-15.0)
    stocked.edit("  tiny:\n    thresholds", "  tiny:\n    mode: dry-run\n    thresholds")
    stocked.gate()
    promoted(stocked)
    stocked.edit("mode: dry-run\n    ", "")
    assert reconciled(stocked).verdict == "in order"
    assert aliases(stocked) == ("2", "1")


@pytest.fixture
def dangling(stocked):
    """The alias points to a version that does not exist, which MLflow itself does not allow."""

    def point(alias, version):
        with contextlib.closing(sqlite3.connect(stocked.root / "mlflow.db")) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            database.execute(
                "UPDATE registered_model_aliases SET version = ? WHERE name = 'tiny' AND alias = ?",
                (version, alias),
            )
            database.commit()

    return point


@pytest.mark.parametrize("alias", ["champion", "previous-champion"])
def test_an_alias_on_a_version_that_does_not_exist_is_reverted(
    stocked, dangling, said, alias, monkeypatch, capsys
):
    dangling(alias, 9)
    code, text = said()
    assert code == 1
    assert (
        "moved by hand to version 9" if alias == "champion" else "`previous-champion` was"
    ) in text
    if alias == "champion":
        monkeypatch.chdir(stocked.root)
        assert run(["sample", "tiny@champion", "--out", "out.npy"]) == 1
        found = capsys.readouterr().err
        assert "points to version 9, which does not exist. Run `genmint reconcile tiny`." in found
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("reverted", "2"), outcome
    if alias == "champion":
        assert outcome.reason == "moved by hand to version 9: there is no version 9"
    assert aliases(stocked) == ("2", "1")
    assert reconciled(stocked).verdict == "in order"


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_promote_and_rollback_settle_such_an_alias_first(stocked, dangling, act):
    dangling("champion", 9)
    if act == "promote":
        assert promoted(stocked, seed=5, elbo=-5.0).verdict == "promoted"
        assert aliases(stocked) == ("5", "2")
    else:
        rollback(stocked.project, stocked.params, "tiny", "test")
        assert aliases(stocked) == ("1", None)


def test_the_journal_says_which_versions_are_gone(stocked, monkeypatch, capsys):
    client(stocked).delete_model_version("tiny", "2")
    monkeypatch.chdir(stocked.root)
    monkeypatch.setenv("COLUMNS", "160")
    assert run(["journal", "tiny"]) == 0
    assert "2 (gone)" in capsys.readouterr().out
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("withdrawn", None), outcome
    assert aliases(stocked) == (None, "1")
