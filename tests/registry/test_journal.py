"""The journal: no two writers extend it at one place, and the aliases follow it."""

import json
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from genmint import tracking
from genmint.registry import entries, journal
from genmint.registry.admission import Admission
from genmint.registry.journal_entries import Move, RegistryState

# Imports once, then becomes four processes; prints how often each tried to write.
WRITERS = """
import json, os, sys, traceback
from mlflow import MlflowClient
from genmint.registry import entries, journal
from genmint.registry.admission import Admission
from genmint.registry.journal_entries import Move

class Judge(Admission):
    def why_not(self, named, *, whole):
        return self.absent(named)

def write(versions):
    client = MlflowClient(sys.argv[1])
    judge = Judge(client, sys.argv[1], "tiny", overrides=False)
    attempts = 0
    for version in versions:
        while True:
            attempts += 1
            registry_state = journal.finish_moves(client, "tiny", judge, whole=False)
            assert not registry_state.by_hand, registry_state
            weights = f"{version:064x}"
            move = Move(kind="promotion", version=str(version), reason="test", weights=weights)
            entry = entries.append(client, "tiny", registry_state, move, judge)
            if entry is not None:
                journal.apply_journal(client, "tiny", entry, judge)
                break
    return attempts

children = []
for rank in range(4):
    child = os.fork()
    if child == 0:
        status = 255
        try:
            status = write(range(3 * rank + 1, 3 * rank + 4))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(child)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""


class Judge(Admission):
    """The judge, but for the gate: what is tested here is who may write where."""

    def why_not(self, named, *, whole):
        return self.absent(named)


def judge(client):
    return Judge(client, client.tracking_uri, "tiny", overrides=False)


def weights(version):
    return f"{int(version):064x}"


@pytest.fixture
def client(workshop):
    found = MlflowClient(tracking.uri(workshop.project))
    found.create_registered_model("tiny")
    for number in range(1, 13):
        tags = {"genmint.weights": weights(number)}
        found.create_model_version("tiny", source="file:///nowhere", tags=tags)
    return found


NOBODY = RegistryState((), None)


def finish_moves(client):
    return journal.finish_moves(client, "tiny", judge(client), whole=False)


def read(client):
    return journal.read(client, "tiny", judge(client))


def append(client, registry_state, version, kind="promotion", **said):
    said.setdefault("weights", "" if version is None else weights(version))
    move = Move(kind=kind, version=version, reason="test", **said)
    return entries.append(client, "tiny", registry_state, move, judge(client))


def move(client, version, kind="promotion", **said):
    entry = append(client, finish_moves(client), version, kind, **said)
    assert entry is not None
    journal.apply_journal(client, "tiny", entry, judge(client))


def test_an_empty_journal_has_no_champion(client):
    assert entries.entries(client, "tiny") == []
    assert finish_moves(client) == NOBODY
    assert journal.aliases(client, "never-registered") == {}


@pytest.fixture
def overtaken(client, monkeypatch):
    """Let others write between a writer's last look and its entry, as often as they are given."""

    def let(*others):
        waiting, real = list(others), client.create_model_version

        def create(*args, **kwargs):
            if waiting:
                other = waiting.pop(0)
                other()
            return real(*args, **kwargs)

        monkeypatch.setattr(client, "create_model_version", create)

    return let


def void(client):
    """An entry of somebody who was too late."""
    client.create_model_version("tiny.journal", "models:/tiny/9", tags={"genmint.claims": "1"})


def test_a_writer_that_comes_after_a_move_writes_nothing(client):
    move(client, "1")
    assert append(client, NOBODY, "2") is None
    assert [entry.version for entry in entries.entries(client, "tiny")] == ["1"]


def test_a_writer_overtaken_at_the_last_moment_gets_a_void_entry_and_nothing_moves(
    client, overtaken
):
    move(client, "5")
    registry_state = read(client)
    plain = MlflowClient(client.tracking_uri)
    overtaken(lambda: move(plain, "1"))
    assert append(client, registry_state, "2") is None
    _, first, second = entries.entries(client, "tiny")
    assert (first.valid, second.valid) == (True, False)
    assert finish_moves(client).champion == "1"
    tags = client.get_model_version("tiny.journal", "3").tags
    assert tags["genmint.void"] == "1"
    # The next one claims number 4: void entries leave no gap.
    move(client, "3")
    assert [e.number for e in entries.entries(client, "tiny")] == [1, 2, 3, 4]
    assert finish_moves(client).champion == "3"


def test_void_entries_of_others_do_not_beat_a_slow_writer(client, overtaken):
    move(client, "1")
    registry_state = read(client)
    void(client)
    overtaken(lambda: void(client), lambda: None, lambda: None)
    entry = append(client, registry_state, "2")
    assert entry is not None
    assert [e.valid for e in entries.entries(client, "tiny")] == [True, False, False, False, True]
    assert read(client).entry == entry


@pytest.mark.parametrize("others", [True, False])
def test_a_writer_that_mlflow_turned_away_looks_again_if_others_were_quicker(
    client, monkeypatch, others
):
    registry_state = finish_moves(client)
    if others:
        move(client, "1")

    def refuse(*_, **__):
        raise MlflowException("Model Version creation error. Giving up after 3 attempts.")

    with monkeypatch.context() as patch:
        patch.setattr(client, "create_model_version", refuse)
        if others:
            assert append(client, registry_state, "2") is None
        else:
            with pytest.raises(MlflowException, match="Giving up"):
                append(client, registry_state, "2")
    assert journal.aliases(client, "tiny").get("champion") == ("1" if others else None)


def test_validity_does_not_depend_on_the_void_tag(client):
    """A writer killed before it could mark its void entry leaves nothing to clean up."""
    move(client, "1")
    void(client)
    assert read(client).entry.version == "1"


def test_previous_champion_follows(client):
    move(client, "1")
    assert journal.aliases(client, "tiny") == {"champion": "1"}
    move(client, "2")
    assert journal.aliases(client, "tiny") == {"champion": "2", "previous-champion": "1"}
    move(client, "3")
    assert journal.aliases(client, "tiny") == {"champion": "3", "previous-champion": "2"}


@pytest.mark.parametrize("reached", ["entry", "previous", "champion"])
def test_a_killed_writers_move_is_completed(client, reached, monkeypatch):
    monkeypatch.setattr(journal, "_GRACE_SECONDS", 0.2)
    move(client, "1")
    append(client, read(client), "2")
    if reached in ("previous", "champion"):
        client.set_registered_model_alias("tiny", "previous-champion", "1")
    if reached == "champion":
        client.set_registered_model_alias("tiny", "champion", "2")
    registry_state = finish_moves(client)
    assert (registry_state.champion, registry_state.by_hand) == ("2", False)
    assert journal.aliases(client, "tiny") == {"champion": "2", "previous-champion": "1"}
    assert all(entry.finalised for entry in entries.entries(client, "tiny"))


def test_reading_writes_nothing(client):
    append(client, NOBODY, "1")
    assert read(client).champion is None
    assert journal.aliases(client, "tiny") == {}


@pytest.mark.parametrize("to", ["1", "5", None])
def test_what_a_person_does_to_the_alias_is_seen_and_left(client, to):
    move(client, "1")
    move(client, "2")
    if to is None:
        client.delete_registered_model_alias("tiny", "champion")
    else:
        client.set_registered_model_alias("tiny", "champion", to)
    registry_state = finish_moves(client)
    assert (registry_state.champion, registry_state.by_hand) == (to, True)
    assert journal.aliases(client, "tiny").get("champion") == to


def test_a_read_that_was_overtaken_is_no_move_by_hand(client, monkeypatch):
    """A reader so slow that another promotion came and went between entries and aliases."""
    monkeypatch.setattr(journal, "_BY_HAND_SECONDS", 0.2)
    move(client, "1")
    real, looks = journal.aliases, []

    def overtaken(store, name):
        looks.append(name)
        if len(looks) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(journal, "aliases", real)
                move(client, "2")
            time.sleep(0.3)
        return real(store, name)

    monkeypatch.setattr(journal, "aliases", overtaken)
    registry_state = finish_moves(client)
    assert (registry_state.champion, registry_state.by_hand) == ("2", False)


def test_a_champion_whose_version_was_deleted_is_none(client):
    move(client, "1")
    client.delete_model_version("tiny", "1")
    registry_state = finish_moves(client)
    assert (registry_state.champion, registry_state.by_hand) == (None, False)
    move(client, "2")
    assert journal.aliases(client, "tiny") == {"champion": "2"}


def test_a_deleted_entry_does_not_confuse_the_numbers(client):
    move(client, "1")
    move(client, "2")
    client.delete_model_version("tiny.journal", "2")
    registry_state = finish_moves(client)
    # MLflow never gives a number again: the first claim after it is void, the second is not.
    assert append(client, registry_state, "3").number == 4
    assert [entry.valid for entry in entries.entries(client, "tiny")] == [True, False, True]


@pytest.mark.slow
def test_four_writers_at_once(client, workshop):
    command = [sys.executable, "-c", WRITERS, tracking.uri(workshop.project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    attempts = json.loads(done.stdout)
    assert max(attempts) < 255, done.stderr
    written = entries.entries(client, "tiny")
    valid = [entry for entry in written if entry.valid]
    assert [entry.number for entry in written] == list(range(1, len(written) + 1))
    assert sorted(int(entry.version) for entry in valid) == list(range(1, 13))
    assert [entry.previous for entry in valid] == [None, *(e.version for e in valid[:-1])]
    assert all(entry.finalised for entry in valid)
    last = valid[-1]
    assert journal.aliases(client, "tiny") == {
        "champion": last.version,
        "previous-champion": last.previous,
    }
