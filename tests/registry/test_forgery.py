"""Who reaches MLflow's port, but has not the project's key, makes no model champion.

Each attack is one that worked, or would, without signatures: all of it is done through MLflow's
client, the way a person or a program with the tracker's address would.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

import genmint
from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file, sha256_json, write_json
from genmint.common.project_key import key_file, load_key
from genmint.common.tags import CONFIRMATION_TAG, SIGNATURE_TAG
from genmint.promotion import challenge
from genmint.promotion.key_change import adopt, print_signatures
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.promotion.rollback import rollback
from genmint.registry import entries, journal
from genmint.registry.registry import Registry
from genmint.registry.signature import read
from genmint.reporting.status import status


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(journal, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(journal, "_BY_HAND_SECONDS", 0.05)


@pytest.fixture
def client(stocked):
    """`stocked` has version 2 as champion, 1 as the one before; version 3 failed its gate."""
    return MlflowClient(tracking.uri(stocked.project))


def champion(client):
    return journal.aliases(client, "tiny").get("champion")


def reconciled(stocked):
    (outcome,) = reconcile(stocked.project, stocked.params, ["tiny"])
    return outcome


def stored(client, number):
    return Path(client.get_model_version("tiny", str(number)).source.removeprefix("file://"))


def forge_record(folder):
    """Make a failed record say that every check passed; return its hash as a tag has it."""
    path = folder / "evaluation/reports/gates/tiny.json"
    record = json.loads(path.read_text())
    for check in record["checks"]:
        check["passed"] = True
    record |= {"passed": 1, "checks_failed": 0}
    write_json(path, record)
    return sha256_json(record)


def tag(client, number, **tags):
    for key, value in tags.items():
        client.set_model_version_tag("tiny", str(number), f"genmint.{key}", value)


def test_a_failed_version_whose_record_was_forged_whole(stocked, client):
    digest = forge_record(stored(client, 3))
    tag(client, 3, record=digest, gate="passed")
    client.set_registered_model_alias("tiny", "champion", "3")
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("reverted", "2"), outcome
    assert "not the one that was signed" in outcome.reason
    with pytest.raises(GenmintError, match="not the one that was signed"):
        rollback(stocked.project, stocked.params, "tiny", "attack", "3")


def test_a_forged_record_with_hashes_to_match(stocked, client):
    """The signature itself is what cannot be made to match."""
    digest = forge_record(stored(client, 3))
    said = json.loads(client.get_model_version("tiny", "3").tags[SIGNATURE_TAG])
    path = "reports/gates/tiny.json"
    said["evaluation"][path] = sha256_file(stored(client, 3) / "evaluation" / path)
    tag(client, 3, record=digest, gate="passed", signature=json.dumps(said))
    client.set_registered_model_alias("tiny", "champion", "3")
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("reverted", "2"), outcome
    assert "its signature is invalid" in outcome.reason


def test_a_version_that_was_made_through_the_tracker(stocked, client, tmp_path):
    """Weights, record and tags agree with one another: they were made so on another machine."""
    shutil.copytree(stored(client, 2), tmp_path / "copy")
    tags = dict(client.get_model_version("tiny", "2").tags)
    weights = tmp_path / "copy/artifacts/weights/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    path = tmp_path / "copy/evaluation/reports/gates/tiny.json"
    digest = sha256_file(weights)
    record = json.loads(path.read_text().replace(tags["genmint.weights"], digest))
    write_json(path, record)
    tags |= {"genmint.weights": digest, "genmint.record": sha256_json(record)}
    made = client.create_model_version("tiny", (tmp_path / "copy").as_uri(), tags=tags)
    client.set_registered_model_alias("tiny", "champion", made.version)
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("reverted", "2"), outcome
    unsigned = {key: value for key, value in tags.items() if key != SIGNATURE_TAG}
    made = client.create_model_version("tiny", (tmp_path / "copy").as_uri(), tags=unsigned)
    client.set_registered_model_alias("tiny", "champion", made.version)
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("reverted", "2"), outcome
    assert "it is not signed" in outcome.reason or "not the one" in outcome.reason


@pytest.mark.parametrize("settled", [False, True])
def test_an_entry_that_was_made_through_the_tracker(stocked, client, settled, capsys):
    """It names a version that passed its gate: only that nobody promoted it."""
    tags = dict(client.get_model_version("tiny.journal", "1").tags)
    assert tags["genmint.version"] == "1"
    tags |= {"genmint.claims": "3", "genmint.settled": "1"}
    if not settled:
        del tags["genmint.settled"]
    client.create_model_version("tiny.journal", "genmint:/tiny/1", tags=tags)
    if settled:
        client.set_registered_model_alias("tiny", "champion", "1")
    outcome = reconciled(stocked)
    written = entries.entries(client, "tiny", load_key(stocked.project))
    assert not written[2].valid
    assert written[2].forged == "its signature is invalid: it was changed after it was signed"
    if settled:
        # A person may move the alias to a version that passed; it is said that one did.
        assert (outcome.verdict, outcome.champion) == ("confirmed", "1")
    else:
        assert (outcome.verdict, outcome.champion) == ("in order", "2")
        assert "invalid journal entries: 3" in outcome.reason
    assert status(stocked.project, stocked.params) == 1
    assert "invalid journal entries: 3 (its signature is invalid" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["version", "weights", "kind", "left", "reason", "time"])
def test_an_entry_that_was_edited(stocked, client, key):
    client.set_model_version_tag("tiny.journal", "2", f"genmint.{key}", "1")
    assert not entries.entries(client, "tiny", load_key(stocked.project))[1].valid


def test_an_entry_of_another_model_or_number(stocked, client):
    """What was signed for one place holds in no other."""
    promoted = dict(client.get_model_version("tiny.journal", "1").tags)
    client.create_model_version("tiny.journal", "genmint:/tiny/1", tags=promoted)
    other = dict(client.get_model_version("other.journal", "1").tags)
    client.delete_model_version("tiny.journal", "1")
    client.create_model_version("tiny.journal", "genmint:/other/1", tags=other)
    key = load_key(stocked.project)
    assert [e.number for e in entries.entries(client, "tiny", key) if e.valid] == [2]


def test_a_description_is_for_people_and_may_be_edited(stocked, client):
    client.update_model_version("tiny.journal", "2", "mine")
    entry = entries.entries(client, "tiny", load_key(stocked.project))[1]
    assert entry.valid
    assert entry.reason != "mine"
    assert reconciled(stocked).verdict == "in order"


def test_a_forged_confirmation(stocked, client):
    registry = Registry.open(stocked.project)
    version = registry.get("tiny", "1")
    forged = {"found": {version.weights: {}}, "signature": ""}
    for text in (json.dumps(forged), "{}", "x"):
        registry.tag(version, CONFIRMATION_TAG, text)
        with pytest.raises(GenmintError, match="was not written by genmint"):
            challenge._kept(registry, registry.get("tiny", "1"))
    challenge._keep(registry, version, {})
    assert challenge._kept(registry, registry.get("tiny", "1")) == {}
    text = registry.get("tiny", "1").tags[CONFIRMATION_TAG]
    registry.tag(registry.get("tiny", "2"), CONFIRMATION_TAG, text)
    with pytest.raises(GenmintError, match="was not written by genmint"):
        challenge._kept(registry, registry.get("tiny", "2"))


@pytest.mark.parametrize("file", ["code/genmint/serving.py", "MLmodel", "code/genmint/new.py"])
def test_code_that_was_put_in_the_place_of_the_stored(stocked, client, file):
    path = stored(client, 2) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.read_text() + "\n" if path.exists() else "")
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("withdrawn", None), outcome
    assert "the code stored with it is not the one that was registered" in outcome.reason


def test_items_of_the_champion_that_were_replaced(stocked, client, capsys):
    """A champion that is said to be worse than it was would lose against a worse model."""
    (stored(client, 2) / "evaluation/samples/tiny/items.npy").write_bytes(b"")
    stocked.make(seed=7, elbo=-14.0)
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"])
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1), outcome
    assert "the champion, version 2, cannot be evaluated like the new one" in outcome.reason
    said = capsys.readouterr().err
    assert "tiny/2: its items.npy is not the one that was registered, and is not used" in said
    assert champion(client) == "2"


def test_what_an_attacker_adds_to_an_evaluation_is_not_read(stocked, client, tmp_path):
    (stored(client, 2) / "evaluation/samples/tiny/more.npy").write_bytes(b"x")
    registry = Registry.open(stocked.project)
    _, evaluation = registry.download(registry.get("tiny", "2"), tmp_path)
    assert (evaluation / "samples/tiny/items.npy").is_file()
    assert not (evaluation / "samples/tiny/more.npy").exists()


def test_a_machine_without_the_key_changes_nothing(stocked, client):
    key_file(stocked.project).unlink()
    stocked.make(seed=5, elbo=-5.0)
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"])
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1), outcome
    assert "this machine does not have the key" in outcome.reason
    assert not key_file(stocked.project).exists()
    client.set_registered_model_alias("tiny", "champion", "3")
    outcome = reconciled(stocked)
    assert outcome.exit_code == 1
    assert "this machine does not have the key" in outcome.reason
    with pytest.raises(GenmintError, match="does not have the key"):
        rollback(stocked.project, stocked.params, "tiny", "test")
    # Anybody can see that version 3 failed its gate.
    assert champion(client) is None
    assert len(client.search_model_versions("name = 'tiny.journal'")) == 2


def test_a_machine_with_another_key_changes_nothing(stocked, client, monkeypatch):
    monkeypatch.setenv("GENMINT_SIGNING_KEY", "0f" * 32)
    stocked.make(seed=5, elbo=-5.0)
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"])
    assert outcome.exit_code == 1
    assert "no entry of its journal is valid (it is signed with key" in outcome.reason
    outcome = reconciled(stocked)
    assert outcome.exit_code == 1
    assert champion(client) == "2"
    assert print_signatures(stocked.project, ["tiny"]) == 1


def unsign(client, names):
    for name in names:
        for version in client.search_model_versions(f"name = '{name}'"):
            client.delete_model_version_tag(name, str(version.version), SIGNATURE_TAG)


def test_a_registry_from_before_signatures_is_adopted(stocked, client, capsys):
    unsign(client, ["tiny", "tiny.journal"])
    key_file(stocked.project).unlink()
    assert print_signatures(stocked.project, ["tiny"]) == 1
    assert "no signing key here; and the registry is not empty" in capsys.readouterr().out
    assert adopt(stocked.project, stocked.params, ["tiny"]) == 0
    assert "tiny: 4 versions and 2 journal entries signed" in capsys.readouterr().out
    assert print_signatures(stocked.project, ["tiny"]) == 0
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("in order", "2"), outcome
    stocked.make(seed=5, elbo=-5.0)
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"])
    assert outcome.verdict == "promoted", outcome
    # Nobody knows what its code was, and the signature does not say that it is known.
    signed, _ = read(client.get_model_version("tiny", "2").tags)
    assert signed.code == ""


def test_what_does_not_pass_the_checks_is_not_adopted(stocked, client, capsys):
    unsign(client, ["tiny", "tiny.journal"])
    forge_record(stored(client, 3))
    tags = {"genmint.claims": "3", "genmint.kind": "promotion", "genmint.version": "3"}
    tags["genmint.weights"] = client.get_model_version("tiny", "3").tags["genmint.weights"]
    client.create_model_version("tiny.journal", "genmint:/tiny/3", tags=tags)
    assert adopt(stocked.project, stocked.params, ["tiny"]) == 1
    said = capsys.readouterr().out
    assert "not signed: version 3: the gate record stored with it is not the one" in said
    assert "not signed: entry 3: " in said
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("in order", "2"), outcome


def test_nothing_is_adopted_beside_what_is_signed(stocked, client):
    """Whoever can write tags could else have their own work signed."""
    client.set_model_version_tag("tiny", "2", SIGNATURE_TAG, "x")
    with pytest.raises(GenmintError, match="were not written by genmint, or were changed"):
        adopt(stocked.project, stocked.params, ["tiny"])
    assert client.get_model_version("tiny", "2").tags[SIGNATURE_TAG] == "x"


def test_a_journal_without_any_signature_is_not_followed(stocked, client, capsys):
    """Nobody can tell whether it is an old registry or an attack: nothing is promoted."""
    unsign(client, ["tiny.journal"])
    client.delete_registered_model_alias("tiny", "champion")
    stocked.make(seed=5, elbo=-5.0)
    (outcome,) = promote(stocked.project, stocked.params, ["tiny"])
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1), outcome
    client.set_registered_model_alias("tiny", "champion", "3")
    assert reconciled(stocked).exit_code == 1
    assert champion(client) is None
    assert "`champion` was removed from version 3: it failed its gate" in capsys.readouterr().err


def test_files_at_an_address_of_somebody_elses_are_not_asked_for(stocked, client, monkeypatch):
    """The login would be sent there."""
    heard = []
    monkeypatch.setattr("requests.Session.request", lambda *a, **k: heard.append(a))
    tags = dict(client.get_model_version("tiny", "2").tags)
    for source in (
        "http://127.0.0.1:9/a/mlflow-artifacts/artifacts/b",
        "gs://bucket/x",
        "ftp://h/x",
    ):
        made = client.create_model_version("tiny", source, tags=tags)
        client.set_registered_model_alias("tiny", "champion", made.version)
        outcome = reconciled(stocked)
        assert (outcome.verdict, outcome.champion) == ("reverted", "2"), outcome
        with pytest.raises(GenmintError, match="its files are gone"):
            genmint.load(f"tiny/{made.version}", stocked.root)
    assert heard == []


def test_a_model_without_tags_is_not_loaded(stocked, client):
    source = client.get_model_version("tiny", "2").source
    made = client.create_model_version("tiny", source)
    client.set_registered_model_alias("tiny", "champion", made.version)
    with pytest.raises(GenmintError, match="genmint did not register it"):
        genmint.load("tiny@champion", stocked.root)


def test_a_champion_that_mlflow_loaded_stays_champion(stocked, client):
    """MLflow writes a file of its own beside the model then."""
    # The code of `stock` is a stub, so that loading ends in an error after the files were fetched.
    code = "import mlflow; mlflow.pyfunc.load_model('models:/tiny@champion')"
    env = {**os.environ, "MLFLOW_TRACKING_URI": tracking.uri(stocked.project)}
    subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    assert (stored(client, 2) / "registered_model_meta").exists()
    assert reconciled(stocked).verdict == "in order"
    genmint.load("tiny@champion", stocked.root)


def test_a_lost_key_is_replaced_by_adopting(stocked, client):
    lost = load_key(stocked.project)
    key_file(stocked.project).unlink()
    assert adopt(stocked.project, stocked.params, ["tiny", "other"]) == 0
    assert load_key(stocked.project).id != lost.id
    outcome = reconciled(stocked)
    assert (outcome.verdict, outcome.champion) == ("in order", "2"), outcome
