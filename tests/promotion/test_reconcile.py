"""Aliases moved by hand in MLflow: kept if the version passed its gate, else reverted."""

import json
import shutil

import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.common.errors import RegistryUnreachableError
from genmint.common.files import sha256_json
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.registry import entries, journal
from genmint.registry.championship import Championship
from genmint.registry.registry import Registry


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(journal, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(journal, "_BY_HAND_SECONDS", 0.05)


def client(stocked):
    return MlflowClient(tracking.uri(stocked.project))


def aliases(stocked):
    found = journal.aliases(client(stocked), "tiny")
    return found.get("champion"), found.get("previous-champion")


def kinds(stocked):
    return [entry.kind for entry in entries.entries(client(stocked), "tiny")]


def move(stocked, version, alias="champion"):
    client(stocked).set_registered_model_alias("tiny", alias, version)


def allow_overrides(stocked):
    stocked.edit("  tiny:\n    thresholds", "  tiny:\n    allow_overrides: true\n    thresholds")


def one(stocked):
    (outcome,) = reconcile(stocked.project, stocked.params, ["tiny"])
    return outcome


def page(stocked, version):
    found = client(stocked).get_model_version("tiny", version)
    return found.tags, found.description or ""


def test_nothing_to_do_is_done_again_and_again(stocked, capsys):
    for _ in range(2):
        outcome = one(stocked)
        assert (outcome.verdict, outcome.champion, outcome.exit_code) == ("in order", "2", 0)
    assert "tiny: in order (champion is version 2): aliases and journal agree" in (
        capsys.readouterr().out
    )
    assert kinds(stocked) == ["promotion", "promotion"]


def test_without_a_store_there_is_nothing_to_do_and_none_is_made(stocked):
    (stocked.root / "mlflow.db").unlink()
    assert one(stocked).verdict == "in order"
    assert not (stocked.root / "mlflow.db").exists()


@pytest.mark.parametrize("to", ["1", "4"])
def test_moved_to_one_that_passed_is_confirmed(stocked, to):
    move(stocked, to)
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion, outcome.exit_code) == ("confirmed", to, 0), outcome
    assert aliases(stocked) == (to, "2")
    entry = entries.entries(client(stocked), "tiny")[-1]
    assert (entry.kind, entry.version, entry.previous) == ("by-hand", to, "2")
    assert entry.user.startswith("found by ")
    assert "moved by hand from version 2; it passed its gate" in entry.reason
    assert one(stocked).verdict == "in order"
    assert len(kinds(stocked)) == 3


def test_moved_to_one_that_failed_is_reverted_with_the_reason_on_its_page(stocked):
    before = page(stocked, "3")[1]
    move(stocked, "3")
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion, outcome.exit_code) == ("reverted", "2", 0), outcome
    assert aliases(stocked) == ("2", "1")
    tags, description = page(stocked, "3")
    reason = "`champion` was moved here by hand and was reverted to version 2: it failed its gate."
    assert tags["genmint.reverted"] == reason
    assert description == f"> **Alias reverted.** {reason}\n\n{before}"
    entry = entries.entries(client(stocked), "tiny")[-1]
    assert (entry.kind, entry.version, entry.previous) == ("reverted", "2", "1")
    assert entry.reason == "moved by hand to version 3: it failed its gate"
    assert one(stocked).verdict == "in order"


def no_tags(stocked):
    return client(stocked).create_model_version("tiny", source="models:/tiny/1")


def tags_edited_by_hand(stocked):
    store = client(stocked)
    store.set_model_version_tag("tiny", "3", "genmint.gate", "passed")
    return store.get_model_version("tiny", "3")


def copy_of_another_model(stocked):
    return client(stocked).copy_model_version("models:/other/1", "tiny")


def edited_copy(stocked, edit, **changed):
    """A copy of version 1 whose files are its own, after `edit(folder)`."""
    store = client(stocked)
    original = store.get_model_version("tiny", "1")
    folder = stocked.root / "edited"
    source = Registry.open(stocked.project).get("tiny", "1").source
    shutil.copytree(source.removeprefix("file://"), folder)
    edit(folder)
    tags = {**original.tags, **changed}
    return store.create_model_version("tiny", source=folder.as_uri(), tags=tags)


def other_weights(stocked):
    def edit(folder):
        path = folder / "artifacts/weights/model.safetensors"
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)

    return edited_copy(stocked, edit)


def edit_record(folder, **changed):
    path = folder / "evaluation/reports/gates/tiny.json"
    record = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps(record))
    return sha256_json(record)


def another_record(stocked):
    return edited_copy(stocked, lambda folder: edit_record(folder, checks_passed=99))


def record_of_a_refusal(stocked):
    hashes = []
    found = edited_copy(stocked, lambda folder: hashes.append(edit_record(folder, passed=0)))
    client(stocked).set_model_version_tag("tiny", found.version, "genmint.record", hashes[0])
    return found


def record_of_other_weights(stocked):
    hashes = []
    found = edited_copy(stocked, lambda folder: hashes.append(edit_record(folder, evidence=[])))
    client(stocked).set_model_version_tag("tiny", found.version, "genmint.record", hashes[0])
    return found


def no_record(stocked):
    return edited_copy(
        stocked, lambda folder: (folder / "evaluation/reports/gates/tiny.json").unlink()
    )


def dry_run(stocked):
    return edited_copy(stocked, lambda _: None, **{"genmint.gate_mode": "dry-run"})


def record_of_a_dry_run(stocked):
    hashes = []
    found = edited_copy(stocked, lambda folder: hashes.append(edit_record(folder, mode="dry-run")))
    client(stocked).set_model_version_tag("tiny", found.version, "genmint.record", hashes[0])
    return found


def files_gone(stocked):
    return edited_copy(stocked, shutil.rmtree)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (no_tags, "it was never gated"),
        (tags_edited_by_hand, "it failed its gate, whatever its tags say"),
        (copy_of_another_model, "it is a copy of a version of other, and was never gated as tiny"),
        (other_weights, "its weights are not those that passed the gate"),
        (another_record, "the gate record stored with it is not the one that its tags name"),
        (record_of_a_refusal, "it failed its gate, whatever its tags say"),
        (record_of_other_weights, "the gate record stored with it is that of other weights"),
        (no_record, "no model with its gate record is stored with it"),
        (dry_run, "its tag genmint.gate_mode says dry-run, and its gate record enforce"),
        (record_of_a_dry_run, "its gate was in dry-run"),
        (files_gone, "its files are gone"),
    ],
)
def test_an_alias_without_evidence_of_a_passed_gate_is_reverted(stocked, make, problem):
    version = make(stocked).version
    move(stocked, version)
    outcome = one(stocked)
    assert outcome.verdict == "reverted", outcome
    assert problem in outcome.reason
    assert aliases(stocked) == ("2", "1")
    tags, description = page(stocked, version)
    assert problem in tags["genmint.reverted"]
    assert problem in description


def test_a_copy_of_a_version_of_its_own_that_passed_is_confirmed(stocked):
    copy = client(stocked).copy_model_version("models:/tiny/1", "tiny")
    move(stocked, copy.version)
    assert one(stocked).verdict == "confirmed"
    assert aliases(stocked) == (str(copy.version), "2")


def test_an_untouched_copy_of_the_files_is_confirmed(stocked):
    """What `edited_copy` does besides editing is not what the cases above fail by."""
    move(stocked, edited_copy(stocked, lambda _: None).version)
    assert one(stocked).verdict == "confirmed"


def test_an_override_counts_where_policy_allows_it(stocked):
    allow_overrides(stocked)
    client(stocked).set_model_version_tag("tiny", "3", "override", "the fair is tomorrow")
    move(stocked, "3")
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion, outcome.exit_code) == ("overridden", "3", 0)
    entry = entries.entries(client(stocked), "tiny")[-1]
    assert (entry.kind, entry.version, entry.previous) == ("override", "3", "2")
    assert entry.reason.startswith("the fair is tomorrow (by hand from version 2, though it failed")
    assert aliases(stocked) == ("3", "2")
    assert one(stocked).verdict == "in order"


def test_an_override_takes_the_note_of_an_earlier_refusal_away(stocked):
    before = page(stocked, "3")[1]
    move(stocked, "3")
    one(stocked)
    allow_overrides(stocked)
    client(stocked).set_model_version_tag("tiny", "3", "override", "the fair is tomorrow")
    move(stocked, "3")
    assert one(stocked).verdict == "overridden"
    tags, description = page(stocked, "3")
    assert "genmint.reverted" not in tags
    note, rest = description.split("\n\n", 1)
    assert rest == before
    assert note == (
        "> **Override.** Journal entry 4 made it champion against its gate: the fair is tomorrow "
        "(by hand from version 2, though it failed its gate)."
    )


def test_an_override_does_not_count_without_policy(stocked):
    client(stocked).set_model_version_tag("tiny", "3", "override", "the fair is tomorrow")
    move(stocked, "3")
    outcome = one(stocked)
    assert outcome.verdict == "reverted"
    assert "does not count while gates.tiny.allow_overrides is false" in outcome.reason
    assert aliases(stocked) == ("2", "1")


@pytest.mark.parametrize("said", [None, " "])
def test_an_override_without_a_reason_is_none(stocked, said):
    allow_overrides(stocked)
    if said is not None:
        client(stocked).set_model_version_tag("tiny", "3", "override", said)
    move(stocked, "3")
    assert one(stocked).verdict == "reverted"


def test_an_alias_taken_away_is_reverted(stocked):
    client(stocked).delete_registered_model_alias("tiny", "champion")
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion) == ("reverted", "2"), outcome
    assert aliases(stocked) == ("2", "1")
    assert entries.entries(client(stocked), "tiny")[-1].kind == "reverted"


def test_an_alias_taken_away_with_an_override_stays_away(stocked):
    """The way to do without a comparison that cannot be made."""
    allow_overrides(stocked)
    client(stocked).set_model_version_tag("tiny", "2", "override", "images have another size now")
    client(stocked).delete_registered_model_alias("tiny", "champion")
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion) == ("overridden", None), outcome
    assert str(outcome).startswith("tiny: overridden (no champion): images have another size now")
    assert aliases(stocked) == (None, "2")
    assert one(stocked).verdict == "in order"
    # The one that it was taken from does not come back by itself; any other that passes may.
    for seed, elbo, verdict in ((1, -15.0, "rolled back"), (5, -25.0, "promoted")):
        stocked.make(seed=seed, elbo=elbo)
        stocked.gate()
        (promoted,) = promote(stocked.project, stocked.params, ["tiny"])
        assert promoted.verdict == verdict, promoted
    assert aliases(stocked) == ("5", "2")


@pytest.mark.parametrize("to", ["4", None])
def test_previous_champion_is_reverted(stocked, to):
    if to is None:
        client(stocked).delete_registered_model_alias("tiny", "previous-champion")
    else:
        move(stocked, to, "previous-champion")
    assert one(stocked).verdict == "reverted"
    assert aliases(stocked) == ("2", "1")
    assert one(stocked).verdict == "in order"


def test_a_killed_writers_move_is_finished(stocked):
    stocked.write_entry("4")
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion) == ("finished", "4"), outcome
    assert outcome.reason == "entry 3 was incomplete; `challenger` still pointed to the champion"
    assert aliases(stocked) == ("4", "2")
    assert "challenger" not in journal.aliases(client(stocked), "tiny")
    assert one(stocked).verdict == "in order"


def test_without_a_journal_a_champion_that_failed_is_none(stocked):
    client(stocked).delete_registered_model("tiny.journal")
    move(stocked, "3")
    client(stocked).delete_registered_model_alias("tiny", "previous-champion")
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion) == ("reverted", None), outcome
    assert aliases(stocked) == (None, None)
    assert "was moved here by hand and was removed" in page(stocked, "3")[0]["genmint.reverted"]
    assert one(stocked).verdict == "in order"


def test_a_gate_in_dry_run_moves_no_alias(stocked):
    stocked.edit("  tiny:\n    thresholds", "  tiny:\n    mode: dry-run\n    thresholds")
    move(stocked, "3")
    outcome = one(stocked)
    assert (outcome.verdict, outcome.champion) == ("dry-run", "3")
    assert "moved by hand from version 2, and stays: it failed its gate" in outcome.reason
    assert aliases(stocked) == ("3", "1")
    assert kinds(stocked) == ["promotion", "promotion"]


def test_one_model_that_cannot_be_reconciled_does_not_stop_the_others(stocked, monkeypatch, capsys):
    """Somebody who moves the champion faster than we can look."""
    move(stocked, "3")
    monkeypatch.setattr("genmint.registry.conflicts._ATTEMPTS", 2)
    monkeypatch.setattr(Championship, "move_champion", lambda *_, **__: False)
    outcomes = reconcile(stocked.project, stocked.params, ["tiny", "other"])
    assert [outcome.verdict for outcome in outcomes] == ["not fixed", "in order"]
    assert [outcome.exit_code for outcome in outcomes] == [1, 0]
    assert "was moved by others 2 times meanwhile" in capsys.readouterr().err


def test_an_unreachable_registry_changes_nothing(stocked, monkeypatch):
    move(stocked, "3")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(RegistryUnreachableError):
            one(stocked)
    assert aliases(stocked) == ("3", "1")
    assert kinds(stocked) == ["promotion", "promotion"]


def test_artefacts_that_do_not_answer_are_no_verdict(stocked):
    """The version may well have passed: nobody can tell while its files are out of reach."""
    tags = client(stocked).get_model_version("tiny", "1").tags
    source = "mlflow-artifacts://127.0.0.1:9/artefacts"
    found = client(stocked).create_model_version("tiny", source=source, tags=tags)
    move(stocked, found.version)
    with pytest.raises(RegistryUnreachableError):
        one(stocked)
    assert aliases(stocked) == (str(found.version), "1")
    assert kinds(stocked) == ["promotion", "promotion"]
    assert "genmint.reverted" not in page(stocked, found.version)[0]
