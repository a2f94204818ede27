"""A tracker's answer is said as what it is: only silence and its own failures are outages."""

import errno
import logging
import shutil
import sqlite3

import pytest
from click.testing import CliRunner
from mlflow.experiments import commands
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from genmint import tracking
from genmint.cli import run
from genmint.common.errors import (
    DiskFullError,
    RegistryDeniedError,
    RegistryMissingError,
    RegistryRefusedError,
    RegistryUnreachableError,
    TemporaryError,
)
from genmint.common.exhaustion import disk_full
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.registry import journal
from genmint.registry.championship import Championship
from genmint.registry.registry import Registry
from genmint.reporting.status import status
from genmint.tracking import reporter, store

ABOUT = tracking.DatasetInfo("dots", "image", "d" * 64, "data/prepared/dots", {"train": 80})


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (401, RegistryDeniedError, "does not accept this user"),
        (401, RegistryDeniedError, "MLFLOW_TRACKING_USERNAME"),
        (403, RegistryDeniedError, "does not allow this user to do that"),
        (404, RegistryRefusedError, "does not provide MLflow's API"),
        (413, RegistryRefusedError, "takes no request of this size"),
        (429, RegistryUnreachableError, "cannot answer now"),
        (500, RegistryUnreachableError, "cannot answer now"),
        (502, RegistryUnreachableError, "cannot answer now"),
    ],
)
def test_each_answer_is_said_as_what_it_is(workshop, proxy, monkeypatch, answer, kind, words):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    proxy.answer(answer, "/api/")
    with pytest.raises(kind, match=words) as caught:
        tracking.connect(workshop.project)
    assert isinstance(caught.value, TemporaryError) == (kind is RegistryUnreachableError)
    if kind is not RegistryUnreachableError:
        assert "does not answer" not in str(caught.value)


@pytest.mark.parametrize("answer", [401, 403])
@pytest.mark.parametrize(
    "verb", [["status"], ["journal", "tiny"], ["reconcile"], ["promote", "tiny"]]
)
def test_a_user_who_may_not_is_told_so_by_every_verb(
    workshop, proxy, monkeypatch, capsys, verb, answer
):
    if verb[0] == "promote":
        workshop.make()
    monkeypatch.chdir(workshop.root)
    proxy.answer(answer, "/api/")
    assert run(verb) == 1
    said = capsys.readouterr()
    text = said.out + said.err
    assert "this user" in text
    assert "Start the server" not in text
    assert "nothing was promoted yet" not in text
    assert "in order" not in text


def test_a_journal_that_may_not_be_read_is_not_empty(workshop, proxy, monkeypatch, capsys):
    """A server with users leaves it out of searches, as if it were not there."""
    workshop.make()
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "promoted", outcome
    monkeypatch.chdir(workshop.root)
    proxy.hide("tiny.journal")
    capsys.readouterr()
    for verb in (["journal", "tiny"], ["reconcile", "tiny"], ["status"]):
        code = run(verb)
        said = capsys.readouterr()
        text = said.out + said.err
        assert code == 1, (verb, text)
        assert "does not allow this user" in text
        assert "nothing was promoted yet" not in text
        assert "in order" not in text
    with pytest.raises(RegistryDeniedError):
        promote(workshop.project, workshop.params, ["tiny"])
    proxy.behave()
    (outcome,) = reconcile(workshop.project, workshop.params, ["tiny"])
    assert (outcome.verdict, outcome.champion) == ("in order", "1")


def test_a_deleted_experiment_is_not_waited_for(workshop, client, monkeypatch, capsys):
    workshop.make()
    promote(workshop.project, workshop.params, ["tiny"])
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    client.delete_experiment(experiment)
    monkeypatch.setattr(reporter, "_PATIENCE_SECONDS", 60.0)
    slept = []
    monkeypatch.setattr(reporter.time, "sleep", slept.append)
    with tracking.start_run(workshop.project, "tiny", {"steps": 10}, ABOUT) as run_:
        run_.metrics(1, {"train_loss": 1.0})
        run_.finish("f" * 64)
    assert slept == []
    way_out = f"mlflow experiments restore --experiment-id {experiment}`"
    line = capsys.readouterr().err
    assert "the experiment `genmint` was deleted in MLflow" in line
    assert way_out in line
    assert "does not answer" not in line
    capsys.readouterr()
    assert status(workshop.project, workshop.params) == 1
    assert way_out in capsys.readouterr().out.replace("\n", " ")
    workshop.make(seed=1, elbo=-10.0)
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert way_out in outcome.reason
    # The advice works.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri(workshop.project))
    done = CliRunner().invoke(commands, ["restore", "--experiment-id", experiment])
    assert done.exit_code == 0, done.output
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "promoted"


def collect(client, run_id, project):
    """What `mlflow gc` does to a deleted run."""
    store = client._tracking_client.store
    client.delete_run(run_id)
    shutil.rmtree(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    store._hard_delete_run(run_id)


def test_a_champion_whose_run_was_removed_for_good(workshop, client, capsys):
    workshop.make()
    promote(workshop.project, workshop.params, ["tiny"])
    (version,) = client.search_model_versions("name = 'tiny'")
    collect(client, version.run_id, workshop.project)
    capsys.readouterr()
    assert status(workshop.project, workshop.params) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "its files are gone, so there is no evidence that it passed its gate" in said
    (outcome,) = reconcile(workshop.project, workshop.params, ["tiny"])
    assert (outcome.verdict, outcome.champion) == ("withdrawn", None)
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "Delete" in outcome.reason
    client.delete_model_version("tiny", "1")
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "promoted", outcome


def test_what_is_not_there_is_said_so(workshop, client):
    workshop.make()
    promote(workshop.project, workshop.params, ["tiny"])
    registry = Registry.open(workshop.project)
    with pytest.raises(RegistryMissingError, match="the resource does not exist"):
        Championship(registry).set_challenger("tiny", "9")
    assert journal.aliases(client, "tiny") == {"champion": "1"}


@pytest.mark.parametrize("words", ["database or disk is full", "disk I/O error"])
def test_a_full_disk_below_the_store_is_said_once_and_not_logged(workshop, monkeypatch, words):
    """SQLite has two messages for it, and MLflow logs each with a traceback."""
    client = tracking.connect(workshop.project)
    database = workshop.root / "mlflow.db"
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("mlflow.store.db.utils")
    logger.addHandler(handler)

    def fails(*_):
        raise OperationalError("INSERT", {}, sqlite3.OperationalError(words))

    def full(folder, target):
        assert folder == workshop.root
        disk_full(OSError(errno.ENOSPC, "No space left on device"), target)

    event.listen(Engine, "before_cursor_execute", fails)
    monkeypatch.setattr(store, "full_disk_at", full)
    try:
        with pytest.raises(DiskFullError) as caught, tracking.reaching(f"sqlite:///{database}"):
            client.create_experiment("another")
        monkeypatch.setattr(store, "full_disk_at", lambda *_: None)
        kind = DiskFullError if words.startswith("database") else RegistryUnreachableError
        # A disk that is broken and not full: the message of the database stays in ours.
        with pytest.raises(kind, match=r"disk I/O error|disk full"):  # noqa: SIM117
            with tracking.reaching(f"sqlite:///{database}"):
                client.create_experiment("another")
    finally:
        event.remove(Engine, "before_cursor_execute", fails)
        logger.removeHandler(handler)
    assert str(caught.value).startswith(f"disk full while writing sqlite:///{database};")
    assert records == []
