"""Two clones, each with a cache of its own: what one trains the other has, without training."""

import functools
import http.server
import threading
from pathlib import Path

import pytest

from genmint.common.errors import ConfigError, TemporaryError
from genmint.common.programs import run_dvc
from genmint.flow import transfer
from genmint.flow.checkout import checked_out
from genmint.flow.publish import record
from genmint.flow.stage import ProcessGroup, StageError, reproduce
from genmint.flow.worker import Order, fulfil

DATA = ["ingest@d", "prepare@d", "reference@d"]
MODEL = ["train@a", "evaluate@a"]
REF = "refs/genmint/run-a"
# Tells what it did where DVC cannot restore it; refuses where nothing may train.
TRAIN = 'test "$GENMINT_DEVICE" != none && mkdir -p models && cp data/prepared/d models/a'


@pytest.fixture
def clones(repository, tmp_path):
    """The flow's repository and a worker's, with git and DVC remotes in common."""
    config = repository.root / ".dvc" / "config"
    shared = f"    remote = shared\n['remote \"shared\"']\n    url = {tmp_path / 'dvc'}\n"
    config.write_text(config.read_text() + shared)
    repository.write_stages(a=TRAIN)
    repository.commit()
    bare = tmp_path / "git"
    bare.mkdir()
    repository.git("clone", "-q", "--bare", ".", str(bare))
    repository.git("remote", "add", "origin", str(bare))
    worker = repository.clone(tmp_path / "worker")
    worker.git("remote", "set-url", "origin", str(bare))
    return repository, worker


def test_a_cache_is_known_by_its_name(repository, tmp_path):
    token = transfer.cache_token(repository.project)
    assert transfer.cache_token(repository.project) == token
    with checked_out(repository.project, "HEAD", "run") as checkout:
        assert transfer.cache_token(checkout) == token
    assert transfer.cache_token(repository.clone(tmp_path / "other").project) != token


def test_the_workers_clone_trains_and_the_flows_restores(clones):
    home, worker = clones
    base = home.git("rev-parse", "HEAD")
    with checked_out(home.project, base, "run") as checkout:
        reproduce(checkout, DATA, process_group=ProcessGroup(), say=print)
        commit = record(checkout, "inputs", with_stages=DATA)
        transfer.offer(home.project, checkout, commit, DATA, REF)
        order = Order("a", commit, REF, transfer.cache_token(home.project))
        outcomes = fulfil(worker.project, order, "far-a", ProcessGroup(), print)
        assert {outcome.stage: outcome.result for outcome in outcomes} == dict.fromkeys(
            MODEL, "ran"
        )
        with pytest.raises(StageError):
            reproduce(checkout, MODEL, process_group=ProcessGroup(), say=print, may_train=False)
        transfer.take_back(checkout)
        found = reproduce(
            checkout, MODEL, process_group=ProcessGroup(), say=print, may_train=False, pull=True
        )
        assert {outcome.result for outcome in found} == {"cached"}
        assert (checkout.root / "models" / "a").read_text() == "one\n"
    assert list((worker.root / ".genmint" / "checkouts").iterdir()) == []


def test_a_worker_without_the_commit_or_the_cache_says_what_it_needs(repository, tmp_path):
    worker = repository.clone(tmp_path / "worker")
    worker.git("remote", "remove", "origin")
    (repository.root / "new.txt").write_text("new")
    base = repository.commit()
    order = Order("a", base, REF, "another cache")
    with pytest.raises(ConfigError, match="nor a git remote to fetch it from"):
        fulfil(worker.project, order, "far-a", ProcessGroup(), print)
    with pytest.raises(ConfigError, match="shares no DVC cache with the flow"):
        fulfil(repository.project, order, "far-a", ProcessGroup(), print)
    with pytest.raises(ConfigError, match="has no model 'c'"):
        fulfil(repository.project, Order("c", base, REF, "x"), "far-c", ProcessGroup(), print)


def test_a_remote_that_does_not_have_it_may_have_it_later(clones):
    home, worker = clones
    (home.root / "new.txt").write_text("new")
    order = Order("a", home.commit(), REF, "another cache")
    with pytest.raises(TemporaryError, match="git fetch"):
        fulfil(worker.project, order, "far-a", ProcessGroup(), print)


def test_without_remotes_nothing_is_offered(repository):
    base = repository.git("rev-parse", "HEAD")
    with checked_out(repository.project, base, "run") as checkout:
        transfer.offer(repository.project, checkout, base, DATA, REF)
    assert repository.git("for-each-ref", "refs/genmint") == ""


class Storage(http.server.SimpleHTTPRequestHandler):
    """A folder that is read and written over HTTP, as a DVC remote is."""

    def do_POST(self):
        if self.server.read_only:
            self.send_error(405)
            return
        target = Path(self.translate_path(self.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        target.write_bytes(content)
        self.send_response(201)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(tmp_path):
    (tmp_path / "web").mkdir()
    handler = functools.partial(Storage, directory=tmp_path / "web")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.read_only = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_remote_over_http_gives_data_and_is_refused_before_anything_trains(clones, web):
    """DVC says nothing of a run-cache that it could not push."""
    home, worker = clones
    address = f"http://127.0.0.1:{web.server_port}"
    for each in (home, worker):
        run_dvc(each.project, "remote", "modify", "shared", "url", address)
    base = home.commit()
    with checked_out(home.project, base, "run") as checkout:
        reproduce(checkout, DATA, process_group=ProcessGroup(), say=print)
        commit = record(checkout, "inputs", with_stages=DATA)
        web.read_only = True
        with pytest.raises(TemporaryError, match=r"`dvc push` failed .*405"):
            transfer.offer(home.project, checkout, commit, DATA, REF)
        web.read_only = False
        transfer.offer(home.project, checkout, commit, DATA, REF)
        order = Order("a", commit, REF, transfer.cache_token(home.project))
        message = f"remote {address} is plain HTTP, over which DVC keeps no run-cache: the flow"
        with pytest.raises(ConfigError, match=message):
            fulfil(worker.project, order, "far-a", ProcessGroup(), print)
    worker.git("checkout", "-qf", commit)
    run_dvc(worker.project, "pull", "prepare@d")
    assert (worker.root / "data" / "prepared" / "d").read_text() == "one\n"
